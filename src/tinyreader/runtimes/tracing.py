"""Transformers' own models prepared for conversion to other engines, and a check of the result; needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tinyreader.arrays import Float32, Int64
from tinyreader.errors import ModelError
from tinyreader.models import load_reader, max_tokens, takes_segments
from tinyreader.runtimes import ModelFacts

MAX_DIFFERENCE = 1e-2
"""The largest difference allowed between a logit of the converted network and the model's, on random tokens."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _Logits(nn.Module):
    """The model with positional inputs and only its two outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end logits [B, L]."""
        out = self.model(**dict(zip(INPUTS, inputs, strict=False)))
        return out.start_logits, out.end_logits


@dataclass(frozen=True, slots=True)
class Traceable:
    """A model in a form that can be traced, the names of its inputs, and its facts."""

    model: nn.Module
    names: tuple[str, ...]
    facts: ModelFacts

    def example(self, n: int, length: int) -> tuple[Tensor, ...]:
        """Random inputs, int64 [n, length] each."""
        ids = torch.randint(5, 20, (n, length), generator=torch.Generator().manual_seed(n))
        segments = (torch.arange(length) > 3).long().expand(n, length).contiguous()
        return (ids, torch.ones_like(ids), segments)[: len(self.names)]

    def difference(self, run: Callable[[dict[str, Int64]], Sequence[Float32]]) -> float:
        """The largest difference of a logit between the converted network and the model, on batches of other
        shapes than the traced one.
        """
        largest = 0.0
        for n, length in ((1, 9), (3, 57)):
            inputs = self.example(n, length)
            inputs[1][0, length // 2 :] = 0
            found = run(dict(zip(self.names, (one.numpy() for one in inputs), strict=True)))
            with torch.no_grad():
                expected = self.model(*inputs)
            real = inputs[1].numpy() == 1
            for ours, theirs in zip(found, expected, strict=True):
                largest = max(largest, float(np.abs(ours - theirs.numpy())[real].max()))
        return largest


def traceable(directory: Path) -> Traceable:
    """The reader of that directory, to be traced."""
    reader = load_reader(directory)
    for attribute in ("_attn_implementation", "_attn_implementation_internal"):
        if hasattr(reader.config, attribute):
            setattr(reader.config, attribute, "eager")
    has_segments = takes_segments(reader.model)
    pad, rows = reader.config.pad_token_id, reader.model.get_input_embeddings().num_embeddings
    facts = ModelFacts(
        pad_id=pad if pad is not None else 0,
        max_tokens=max_tokens(reader.model),
        vocab_size=rows,
        takes_segments=has_segments,
    )
    return Traceable(_Logits(reader.model).eval(), INPUTS if has_segments else INPUTS[:2], facts)


def refusal(directory: Path, engine: str, reason: str) -> ModelError:
    """The error of a model that cannot be converted."""
    return ModelError(
        f'{directory} cannot be converted for {engine} ({reason}). Read it with engine = "torch"'
    )


def first_line(error: Exception) -> str:
    """The first line of the error's message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]
