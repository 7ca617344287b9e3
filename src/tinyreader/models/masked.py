"""Masked language models loaded from a directory or the Hub: encoder, vocabulary head and tokenizer, checked.

As with readers nothing that came with a model is run, and no weight is ever made up: a head that is not in
the file is an error. Only what Transformers ties, such as the head's matrix to the word embeddings, may be
missing from a file.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from tinyreader.errors import ModelError
from tinyreader.model_files import model_directory, some_of
from tinyreader.models.parts import max_tokens
from tinyreader.models.reader import NoDraws, check_vocabulary, check_weights, load_configuration, new_model
from tinyreader.models.weights import fit_names, read_weights
from tinyreader.storage import read_object_if_any
from tinyreader.tokenizer import load_tokenizer, special_tokens

log = logging.getLogger(__name__)

LONGEST = 512
"""Maximum input in tokens: what most encoders were trained on; a longer context helps little to propose a word."""


@dataclass(frozen=True, slots=True)
class LoadedMaskedLM:
    """A masked language model in fp32 on the CPU, in evaluation mode, and its tokenizer; `source` is its
    directory.

    `mask_id` and `pad_id` are the ids of these tokens, `max_tokens` is the longest input, special tokens
    included.
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    source: Path
    mask_id: int
    pad_id: int
    max_tokens: int


def load_masked_lm(name_or_dir: str | Path, *, revision: str | None = None) -> LoadedMaskedLM:
    """The masked language model of that directory or Hub id; `ModelError` where it cannot propose words."""
    directory = model_directory(name_or_dir, revision)
    config = load_configuration(directory, "masked-LM")
    tokenizer = load_tokenizer(directory)
    with NoDraws():
        model = new_model(config, 0, "masked-LM")
    _fill(model, read_weights(directory), directory)
    check_vocabulary(model, tokenizer, directory)
    limit = max_tokens(model) or getattr(config, "max_position_embeddings", None) or LONGEST
    pad = config.pad_token_id if config.pad_token_id is not None else 0
    return LoadedMaskedLM(
        model, tokenizer, directory, _mask_id(tokenizer, directory), int(pad), min(limit, LONGEST)
    )


def _fill(model: PreTrainedModel, weights: dict[str, Tensor], directory: Path) -> None:
    """Load the weights, all that the model has, into encoder and head."""
    own = model.state_dict()
    prefix = model.base_model_prefix
    weights = fit_names(weights, own, prefix)
    head = {name for name in own if not name.startswith(f"{prefix}.")}
    separate = _complete(weights, own, head)
    check_weights(own, weights, head, model.config.num_hidden_layers, directory)
    if missing := sorted(head - weights.keys()):
        raise ModelError(
            f"{directory} has no masked-LM head: it cannot propose words (the weights lack {some_of(missing)})"
        )
    for name in separate:
        log.warning("%s: %s is not what config.json ties it to; both are used as they are", directory, name)
        part, _, last = name.rpartition(".")
        setattr(model.get_submodule(part), last, nn.Parameter(torch.empty_like(own[name])))
    model.load_state_dict({name: tensor for name, tensor in weights.items() if name in own}, strict=False)


def _complete(weights: dict[str, Tensor], own: dict[str, Tensor], head: set[str]) -> list[str]:
    """Put in what a file leaves out because it is the same as another tensor; returns names that are not the
    same.
    """
    separate = []
    for names in _tied(own):
        present = sorted((n for n in names if n in weights), key=lambda n: (n in head, len(n)))
        for name in names if present else ():
            first = weights[present[0]]
            if name not in weights:
                weights[name] = first
            elif own[name].data_ptr() == own[present[0]].data_ptr() and not torch.equal(weights[name], first):
                separate.append(name)
    return separate


def _tied(own: dict[str, Tensor]) -> Iterator[list[str]]:
    """Yield the names of tensors that are one: in memory, or by custom as the two names of the last layer's
    bias are.
    """
    groups: dict[int, set[str]] = defaultdict(set)
    for name, tensor in own.items():
        bias = name.removesuffix("decoder.bias") + "bias"
        groups[(own[bias] if name.endswith(".decoder.bias") and bias in own else tensor).data_ptr()].add(name)
    yield from (sorted(names) for names in groups.values() if len(names) > 1)


def _mask_id(tokenizer: Tokenizer, directory: Path) -> int:
    """The id of the token that hides a word: what the directory's settings say, else one of the usual
    ones.
    """
    found = dict(special_tokens(tokenizer))
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        token = (read_object_if_any(directory / name, ModelError) or {}).get("mask_token")
        if token is not None:
            found["mask_token"] = str(token["content"] if isinstance(token, dict) else token)
    mask = found.get("mask_token")
    number = tokenizer.token_to_id(mask) if mask is not None else None
    if number is None:
        raise ModelError(
            f"{directory}: the tokenizer has no mask token: a word cannot be hidden, so none can be proposed"
        )
    return number
