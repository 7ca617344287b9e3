"""Engines behind one Protocol: arrays in, start and end logits out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

Inputs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Token ids, mask (1 on real tokens) and segment ids of a batch of windows, each int64 [B, L], padded on the right."""

Logits = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Start and end logits of a batch, each float32 [B, L]; what they say about padding means nothing."""


class Runtime(Protocol):
    """Something that runs a reader's network on one batch of windows."""

    pad_id: int

    def logits(
        self, input_ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], segment_ids: npt.NDArray[np.int64]
    ) -> Logits:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""
        ...


class StreamingRuntime(Runtime, Protocol):
    """A runtime that can work on several batches at the same time."""

    max_tokens: int

    def stream(self, batches: Iterable[Inputs]) -> Iterator[Logits]:
        """The logits of each batch, in order; batches are taken a few ahead of what is given back."""
        ...
