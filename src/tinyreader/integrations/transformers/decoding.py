"""How Transformers' pipeline turns logits into answers: products of softmaxes over a window, widened to whole
words.

In a window, the softmaxes run over the null position and the context's tokens. A span's score is the product
of its start and end probability; spans that become the same place once they are widened to words are one
answer, which has their sum. "No answer" has the product at the null position, the smallest of all windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinyreader.arrays import Float64, Int32
from tinyreader.errors import ModelError
from tinyreader.spans import NULL_TOKEN, WindowLogits, best_spans


@dataclass(frozen=True, slots=True)
class Rules:
    """What is found and how it is merged. With `adds_windows`, `merges_texts` and `cuts_words`, as in
    Transformers 4.

    A place in several windows has the score of the best window, or the sum over them (`adds_windows`). Equal
    words at two places are two answers, or, whatever their case, one at the first place (`merges_texts`). A
    word that the end of a window cuts is the whole word, or its part up to there (`cuts_words`).
    """

    top_k: int = 1
    max_answer_len: int = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    adds_windows: bool = False
    merges_texts: bool = False
    cuts_words: bool = False

    @property
    def n_spans(self) -> int:
        """Spans of tokens taken from each window; more than `top_k` if several can become one answer."""
        return 2 * self.top_k + 10 if self.align_to_words else self.top_k


@dataclass(frozen=True, slots=True)
class Found:
    """An answer's score and its place in the context, code points [start, end); [0, 0) is "no answer"."""

    score: float
    start: int
    end: int


def decode(windows: Sequence[WindowLogits], words: Sequence[Int32], text: str, rules: Rules) -> list[Found]:
    """At most `top_k` answers, best first, from the windows of one question on one text.

    If answers are aligned to words, `words` has for each window the places int [m, 2] of the words of its m
    context tokens. Answers without characters are left out, so there may be none at all. Raises `ModelError`
    for logits that are not finite.
    """
    merged: dict[object, Found] = {}
    null = 1.0
    for number, window in enumerate(windows):
        own: dict[object, Found] = {}
        p_null, places = _window(window, number, words[number] if rules.align_to_words else None, rules)
        null = min(null, p_null)
        for found in places:
            _merge(own, _key(found, text, rules), found, adds=True)
        for key, found in own.items():
            _merge(merged, key, found, adds=rules.adds_windows)
    answers = list(merged.values())
    if rules.handle_impossible_answer:
        answers.append(Found(null, 0, 0))
    return sorted(answers, key=lambda found: -found.score)[: rules.top_k]


def word_places(word_ids: Sequence[int | None], offsets: Int32) -> Int32:
    """The place, int32 [n, 2], of the word of each token; `offsets` are the tokens' own places, without
    blanks.

    Tokens without characters do not widen a word; a word of nothing else has their place. A token that
    belongs to no word is a word of its own.
    """
    if not len(offsets):
        return offsets
    ids = np.array(
        [-1 - token if word is None else word for token, word in enumerate(word_ids)], dtype=np.int64
    )
    first = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    starts, ends = offsets[:, 0], offsets[:, 1]
    wide = starts < ends
    far = np.iinfo(np.int32).max
    a = np.minimum.reduceat(np.where(wide, starts, far), first)
    b = np.maximum.reduceat(np.where(wide, ends, -1), first)
    empty = b < 0
    a[empty], b[empty] = np.minimum.reduceat(starts, first)[empty], np.maximum.reduceat(ends, first)[empty]
    lengths = np.diff(np.r_[first, len(ids)])
    return np.repeat(np.stack([a, b], axis=1).astype(np.int32), lengths, axis=0)


def _window(
    window: WindowLogits, number: int, words: Int32 | None, rules: Rules
) -> tuple[float, Iterator[Found]]:
    """The null position's probability, and the window's best spans as places, best first; a place may come
    twice.
    """
    start, end = window.start.astype(np.float64), window.end.astype(np.float64)
    scored = np.r_[NULL_TOKEN, window.first : window.stop]
    if not (np.isfinite(start[scored]).all() and np.isfinite(end[scored]).all()):
        raise ModelError(
            f"the model gave logits that are not finite in window {number}: its weights are damaged or its "
            "precision is too low. Check the model, or read in float32."
        )
    total = _log_sum_exp(start[scored]) + _log_sum_exp(end[scored])
    firsts, lasts, scores = best_spans(
        start, end, window.first, window.stop, max_answer_tokens=rules.max_answer_len, n_best=rules.n_spans
    )
    starts, ends = window.offsets[firsts, 0], window.offsets[lasts, 1]
    if words is not None:
        starts, ends = words[firsts - window.first, 0], words[lasts - window.first, 1]
        if rules.cuts_words and len(firsts):
            starts = np.maximum(starts, window.offsets[window.first, 0])
            ends = np.minimum(ends, window.offsets[window.stop - 1, 1])
    rows = zip(np.exp(scores - total).tolist(), starts.tolist(), ends.tolist(), strict=True)
    null = float(np.exp(start[NULL_TOKEN] + end[NULL_TOKEN] - total))
    return null, (Found(score, a, b) for score, a, b in rows if a < b)


def _log_sum_exp(values: Float64) -> float:
    largest = values.max()
    return float(largest + np.log(np.exp(values - largest).sum()))


def _key(found: Found, text: str, rules: Rules) -> object:
    return text[found.start : found.end].lower() if rules.merges_texts else (found.start, found.end)


def _merge(into: dict[object, Found], key: object, found: Found, *, adds: bool) -> None:
    """Add an answer to that of its key: the first place stays, scores are added up or the better one stays."""
    kept = into.get(key)
    if kept is None:
        into[key] = found
    elif adds or found.score > kept.score:
        into[key] = Found(kept.score + found.score if adds else found.score, kept.start, kept.end)
