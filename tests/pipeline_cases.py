"""A tiny reader whose weights and vocabulary are the same everywhere, for outputs recorded from another
library's pipeline.

The weights are drawn by numpy's legacy generator, whose stream is frozen, and written by name; the vocabulary
is made of the texts by counting. So the file of recorded outputs needs no model beside it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tiny_models import write_byte_level_bpe
from tinyreader.tokenizer import load_tokenizer, tokenizer_files

WIDTH, N_LAYERS, N_HEADS, INNER, MAX_TOKENS = 32, 2, 4, 48, 400
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_model(directory: Path, family: str, texts: Iterable[str], *, noise: float = 0.0) -> Path:
    """The reader of a family ("bert" or "roberta") with a vocabulary for the texts; `noise` moves each weight
    by that share.
    """
    directory.mkdir(parents=True)
    if family == "bert":
        tokens = _wordpieces(texts)
        (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
        own: dict[str, Any] = {"type_vocab_size": 2, "max_position_embeddings": MAX_TOKENS, "pad_token_id": 0}
    else:
        write_byte_level_bpe(directory)
        own = {"type_vocab_size": 1, "max_position_embeddings": MAX_TOKENS + 2, "pad_token_id": 1}
    tokenizer = load_tokenizer(directory)
    files = tokenizer_files(
        tokenizer, takes_segments=family == "bert", max_tokens=MAX_TOKENS, pad_id=own["pad_token_id"]
    )
    for name, content in files.items():
        (directory / name).write_text(content, encoding="utf-8")
    config = {
        "model_type": family,
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "intermediate_size": INNER,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        **own,
    }
    config["architectures"] = [{"bert": "Bert", "roberta": "Roberta"}[family] + "ForQuestionAnswering"]
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(_weights(family, config, noise), directory / "model.safetensors")
    return directory


def _wordpieces(texts: Iterable[str]) -> list[str]:
    """Special tokens, letters, short pieces of words, and the words that occur often: rarer ones are several
    pieces.
    """
    counts = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    letters = sorted({letter for word in counts for letter in word})
    ends: Counter[str] = Counter()
    for word, n in counts.items():
        for size in (2, 3):
            ends.update({f"##{word[-size:]}": n, word[:size]: n} if len(word) > size + 1 else {})
    often = [word for word, n in counts.items() if n >= 12 and len(word) > 1]
    pieces = [piece for piece, n in ends.items() if n >= 8]
    rest = {*letters, *(f"##{letter}" for letter in letters), *often, *pieces}
    return [*SPECIAL, *sorted(rest)]


def _weights(family: str, config: dict[str, Any], noise: float) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors by their names in a checkpoint, of such sizes that the logits spread as a trained reader's
    do.
    """
    draw, shake = np.random.RandomState(7), np.random.RandomState(8)
    tensors: dict[str, np.ndarray[Any, Any]] = {}

    def add(name: str, *shape: int, size: float = 1.0, around: float = 0.0) -> None:
        values = around + size * draw.uniform(-1.0, 1.0, shape)
        tensors[name] = (values * (1.0 + noise * shake.uniform(-1.0, 1.0, shape))).astype(np.float32)

    def linear(name: str, rows: int, columns: int, size: float) -> None:
        add(f"{name}.weight", rows, columns, size=size)
        add(f"{name}.bias", rows, size=0.1)

    def norm(name: str) -> None:
        add(f"{name}.weight", WIDTH, size=0.2, around=1.0)
        add(f"{name}.bias", WIDTH, size=0.1)

    add(f"{family}.embeddings.word_embeddings.weight", config["vocab_size"], WIDTH)
    add(f"{family}.embeddings.position_embeddings.weight", config["max_position_embeddings"], WIDTH, size=0.3)
    add(f"{family}.embeddings.token_type_embeddings.weight", config["type_vocab_size"], WIDTH, size=1.5)
    norm(f"{family}.embeddings.LayerNorm")
    for number in range(N_LAYERS):
        layer = f"{family}.encoder.layer.{number}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", WIDTH, WIDTH, 0.4)
        linear(f"{layer}.attention.output.dense", WIDTH, WIDTH, 0.3)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", INNER, WIDTH, 0.3)
        linear(f"{layer}.output.dense", WIDTH, INNER, 0.3)
        norm(f"{layer}.output.LayerNorm")
    linear("qa_outputs", 2, WIDTH, 6.0)
    return tensors
