"""Engines behind one Protocol: arrays in, start and end logits out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinyreader.errors import ModelError, SettingsError

Inputs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Token ids, mask (1 on real tokens) and segment ids of a batch of windows, each int64 [B, L], padded on the
right.
"""

Logits = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Start and end logits of a batch, each float32 [B, L]; what they say about padding means nothing."""


def n_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Runtime(Protocol):
    """Something that runs a reader's network on one batch of windows."""

    pad_id: int

    def logits(
        self,
        input_ids: npt.NDArray[np.int64],
        mask: npt.NDArray[np.int64],
        segment_ids: npt.NDArray[np.int64],
    ) -> Logits:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""
        ...


class StreamingRuntime(Runtime, Protocol):
    """A runtime that can work on several batches at the same time."""

    max_tokens: int | None

    def stream(self, batches: Iterable[Inputs]) -> Iterator[Logits]:
        """The logits of each batch, in order; batches are taken a few ahead of what is given back."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What an engine has to know of a model besides its network; None where the model itself sets no
    limit.
    """

    pad_id: int
    max_tokens: int | None
    vocab_size: int | None
    takes_segments: bool

    def named(self, batch: Inputs) -> dict[str, npt.NDArray[np.int64]]:
        """The model's inputs by name, checked: engines read zeros, or crash, for ids outside the table."""
        input_ids, mask, segment_ids = batch
        if self.max_tokens is not None and input_ids.shape[1] > self.max_tokens:
            raise SettingsError(
                f"a window has {input_ids.shape[1]} tokens; this model takes at most {self.max_tokens}."
            )
        if (
            self.vocab_size is not None
            and input_ids.size
            and not 0 <= input_ids.min() <= input_ids.max() < self.vocab_size
        ):
            raise ModelError(
                f"the tokenizer gave ids from {input_ids.min()} to {input_ids.max()}, but the model embeds "
                f"{self.vocab_size} tokens: they do not belong together"
            )
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        return inputs | {"token_type_ids": segment_ids} if self.takes_segments else inputs
