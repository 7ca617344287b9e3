"""Questions read as users read them, through `Reader` with the engine and settings the model ships with, and
timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyreader.data import Example
from tinyreader.reader import Reader, ReaderSettings

Tick = Callable[[int], None]

WARM_UP = 8


@dataclass(frozen=True, slots=True)
class ReadQuestion:
    """The best span for a question, whether or not it is the reader's answer: its text, code points
    [start, end) of the context, and its null odds (infinite, with an empty text, where there is no span).

    `answered` says whether the reader gives it as its answer at the threshold it ships with. `score` and
    `confidence`, 0 to 1, are the reader's for the span and for its decision.
    """

    id: str
    text: str
    start: int
    end: int
    null_odds: float
    answered: bool
    score: float
    confidence: float


def read_examples(
    reader: Reader, examples: Iterable[Example], on_progress: Tick | None = None
) -> list[ReadQuestion]:
    """What the reader finds for each example, in order, read in one stream; `on_progress` gets the number of
    questions read so far.
    """
    settings = reader.settings
    threshold = answer_threshold(settings)
    kept: list[Example] = []

    def pairs() -> Iterable[tuple[str, str]]:
        for example in examples:
            kept.append(example)
            yield example.question, example.context

    found = []
    # the best span is needed whatever its score, so the thresholds are applied here, as the reader would
    for n, reading in enumerate(reader.read_many(pairs(), top_k=1, score_threshold=0.0)):
        best = reading.answers[0] if reading.answers else None
        if best is None:
            found.append(ReadQuestion(kept[n].id, "", 0, 0, math.inf, False, 0.0, reading.no_answer_score))
        else:
            odds = best.null_odds
            answered = odds <= threshold
            sure = best.score if answered else settings.no_answer_score(odds)
            found.append(
                ReadQuestion(kept[n].id, best.text, best.start, best.end, odds, answered, best.score, sure)
            )
        if on_progress is not None:
            on_progress(n + 1)
    return found


def answer_threshold(settings: ReaderSettings) -> float:
    """The largest null odds at which a reader with these settings answers; infinite if it always does."""
    least = settings.score_threshold
    if least <= 0.0:
        return settings.no_answer_threshold
    if least >= 1.0:
        return -math.inf
    by_score = settings.score_offset - settings.temperature * math.log(least / (1.0 - least))
    return min(settings.no_answer_threshold, by_score)


def latencies(
    reader: Reader, examples: Sequence[Example], n: int, *, check: Callable[[], None] | None = None
) -> list[float]:
    """Milliseconds for each of `n` questions, spread evenly over the examples and asked one at a time.

    The first few are asked once before as a warm-up: an engine prepares itself for the lengths it meets.
    """
    chosen = [
        examples[i] for i in np.unique(np.linspace(0, len(examples) - 1, min(n, len(examples))).astype(int))
    ]
    taken = []
    for number, example in enumerate([*chosen[:WARM_UP], *chosen]):
        if check is not None:
            check()
        began = time.perf_counter()
        reader.read(example.question, example.context)
        if number >= min(WARM_UP, len(chosen)):
            taken.append(1000.0 * (time.perf_counter() - began))
    return taken


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """The 50th, 95th and 99th percentile, in the unit given; empty without values."""
    if not milliseconds:
        return {}
    values = np.percentile(milliseconds, (50, 95, 99))
    return {f"p{which}": round(float(value), 3) for which, value in zip((50, 95, 99), values, strict=True)}
