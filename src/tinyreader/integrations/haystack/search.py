"""The places in texts that answer questions, scored as Haystack 2 scores them: by their logits alone, text by
text.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

from tinyreader.data import Example
from tinyreader.errors import SettingsError
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.reading import BatchLimits, run_windows
from tinyreader.spans import Decoding, Span, WindowLogits, decode, merged, thin
from tinyreader.windows import Windower, chunks

CHUNK_CHARACTERS = 400_000
"""About so much text is cut into windows and sorted together."""

GROUP_WINDOWS = 1024
"""At most so many windows are held at a time, with their logits."""


@dataclass(frozen=True, slots=True)
class Choices:
    """How one call reads; lengths are in tokens, and None is "no limit" for thresholds and for
    `max_batch_size`.
    """

    top_k: int
    score_threshold: float | None
    max_seq_length: int
    stride: int
    max_batch_size: int | None
    answers_per_seq: int
    no_answer: bool
    overlap_threshold: float | None

    def __post_init__(self) -> None:
        whole: tuple[Any, str] = (Integral, "a whole number")
        number: tuple[Any, str] = (Real, "a number")
        for name, (kind, called), least in (
            ("top_k", whole, 0),
            ("max_seq_length", whole, 1),
            ("stride", whole, 0),
            ("max_batch_size", whole, 1),
            ("answers_per_seq", whole, 1),
            ("overlap_threshold", number, 0),
            ("score_threshold", number, -math.inf),
        ):
            value = getattr(self, name)
            if value is None and name in ("max_batch_size", "overlap_threshold", "score_threshold"):
                continue
            if not isinstance(value, kind) or isinstance(value, bool):
                raise SettingsError(f"{name} is {value!r}; it must be {called}.")
            if not value >= least:  # NaN is not either
                bound = f"at least {least}" if least > -math.inf else "a number from 0 to 1"
                raise SettingsError(f"{name} is {value}; it must be {bound}.")
        if not isinstance(self.no_answer, bool):
            raise SettingsError(f"no_answer is {self.no_answer!r}; it must be True or False.")


@dataclass(frozen=True, slots=True)
class Text:
    """A text to read for a question: which question of the call it is, and which of its documents."""

    question: int
    document: int
    query: str
    content: str


@dataclass(frozen=True, slots=True)
class Place:
    """Code points [start, end) of a document, and the sum of their start and end logit."""

    document: int
    start: int
    end: int
    logit: float


@dataclass(slots=True)
class Found:
    """What was found for one question: the best places, best first, and the logit of there being no answer.

    `null_odds` is the least, over the documents, of null score minus best span, as SQuAD 2.0 models give them
    in logits; `best_logit` the best place's logit, kept or not.
    """

    places: list[Place] = field(default_factory=list)
    best_logit: float = -math.inf
    null_odds: float = math.inf

    def add(self, document: int, decoding: Decoding, choices: Choices) -> None:
        """Takes in the best places of one document; of equal ones, those of the earlier document stand
        first.
        """
        if not decoding.spans:
            return
        kept = without_overlaps(decoding.spans, choices.overlap_threshold, choices.top_k)
        places = [Place(document, span.start, span.end, span.score) for span in kept]
        self.places = heapq.nsmallest(choices.top_k, [*self.places, *places], key=lambda place: -place.logit)
        self.best_logit = max(self.best_logit, decoding.spans[0].score)
        self.null_odds = min(self.null_odds, decoding.null_odds)


def search(
    texts: Iterable[Text], windower: Windower, runtime: Runtime, choices: Choices, n_questions: int
) -> list[Found]:
    """What is found for each question in its texts; those of all questions are computed together.

    Memory holds a chunk of texts, a group of windows, and of what was read the places themselves.
    """
    results = [Found() for _ in range(n_questions)]
    for chunk in _by_size(texts):
        for text, decoding in zip(chunk, _read(chunk, windower, runtime, choices), strict=True):
            results[text.question].add(text.document, decoding, choices)
    return results


def without_overlaps(spans: Sequence[Span], threshold: float | None, most: int) -> Sequence[Span]:
    """The best `most` spans none of which overlaps a better one by more than the threshold, a share of the
    shorter one.

    `spans` stand best first.
    """
    if threshold is None or threshold >= 1.0:
        return spans[:most]
    reach = 4 * most
    while True:  # what is kept of the first few does not depend on what comes after them
        kept = thin(spans[:reach], threshold)[:most]
        if len(kept) == most or reach >= len(spans):
            return kept
        reach *= 4


def probability(logit: float, factor: float) -> float:
    """The logistic function of factor x logit, 0 to 1, without overflow."""
    x = factor * logit
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def _by_size(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Yield texts of about `CHUNK_CHARACTERS` together, at least one."""
    chunk, size = list[Text](), 0
    for text in texts:
        length = len(text.query) + len(text.content)
        if chunk and size + length > CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield chunk


def _read(texts: Sequence[Text], windower: Windower, runtime: Runtime, choices: Choices) -> list[Decoding]:
    """The spans of each text that its windows propose, `answers_per_seq` each, no place twice."""
    examples = (Example(str(text.question), text.query, text.content) for text in texts)
    found: list[Decoding] = [Decoding((), math.inf)] * len(texts)
    limits = BatchLimits(windows=choices.max_batch_size)
    for group in chunks(windower.windows(examples), GROUP_WINDOWS):
        parts: dict[int, list[Decoding]] = {}
        logits = run_windows(group, runtime, windower.settings.max_seq_len, limits)
        for window, (start, end) in zip(group, logits, strict=True):
            read = WindowLogits(start, end, window.first, window.stop, window.offsets)
            spans = decode([read], max_answer_tokens=len(window), n_best=choices.answers_per_seq)
            parts.setdefault(window.example, []).append(spans)
        for number, decodings in parts.items():
            together = [found[number], *decodings]
            found[number] = merged(together, sum(len(decoding.spans) for decoding in together))
    return found
