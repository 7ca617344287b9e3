"""The places in texts that answer questions, scored as Haystack 2 scores them: by their logits, text by text."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import tee
from numbers import Integral, Real
from typing import Any

from tinyreader.data import Example
from tinyreader.errors import SettingsError
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.reading import BatchLimits, read_windows
from tinyreader.spans import Decoding, Span, thin
from tinyreader.windows import LEAST_ROOM, Windower, WindowSettings


@dataclass(frozen=True, slots=True)
class Choices:
    """How one call reads. Lengths are in tokens; None means no limit for thresholds and `max_batch_size`."""

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
            if not value >= least:  # NaN is refused too
                bound = f"at least {least}" if least > -math.inf else "a number from 0 to 1"
                raise SettingsError(f"{name} is {value}; it must be {bound}.")
        if not isinstance(self.no_answer, bool):
            raise SettingsError(f"no_answer is {self.no_answer!r}; it must be True or False.")
        if self.max_seq_length < self.stride + LEAST_ROOM:
            raise SettingsError(
                f"max_seq_length {self.max_seq_length} with stride {self.stride} leaves no room for a query: "
                f"max_seq_length must be at least stride + {LEAST_ROOM}."
            )

    @property
    def windows(self) -> WindowSettings:
        """How texts are cut into windows."""
        return WindowSettings(self.max_seq_length, self.stride)

    def fitted(self, max_tokens: int | None) -> Choices:
        """These choices with windows no longer than the model takes; None means that it sets no limit."""
        if max_tokens is None or self.max_seq_length <= max_tokens:
            return self
        return replace(self, max_seq_length=max_tokens, stride=min(self.stride, max_tokens // 3))


@dataclass(frozen=True, slots=True)
class Text:
    """A text to read for a query; `query_number` and `document` are its places in the call."""

    query_number: int
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
    """What was found for one query: the best places, best first, and what its no-answer score is made of.

    `null_odds` is the minimum, over the documents, of null score minus best span, in logits, as SQuAD 2.0
    models are trained to give them. `best_logit` is that of the best place, even if `top_k` is 0.
    """

    places: list[Place] = field(default_factory=list)
    best_logit: float = -math.inf
    null_odds: float = math.inf

    def add(self, document: int, decoding: Decoding, choices: Choices) -> None:
        """Add the best places of one document; at equal logits the earlier document goes first."""
        if not decoding.spans:
            return
        kept = without_overlaps(decoding.spans, choices.overlap_threshold, choices.top_k)
        places = [Place(document, span.start, span.end, span.score) for span in kept]
        self.places = heapq.nsmallest(choices.top_k, [*self.places, *places], key=lambda place: -place.logit)
        self.best_logit = max(self.best_logit, decoding.spans[0].score)
        self.null_odds = min(self.null_odds, decoding.null_odds)


def search(
    texts: Iterable[Text], windower: Windower, runtime: Runtime, choices: Choices, n_queries: int
) -> list[Found]:
    """What is found for each query in its texts. The windows of all queries are batched together."""
    results = [Found() for _ in range(n_queries)]
    given, texts = tee(texts)
    decodings = read_windows(
        (Example(str(text.query_number), text.query, text.content) for text in given),
        windower,
        runtime,
        max_answer_tokens=None,
        n_best=choices.answers_per_seq,
        limits=BatchLimits(windows=choices.max_batch_size),
    )
    for text, decoding in zip(texts, decodings, strict=True):
        results[text.query_number].add(text.document, decoding, choices)
    return results


def without_overlaps(spans: Sequence[Span], threshold: float | None, max_spans: int) -> Sequence[Span]:
    """The first `max_spans` of the spans, which stand best first, that do not overlap a better one by more
    than the threshold, a share of the shorter span.
    """
    if threshold is None or threshold >= 1.0:
        return spans[:max_spans]
    reach = 4 * max_spans
    while True:  # what is kept of the first few does not depend on those after them
        kept = thin(spans[:reach], threshold)[:max_spans]
        if len(kept) == max_spans or reach >= len(spans):
            return kept
        reach *= 4
