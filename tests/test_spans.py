"""`spans`: logits become the places in the text that a search over every span would find."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyreader.errors import ModelError, SettingsError
from tinyreader.spans import Decoding, Span, WindowLogits, answer, best_spans, decode, merged, thin

Place = tuple[int, int, float]


def window(
    start: Sequence[float], end: Sequence[float], offsets: Sequence[tuple[int, int]], first: int = 1
) -> WindowLogits:
    """A window whose first `first` tokens are special and whose others are the context."""
    rows = np.array([(0, 0)] * first + list(offsets), dtype=np.int32)
    return WindowLogits(np.array(start, np.float32), np.array(end, np.float32), first, len(rows), rows)


def brute_force(windows: Sequence[WindowLogits], max_answer_tokens: int, n_best: int) -> list[Place]:
    """Every allowed span of every window, one by one; each place with its best score."""
    best: dict[tuple[int, int], float] = {}
    for w in windows:
        offsets = w.offsets.tolist()
        for i in range(w.first, w.stop):
            for j in range(i, min(w.stop, i + max_answer_tokens)):
                place = (offsets[i][0], offsets[j][1])
                wide = all(offsets[t][0] < offsets[t][1] for t in (i, j))
                if wide and place[0] < place[1]:
                    score = float(w.start[i]) + float(w.end[j])
                    best[place] = max(score, best.get(place, -math.inf))
    places = [(start, end, score) for (start, end), score in best.items()]
    return sorted(places, key=lambda p: (-p[2], p[0], p[1]))[:n_best]


tied = st.integers(-2, 2).map(float)
free = st.floats(-30, 30, width=32)
steps = st.tuples(st.integers(0, 2), st.integers(0, 3))


@st.composite
def windows_of_one_context(draw: st.DrawFn) -> list[WindowLogits]:
    """One to three windows; logits that tie or do not; tokens of zero width, and several tokens of one
    character.
    """
    made = []
    for _ in range(draw(st.integers(1, 3))):
        offsets, at = [], draw(st.integers(0, 4))
        for gap, width in draw(st.lists(steps, max_size=12)):
            offsets.append((at + gap, at + gap + width))
            at += gap + width
            if draw(st.booleans()):
                offsets.append(offsets[-1])
        first = draw(st.integers(1, 3))
        n = first + len(offsets)
        logits = st.lists(draw(st.sampled_from([tied, free])), min_size=n, max_size=n)
        made.append(window(draw(logits), draw(logits), offsets, first))
    return made


@settings(max_examples=300, deadline=None)
@given(windows_of_one_context(), st.integers(1, 8), st.integers(1, 12))
def test_decode_equals_brute_force(windows: list[WindowLogits], max_answer_tokens: int, n_best: int) -> None:
    """Decoding finds exactly the places, scores and order of a search over all spans of all windows, ties
    included.
    """
    decoding = decode(windows, max_answer_tokens=max_answer_tokens, n_best=n_best)
    assert [(s.start, s.end, s.score) for s in decoding.spans] == brute_force(
        windows, max_answer_tokens, n_best
    )
    assert decoding.null_score == min(float(w.start[0]) + float(w.end[0]) for w in windows)


@settings(max_examples=100, deadline=None)
@given(windows_of_one_context(), st.integers(1, 8), st.integers(1, 12))
def test_spans_tell_where_they_were_read(
    windows: list[WindowLogits], max_answer_tokens: int, n_best: int
) -> None:
    """Each span's window and tokens give its place and its score, and lie in the context."""
    for span in decode(windows, max_answer_tokens=max_answer_tokens, n_best=n_best).spans:
        w = windows[span.window]
        assert (
            w.first <= span.first_token <= span.last_token < min(w.stop, span.first_token + max_answer_tokens)
        )
        assert (span.start, span.end) == (w.offsets[span.first_token, 0], w.offsets[span.last_token, 1])
        assert span.score == float(w.start[span.first_token]) + float(w.end[span.last_token])


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(0, 14), st.integers(1, 16), st.integers(1, 40))
def test_best_spans_equals_brute_force(
    data: st.DataObject, n: int, max_answer_tokens: int, n_best: int
) -> None:
    """In one window the token spans come by score, then earlier start, then shorter; -inf forbids a token."""
    logits = st.lists(st.one_of(tied, free, st.just(-math.inf)), min_size=n + 2, max_size=n + 2)
    start, end = np.array(data.draw(logits)), np.array(data.draw(logits))
    expected = sorted(
        (-(start[i] + end[j]), i, j)
        for i in range(1, n + 1)
        for j in range(i, min(n + 1, i + max_answer_tokens))
        if start[i] + end[j] > -math.inf
    )[:n_best]
    found = best_spans(start, end, 1, n + 1, max_answer_tokens=max_answer_tokens, n_best=n_best)
    assert [(-score, i, j) for i, j, score in zip(*(f.tolist() for f in found), strict=True)] == expected


def test_the_same_place_in_two_windows_is_one_span() -> None:
    """A place read twice keeps its better score; the scores are not added up."""
    one = window([0, 5, 0], [0, 3, 0], [(0, 3), (4, 7)])
    two = window([0, 6, 0], [0, 3, 0], [(0, 3), (4, 7)])
    spans = decode([one, two]).spans
    assert (spans[0].start, spans[0].end, spans[0].score, spans[0].window) == (0, 3, 9.0, 1)
    assert len({(s.start, s.end) for s in spans}) == len(spans)


def test_the_same_words_elsewhere_are_another_span() -> None:
    """Two places that hold the same words stay two spans."""
    context = "oak and oak"
    spans = decode([window([0, 5, 0, 4], [0, 5, 0, 4], [(0, 3), (4, 7), (8, 11)])], max_answer_tokens=1).spans
    assert [(s.text(context), s.start) for s in spans[:2]] == [("oak", 0), ("oak", 8)]


def test_null_score_is_the_smallest_over_windows() -> None:
    """One window that sees an answer is enough: the least null score counts."""
    unsure = window([7, 0], [8, 0], [(0, 3)])
    sure = window([1, 0], [-3, 0], [(4, 7)])
    decoding = decode([unsure, sure])
    assert decoding.null_score == -2.0
    assert decoding.null_odds == -2.0


def test_a_context_without_tokens_has_no_answer() -> None:
    """A blank context gives no spans, infinite null odds, and no answer at any threshold."""
    decoding = decode([window([1, 2], [1, 2], [], first=2)])
    assert decoding.spans == ()
    assert decoding.null_odds == math.inf
    assert answer(decoding, "   ", threshold=math.inf) == ""


def test_tokens_of_zero_width_hold_no_answer() -> None:
    """A span neither starts nor ends at a token without characters, however high its logits."""
    decoding = decode([window([0, 9, 1, 9], [0, 9, 1, 9], [(0, 0), (0, 4), (4, 4)])])
    assert [(s.start, s.end) for s in decoding.spans] == [(0, 4)]


def test_tokens_that_share_a_character_do_not_crowd_out_other_places() -> None:
    """n_best counts places, not token spans: three byte tokens of one emoji are one place."""
    offsets = [(0, 1), (0, 1), (0, 1), (2, 5)]
    spans = decode([window([0, 5, 5, 5, 1], [0, 5, 5, 5, 1], offsets)], n_best=3).spans
    assert [(s.start, s.end, s.score) for s in spans] == [(0, 1, 10.0), (0, 5, 6.0), (2, 5, 2.0)]


def test_sums_are_exact_where_float32_would_tie() -> None:
    """The small difference of two end logits decides, even beside a large start logit."""
    spans = decode([window([0, 2**20, 0], [0, 0, 2**-10], [(0, 3), (4, 7)])]).spans
    assert (spans[0].start, spans[0].end) == (0, 7)


def test_answer_is_empty_only_above_the_threshold() -> None:
    """The answer is the best span's text unless the null odds exceed the threshold; equal is still
    answered.
    """
    context = "a red fox"
    decoding = Decoding((Span(2, 5, 1.0, 0, 2, 2),), null_score=3.0)
    assert answer(decoding, context) == ""
    assert answer(decoding, context, threshold=2.0) == "red"
    assert answer(decoding, context, threshold=1.9) == ""


def test_offsets_are_code_points() -> None:
    """The text is sliced in code points: an emoji or a combining mark counts as written."""
    context = "😀 cafe\u0301 東京"
    decoding = decode([window([0, 0, 5, 0], [0, 0, 5, 0], [(0, 1), (2, 7), (8, 10)])])
    assert answer(decoding, context, threshold=math.inf) == "cafe\u0301"


def test_thin_drops_what_overlaps_a_better_span() -> None:
    """Thinning keeps the best of overlapping spans; the share is of the shorter span's length."""
    long, inside, half, apart = (
        Span(0, 10, 9, 0, 1, 3),
        Span(2, 4, 8, 0, 2, 2),
        Span(8, 12, 7, 0, 3, 4),
        Span(20, 22, 6, 0, 6, 6),
    )
    assert thin([apart, half, inside, long]) == (long, apart)
    assert thin([long, inside, half, apart], 0.5) == (long, half, apart)
    assert thin([long, inside, half, apart], 1.0) == (long, inside, half, apart)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_thin_refuses_a_share_that_is_none(share: float) -> None:
    """An overlap outside 0 to 1 is refused by name."""
    with pytest.raises(SettingsError, match="max_overlap"):
        thin([], share)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.parametrize("token", [0, 2])
def test_logits_that_are_not_finite_are_refused(bad: float, where: str, token: int) -> None:
    """NaN and infinite logits raise an error that names the window, the token and the side."""
    logits = {"start": [0.0, 1.0, 2.0], "end": [0.0, 1.0, 2.0]}
    logits[where][token] = bad
    fine = window([0, 1, 2], [0, 1, 2], [(0, 1), (2, 3)])
    broken = window(logits["start"], logits["end"], [(0, 1), (2, 3)])
    with pytest.raises(ModelError, match=rf"{where} logit of token {token} in window 1"):
        decode([fine, broken])


def test_parts_of_different_lengths_are_refused() -> None:
    """Logits that still hold padding, or context tokens outside the window, raise an error that says so."""
    offsets = np.zeros((3, 2), np.int32)
    with pytest.raises(ModelError, match="padding cut off"):
        WindowLogits(np.zeros(4, np.float32), np.zeros(4, np.float32), 1, 3, offsets)
    with pytest.raises(ModelError, match=r"\[1, 4\)"):
        WindowLogits(np.zeros(3, np.float32), np.zeros(3, np.float32), 1, 4, offsets)


@pytest.mark.parametrize("limits", [{"max_answer_tokens": 0}, {"n_best": 0}])
def test_limits_below_one_are_refused(limits: dict[str, int]) -> None:
    """Limits that allow nothing are refused by name."""
    with pytest.raises(SettingsError, match=next(iter(limits))):
        decode([window([0, 1], [0, 1], [(0, 1)])], **limits)


def test_decode_needs_a_window() -> None:
    """Decoding nothing is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one window"):
        decode([])


def test_groups_of_windows_decode_as_all_together() -> None:
    """Decoding group by group and merging gives the places, scores and null score of decoding at once."""
    draw = np.random.default_rng(5)
    windows = [
        WindowLogits(
            draw.normal(size=20).round(1),
            draw.normal(size=20).round(1),
            4,
            19,
            np.stack([np.arange(20) * 3 + 24 * n, np.arange(20) * 3 + 24 * n + 2], axis=1),
        )
        for n in range(6)
    ]
    whole = decode(windows, n_best=25)
    grouped = merged(
        [decode(windows[:1], n_best=25), merged([decode([w], n_best=25) for w in windows[1:]], 100)], 25
    )
    assert grouped.null_score == whole.null_score
    assert [(s.start, s.end, s.score) for s in grouped.spans] == [
        (s.start, s.end, s.score) for s in whole.spans
    ]


def test_thinning_may_stop_early() -> None:
    """`most` gives the first of what thinning gives without it."""
    spans = [Span(a, a + 4, 10.0 - a, 0, a, a) for a in range(20)]
    assert thin(spans, 0.0, 2) == thin(spans, 0.0)[:2]
    assert thin(spans, 0.0, 0) == ()
