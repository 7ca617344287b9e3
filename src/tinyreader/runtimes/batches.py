"""Windows through an engine: sorted by length, batched by tokens, logits back in the order given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tinyreader.runtimes import Inputs, Logits, Runtime
from tinyreader.windows import Window, padded_length

FloatArray = npt.NDArray[np.float32]

MAX_BATCH_TOKENS = 2048


def run_windows(
    windows: Sequence[Window], runtime: Runtime, *, most: int, max_tokens: int = MAX_BATCH_TOKENS
) -> list[tuple[FloatArray, FloatArray]]:
    """Unpadded start and end logits, each float32 [n], of each window of n tokens, in the order given.

    A batch holds windows of like lengths, padded to the longest of them (rounded as `padded_length` does, up
    to `most`), and at most `max_tokens` tokens with padding, or one window. A runtime that streams gets
    several batches at the same time.
    """
    results: list[tuple[FloatArray, FloatArray]] = [(_EMPTY, _EMPTY)] * len(windows)
    plan = list(_plan([len(w) for w in windows], most, max_tokens))
    inputs = (_padded([windows[i] for i in rows], length, runtime.pad_id) for rows, length in plan)
    for (rows, _), (starts, ends) in zip(plan, _logits(runtime, inputs), strict=True):
        for line, row in enumerate(rows):
            n = len(windows[row])
            results[row] = (starts[line, :n], ends[line, :n])
    return results


def padded_batches(windows: Sequence[Window], pad_id: int, *, most: int, max_tokens: int) -> Iterator[Inputs]:
    """Yield all windows in the batches that `run_windows` computes, the longest windows first."""
    for rows, length in _plan([len(w) for w in windows], most, max_tokens):
        yield _padded([windows[i] for i in rows], length, pad_id)


_EMPTY = np.zeros(0, np.float32)


def _logits(runtime: Runtime, batches: Iterator[Inputs]) -> Iterator[Logits]:
    stream: Callable[[Iterator[Inputs]], Iterator[Logits]] | None = getattr(runtime, "stream", None)
    if stream is not None:
        return stream(batches)
    return (runtime.logits(*batch) for batch in batches)


def _plan(lengths: Sequence[int], most: int, max_tokens: int) -> Iterator[tuple[list[int], int]]:
    """Yield the windows of each batch and the length it is padded to, the longest first."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    begin = 0
    while begin < len(order):
        longest = padded_length(lengths[order[begin]], most)
        rows = order[begin : begin + max(1, max_tokens // longest)]
        begin += len(rows)
        yield rows, longest


def _padded(windows: Sequence[Window], length: int, pad_id: int) -> Inputs:
    ids = np.full((len(windows), length), pad_id, dtype=np.int64)
    mask, segments = np.zeros_like(ids), np.zeros_like(ids)
    for line, window in enumerate(windows):
        n = len(window)
        ids[line, :n], mask[line, :n], segments[line, :n] = window.input_ids, 1, window.segment_ids
    return ids, mask, segments
