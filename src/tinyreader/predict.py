"""Predictions of a reader over a data set: examples in, one best answer and its null odds per question
out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tinyreader.data import Example
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.batches import MAX_BATCH_TOKENS, run_windows
from tinyreader.spans import Decoding, WindowLogits, decode
from tinyreader.windows import Windower, chunks

_CHUNK = 2000  # examples whose windows are sorted together; bounds memory for any stream


@dataclass(frozen=True, slots=True)
class Prediction:
    """The best span for a question, and `null_odds`: null score minus the span's, larger means less
    answerable.

    `text` is the slice [start, end) of the context in code points; empty, with no place, where the context
    has no token.
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
    examples: Iterable[Example],
    windower: Windower,
    runtime: Runtime,
    *,
    max_answer_tokens: int = 30,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Prediction]:
    """A prediction per example, in order; windows are batched by length over many examples."""
    for chunk in chunks(examples, _CHUNK):
        windows = list(windower.windows(chunk))
        logits = run_windows(
            windows, runtime, most=windower.settings.max_seq_len, max_tokens=max_batch_tokens
        )
        by_example: list[list[WindowLogits]] = [[] for _ in chunk]
        for window, (start, end) in zip(windows, logits, strict=True):
            by_example[window.example].append(
                WindowLogits(start, end, window.first, window.stop, window.offsets)
            )
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
