"""Engines behind one Protocol: arrays in, start and end logits out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt


class Runtime(Protocol):
    """Something that runs a reader's network on one batch of windows."""

    pad_id: int

    def logits(
        self, input_ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], segment_ids: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""
        ...
