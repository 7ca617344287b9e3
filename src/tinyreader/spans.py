"""Logits become text here, and only here: the best spans of a question's windows, merged by their place in
the context.

A span's score is its start logit plus its end logit. The null score is the same sum at token 0; over several
windows the smallest counts, since an answer in one window is enough. Both are in logits, never probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Float64, Floats, Integers
from tinyreader.errors import ModelError, SettingsError

NULL_TOKEN = 0
"""The position whose logits say "no answer here"."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowLogits:
    """What a model said about one window of n tokens, without padding.

    `start` and `end` are float [n]; the context's tokens are [first, stop); `offsets` int [n, 2] are code
    points of the context. Raises `ModelError` when the parts do not fit together.
    """

    start: Floats
    end: Floats
    first: int
    stop: int
    offsets: Integers

    def __post_init__(self) -> None:
        n = len(self.start)
        if (
            self.end.shape != (n,)
            or self.offsets.shape != (n, 2)
            or not 0 <= self.first <= self.stop <= n
            or n == 0
        ):
            raise ModelError(
                f"a window's logits do not fit together: start {self.start.shape}, end {self.end.shape}, "
                "offsets "
                f"{self.offsets.shape}, context tokens [{self.first}, {self.stop}). Pass [n], [n] and [n, 2] "
                "with the "
                "padding cut off."
            )


@dataclass(frozen=True, slots=True)
class Span:
    """A possible answer: code points [start, end) of the context, and the window and tokens it was read
    from.
    """

    start: int
    end: int
    score: float
    window: int
    first_token: int
    last_token: int

    def text(self, context: str) -> str:
        """The span's words, a verbatim slice of the context."""
        return context[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Decoding:
    """The spans of one question on one context, best first, no place twice, and the null score beside
    them.
    """

    spans: tuple[Span, ...]
    null_score: float

    @property
    def null_odds(self) -> float:
        """Null score minus the best span's score: larger means less likely answered; infinite where no span
        exists.
        """
        return self.null_score - self.spans[0].score if self.spans else math.inf


def decode(windows: Sequence[WindowLogits], *, max_answer_tokens: int = 30, n_best: int = 20) -> Decoding:
    """The `n_best` best places in the context over all windows, with the smallest null score.

    A place seen more than once keeps its best score, from the earliest window that gave it; scores are never
    added up. Equal scores stand in the order of the text, shorter first. Spans neither start nor end at
    tokens of zero width. Raises `ModelError` for logits that are not finite, and `SettingsError` for limits
    below 1.
    """
    if not windows:
        raise ValueError("decode needs the logits of at least one window")
    _require_limits(max_answer_tokens, n_best)
    best: dict[tuple[int, int], Span] = {}
    for number, window in enumerate(windows):
        _require_finite(window, number)
        for span in _window_spans(window, number, max_answer_tokens, n_best):
            kept = best.get((span.start, span.end))
            if kept is None or span.score > kept.score:
                best[span.start, span.end] = span
    spans = sorted(best.values(), key=_rank)[:n_best]
    null_score = min(float(w.start[NULL_TOKEN]) + float(w.end[NULL_TOKEN]) for w in windows)
    return Decoding(tuple(spans), null_score)


def merged(decodings: Iterable[Decoding], n_best: int) -> Decoding:
    """The `n_best` best places of several groups of windows of one context, as if they had been decoded
    together.
    """
    best: dict[tuple[int, int], Span] = {}
    null_score = math.inf
    for decoding in decodings:
        null_score = min(null_score, decoding.null_score)
        for span in decoding.spans:
            kept = best.get((span.start, span.end))
            if kept is None or span.score > kept.score:
                best[span.start, span.end] = span
    return Decoding(tuple(sorted(best.values(), key=_rank)[:n_best]), null_score)


def answer(decoding: Decoding, context: str, threshold: float = 0.0) -> str:
    """The best span's text, or "" where the null odds exceed the threshold or no span exists."""
    if not decoding.spans or decoding.null_odds > threshold:
        return ""
    return decoding.spans[0].text(context)


def thin(spans: Iterable[Span], max_overlap: float = 0.0, most: int | None = None) -> tuple[Span, ...]:
    """The spans, best first and `most` of them, without those that overlap a better one kept by more than
    `max_overlap`.

    `max_overlap` is a share of the shorter span's length, from 0 (kept spans are disjoint) to 1 (all are
    kept).
    """
    if not 0.0 <= max_overlap <= 1.0:
        raise SettingsError(f"max_overlap is {max_overlap}; it is a share of a span's length, from 0 to 1.")
    kept: list[Span] = []
    for span in sorted(spans, key=_rank):
        if len(kept) == most:
            break
        if all(_overlap(span, other) <= max_overlap for other in kept):
            kept.append(span)
    return tuple(kept)


def best_spans(
    start: Floats, end: Floats, first: int, stop: int, *, max_answer_tokens: int, n_best: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Float64]:
    """First tokens, last tokens and scores of the best spans in one window's tokens [first, stop), best
    first.

    `start` and `end` are [n], finite, or -inf where no span may start or end. Equal scores: earlier start
    first, then shorter. With n tokens, m = `max_answer_tokens` and k = `n_best` it takes O(n log m + k m)
    steps and O(n + k m) memory where scores do not tie, and no n x n matrix: the k best spans start at the k
    starts whose own best span, found by a running maximum over the ends, is best. Ties enlarge k.
    """
    m = min(max_answer_tokens, stop - first)
    if m < 1:
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    starts = start[first:stop].astype(
        np.float64
    )  # exact sums: a float32 sum would tie where the logits do not
    ends = np.full(len(starts) + m - 1, -np.inf)
    ends[: len(starts)] = end[first:stop]
    rows = _at_least_kth(starts + _sliding_max(ends, m), n_best)
    scores = (starts[rows, None] + ends[rows[:, None] + np.arange(m)]).ravel()
    kept = _at_least_kth(scores, n_best)
    order = kept[np.argsort(-scores[kept], kind="stable")[:n_best]]
    order = order[scores[order] > -np.inf]
    first_tokens = first + rows[order // m]
    return first_tokens, first_tokens + order % m, scores[order]


def _window_spans(window: WindowLogits, number: int, max_answer_tokens: int, n_best: int) -> list[Span]:
    """The window's best spans, enough for `n_best` places where it has as many, with all that tie with the
    last.

    Several tokens may share one character (the bytes of an emoji), so several spans may be one place: then
    more are fetched.
    """
    start, end = _without_zero_width(window)
    wanted = n_best + 1  # one more shows whether the last place ties with something not yet seen
    while True:
        found = best_spans(
            start, end, window.first, window.stop, max_answer_tokens=max_answer_tokens, n_best=wanted
        )
        spans = _places(window, number, *found)
        exhausted = len(found[0]) < wanted
        if exhausted or (len(spans) >= n_best and found[2][-1] < spans[n_best - 1].score):
            return spans
        wanted *= 2


def _places(
    window: WindowLogits,
    number: int,
    first_tokens: npt.NDArray[np.intp],
    last_tokens: npt.NDArray[np.intp],
    scores: Float64,
) -> list[Span]:
    starts, ends = window.offsets[first_tokens, 0].tolist(), window.offsets[last_tokens, 1].tolist()
    seen: dict[tuple[int, int], Span] = {}
    rows = zip(starts, ends, scores.tolist(), first_tokens.tolist(), last_tokens.tolist(), strict=True)
    for start, end, score, first_token, last_token in rows:
        if start < end and (start, end) not in seen:
            seen[start, end] = Span(start, end, score, number, first_token, last_token)
    return list(seen.values())


def _without_zero_width(window: WindowLogits) -> tuple[Floats, Floats]:
    empty = window.offsets[:, 0] >= window.offsets[:, 1]
    if not empty[window.first : window.stop].any():
        return window.start, window.end
    return np.where(empty, -np.inf, window.start), np.where(empty, -np.inf, window.end)


def _sliding_max(values: Float64, width: int) -> Float64:
    """The maximum of each run of `width` values, [len - width + 1]; two runs of w make one of up to 2 w."""
    result, reached = values, 1
    while reached < width:
        step = min(reached, width - reached)
        result, reached = np.maximum(result[:-step], result[step:]), reached + step
    return result


def _at_least_kth(values: Float64, k: int) -> npt.NDArray[np.intp]:
    """Indices, ascending, of all values that are at least the k-th largest: k of them, more where values
    tie.
    """
    if k >= len(values):
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, -k)[-k])


def _rank(span: Span) -> tuple[float, int, int]:
    return -span.score, span.start, span.end


def _overlap(one: Span, other: Span) -> float:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return max(0, shared) / min(one.end - one.start, other.end - other.start)


def _require_limits(max_answer_tokens: int, n_best: int) -> None:
    for name, value in (("max_answer_tokens", max_answer_tokens), ("n_best", n_best)):
        if value < 1:
            raise SettingsError(f"{name} is {value}; it must be at least 1.")


def _require_finite(window: WindowLogits, number: int) -> None:
    for name, logits in (("start", window.start), ("end", window.end)):
        finite = np.isfinite(logits)
        if not finite.all():
            token = int(np.argmin(finite))
            raise ModelError(
                f"the model gave {logits[token]} as {name} logit of token {token} in window {number}: its "
                "weights are "
                "damaged or its precision is too low. Check the model, or read in float32."
            )
