"""Tiny random models of several families, written to a directory as Transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from tinyreader.models import save_reader
from tinyreader.models.reader import new_model
from tinyreader.tokenizer import load_tokenizer

WORDS = (
    "the",
    "bridge",
    "was",
    "built",
    "in",
    "who",
    "it",
    "?",
    ".",
    ",",
    "##s",
    "##ing",
    "a",
    "b",
    "c",
    "x",
)
BERT_VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
MPNET_VOCABULARY = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>", *WORDS)
VOCABULARY_SIZE = 24  # a few rows more than tokens, as many checkpoints have

BASE = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
FAMILIES: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "bert": (BertConfig, {}),
    "roberta": (
        RobertaConfig,
        {"type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    ),
    "electra": (ElectraConfig, {"embedding_size": 16}),
    "distilbert": (DistilBertConfig, {}),
    "mpnet": (MPNetConfig, {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}),
    "deberta-v2": (
        DebertaV2Config,
        {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_buckets": 8,
            "max_relative_positions": -1,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "modernbert": (
        ModernBertConfig,
        {"local_attention": 8, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    ),
}


def configuration(family: str = "bert", *, n_layers: int = 2, **changes: Any) -> PretrainedConfig:
    """A tiny configuration of a family."""
    kind, own = FAMILIES[family]
    values = {**BASE, "num_hidden_layers": n_layers, **own, **changes}
    if family == "distilbert":
        values["hidden_dim"] = values.pop("intermediate_size")
    return kind(**values)


def write_vocabulary(directory: Path, family: str = "bert") -> Tokenizer:
    """A WordPiece vocabulary as `vocab.txt`, and the tokenizer that it makes."""
    directory.mkdir(parents=True, exist_ok=True)
    tokens = MPNET_VOCABULARY if family in ("mpnet", "roberta") else BERT_VOCABULARY
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return load_tokenizer(directory)


def write_byte_level_bpe(directory: Path) -> None:
    """RoBERTa's kind of vocabulary: single bytes, a few merges, special tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    alphabet = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 324))]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, *(a + b for a, b in merges), "<mask>"]
    (directory / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}), encoding="utf-8")
    (directory / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8"
    )


def write_reader(
    directory: Path, family: str = "bert", *, n_layers: int = 2, seed: int = 0, **changes: Any
) -> Path:
    """A directory with a tiny random reader: weights of some size, so that forgetting one of them shows."""
    model = new_model(configuration(family, n_layers=n_layers, **changes), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return save_reader(model, write_vocabulary(directory / "vocabulary", family), directory / "reader")


def masked_lm(
    family: str, vocab_size: int, *, n_layers: int = 2, seed: int = 0, **changes: Any
) -> PreTrainedModel:
    """A tiny random masked language model, its weights of some size."""
    config = configuration(family, n_layers=n_layers, **{"vocab_size": vocab_size, **changes})
    model = new_model(config, seed, "masked-LM")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def write_masked_lm(
    directory: Path, family: str = "bert", tokenizer: Tokenizer | None = None, **changes: Any
) -> Path:
    """A directory with a tiny random masked language model, written by Transformers, and its tokenizer."""
    tokenizer = tokenizer or write_vocabulary(directory.parent / f"{directory.name}-vocabulary", family)
    masked_lm(family, tokenizer.get_vocab_size() + 3, **changes).save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


def inputs(n: int = 2, length: int = 12, seed: int = 0) -> dict[str, torch.Tensor]:
    """Token ids within every family's vocabulary, and a mask that hides the last tokens of each second
    row.
    """
    ids = torch.randint(5, 20, (n, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1::2, -3:] = 0
    return {"input_ids": ids, "attention_mask": mask}
