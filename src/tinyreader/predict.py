"""Predictions of a reader over a data set: examples in, one best answer and its null odds per question out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tinyreader.data import Example
from tinyreader.runtimes import Runtime
from tinyreader.spans import Decoding, WindowLogits, decode
from tinyreader.windows import Window, Windower, chunks, padded_length

_CHUNK = 2000  # examples whose windows are sorted together; bounds memory for any stream


@dataclass(frozen=True, slots=True)
class Prediction:
    """The best span for a question, and `null_odds`: null score minus the span's, larger means less answerable.

    `text` is the slice [start, end) of the context in code points; empty, with no place, where the context has no token.
    """

    id: str
    text: str
    start: int
    end: int
    score: float
    null_odds: float

    def answer(self, threshold: float) -> str:
        """The answer, or "" where the null odds exceed `threshold`."""
        return "" if self.null_odds > threshold else self.text


def predict(
    examples: Iterable[Example], windower: Windower, runtime: Runtime, *,
    max_answer_tokens: int = 30, max_batch_tokens: int = 4096, on_progress: Callable[[int], None] | None = None,
) -> Iterator[Prediction]:  # fmt: skip
    """A prediction per example, in order; windows are batched by length over many examples."""
    for chunk in chunks(examples, _CHUNK):
        windows = list(windower.windows(chunk))
        logits = _run(windows, runtime, max_batch_tokens, windower.settings.max_seq_len)
        by_example: list[list[WindowLogits]] = [[] for _ in chunk]
        for window, (start, end) in zip(windows, logits, strict=True):
            by_example[window.example].append(WindowLogits(start, end, window.first, window.stop, window.offsets))
        for example, parts in zip(chunk, by_example, strict=True):
            yield _prediction(example, decode(parts, max_answer_tokens=max_answer_tokens, n_best=1))
        if on_progress is not None:
            on_progress(len(chunk))


def _prediction(example: Example, decoding: Decoding) -> Prediction:
    if not decoding.spans:
        return Prediction(example.id, "", 0, 0, decoding.null_score, decoding.null_odds)
    best = decoding.spans[0]
    text = example.context[best.start : best.end]
    return Prediction(example.id, text, best.start, best.end, best.score, decoding.null_odds)


def _run(
    windows: list[Window], runtime: Runtime, max_tokens: int, most: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Unpadded start and end logits of each window, in the order given."""
    results: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(windows)
    order = sorted(range(len(windows)), key=lambda i: -len(windows[i]))
    begin = 0
    while begin < len(order):
        longest = padded_length(len(windows[order[begin]]), most)
        rows = order[begin : begin + max(1, max_tokens // longest)]
        begin += len(rows)
        ids = np.full((len(rows), longest), runtime.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        segments = np.zeros_like(ids)
        for line, row in enumerate(rows):
            n = len(windows[row])
            ids[line, :n], mask[line, :n], segments[line, :n] = windows[row].input_ids, 1, windows[row].segment_ids
        starts, ends = runtime.logits(ids, mask, segments)
        for line, row in enumerate(rows):
            n = len(windows[row])
            results[row] = (starts[line, :n], ends[line, :n])
    return [r for r in results if r is not None]
