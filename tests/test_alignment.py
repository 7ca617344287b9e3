"""`distil.alignment`: distributions carried from one tokenizer's tokens to another's stay distributions, and
stay in place.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_tokenizers import KINDS
from tinyreader.data import Answer, Example
from tinyreader.distil.alignment import (
    LOG_ZERO,
    Places,
    Slice,
    SliceLogits,
    Surroundings,
    carry,
    end_targets,
    lay_out,
    logarithms,
    merge_pieces,
    overlaps,
    softmax,
    start_targets,
)
from tinyreader.distil.pairs import Pair, Pairer
from tinyreader.windows import Windower, WindowSettings

ALONE = Surroundings(1, 1, 1)
SETTINGS = WindowSettings(max_seq_len=64, doc_stride=16, on_long_question="truncate")
WIDE = WindowSettings()
WORDS = (
    "the",
    "ferry",
    "built",
    "mill",
    "Café",
    "Ünal",
    "naïve",
    "crème",
    "東京の橋",
    "北京的桥很旧",
    "🌉",
    "👩‍👩‍👧",
    "𝔘nicode",
    "1811.",
    "zxqv",
    "e\u0301te\u0301",
    "\u200b",
    "שלום",
    "पुल",
    ",",
    "carries",
    "forty",
)
kinds = st.sampled_from(sorted(KINDS))
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(" ".join)
free_texts = st.text(min_size=1, max_size=120)
seeds = st.integers(0, 2**32 - 1)


def places(*spans: tuple[int, int]) -> Places:
    """A window whose context has tokens on these characters, behind a null token, a question and a
    separator.
    """
    context = np.array(spans, dtype=np.int32).reshape(-1, 2)
    end = int(context[:, 1].max(initial=0))
    return lay_out(np.array([[0, 3]], dtype=np.int32), context, ALONE, Slice(3, 0, end))


def said(start: list[float], end: list[float], *spans: tuple[int, int], begin: int = 0) -> SliceLogits:
    """Logits of the null position and of tokens at these places of the line, where the context begins at
    5.
    """
    line = np.array(spans, dtype=np.int64).reshape(-1, 2) + 5
    return SliceLogits(np.array(start), np.array(end), line, begin)


@cache
def windower(kind: str, settings: WindowSettings = SETTINGS) -> Windower:
    """What cuts windows with a tokenizer of that kind."""
    return Windower(KINDS[kind](), settings)


@cache
def pairer(
    teacher: str, student: str, settings: WindowSettings = SETTINGS, max_tokens: int | None = None
) -> Pairer:
    """What cuts windows for two tokenizers of these kinds."""
    return Pairer(KINDS[student](), KINDS[teacher](), settings, max_tokens)


def opinion(pair: Pair, seed: int) -> list[SliceLogits]:
    """What a teacher of random convictions says of the pieces of a pair."""
    rng = np.random.default_rng(seed)
    return [
        SliceLogits(*rng.normal(0, 6, (2, 1 + len(piece.places.context))), piece.places.context, piece.begin)
        for piece in pair.pieces
    ]


def certain(pair: Pair, start: int, end: int) -> SliceLogits:
    """A teacher that is sure of the first and last token, of its slice, that overlap characters [start, end)
    of the line.
    """
    (piece,) = pair.pieces
    line = piece.places.context
    covers = np.flatnonzero((line[:, 1] > start) & (line[:, 0] < end) & (line[:, 1] > line[:, 0]))
    logits = np.full((2, 1 + len(line)), -50.0)
    logits[0, 1 + covers[0]], logits[1, 1 + covers[-1]] = 50.0, 50.0
    return SliceLogits(logits[0], logits[1], line)


def test_one_line_holds_question_and_slice() -> None:
    """Opening tokens, question, separators, the slice and the closing tokens stand one behind the other."""
    found = lay_out(
        np.array([[0, 2], [3, 5]]), np.array([[10, 14], [15, 16]]), Surroundings(1, 2, 1), Slice(5, 10, 17)
    )
    assert found.line.tolist() == [[0, 1], [1, 3], [4, 6], [6, 7], [6, 7], [7, 11], [12, 13], [14, 15]]
    assert (found.first, found.stop) == (5, 7)


def test_a_start_goes_to_the_first_token_that_reaches_beyond_it() -> None:
    """To the token that holds the character, of several the first, or else to the next one; behind all of
    them to null.
    """
    student = places((0, 4), (6, 7), (6, 7), (8, 12))
    tokens = np.array([[0, 2], [2, 4], [4, 5], [6, 7], [9, 12], [12, 13]]) + 5
    assert start_targets(tokens, student).tolist() == [3, 3, 4, 4, 6, 0]


def test_an_end_goes_to_the_last_token_that_begins_before_it() -> None:
    """To the token that holds the character, of several the last, or else to the one before; before all of
    them to null.
    """
    student = places((2, 4), (6, 7), (6, 7), (8, 12))
    tokens = np.array([[0, 2], [0, 3], [2, 5], [6, 7], [7, 8], [9, 10], [10, 13]]) + 5
    assert end_targets(tokens, student).tolist() == [0, 3, 3, 5, 5, 6, 6]


def test_nothing_begins_or_ends_at_a_token_without_characters() -> None:
    """A student token of no width gets no mass, a teacher's gives its own to its neighbours."""
    student = places((0, 2), (2, 2), (2, 4))
    tokens = np.array([[2, 2], [2, 4]]) + 5
    assert start_targets(tokens, student).tolist() == [5, 5]
    assert end_targets(tokens, student).tolist() == [3, 5]
    empty = places((1, 1))
    assert start_targets(tokens, empty).tolist() == end_targets(tokens, empty).tolist() == [0, 0]


def test_mass_adds_up_on_a_coarse_token_and_goes_to_the_edges_of_fine_ones() -> None:
    """Two teacher tokens in one of the student's add up; of three in one of the teacher's the first starts,
    the last ends.
    """
    log = np.log(np.array([0.1, 0.2, 0.3, 0.4]))
    start, end = carry(said(log, log, (0, 2), (2, 4), (5, 8)), places((0, 4), (5, 6), (6, 7), (7, 8)))
    assert start == pytest.approx([0.1, 0, 0, 0.5, 0.4, 0, 0, 0])
    assert end == pytest.approx([0.1, 0, 0, 0.5, 0, 0, 0.4, 0])


def test_pieces_are_merged_by_context_and_the_least_sure_no_answer() -> None:
    """Each token is taken from the piece where it is further from an edge, of equals the first; null as
    spans.py has it.
    """
    a = said([3, 10, 11, 12, 13], [3, 20, 21, 22, 23], (0, 1), (1, 2), (2, 3), (3, 4))
    b = said([1, 30, 31, 32, 33], [4, 40, 41, 42, 43], (2, 3), (3, 4), (4, 5), (5, 6), begin=2)
    merged = merge_pieces([a, b])
    assert merged.start.tolist() == [1, 10, 11, 12, 31, 32, 33]
    assert merged.end.tolist() == [4, 20, 21, 22, 41, 42, 43]
    assert (merged.places - 5).tolist() == [[n, n + 1] for n in range(6)]
    assert merge_pieces([b, replace(a, start=a.start - 9)]).start[0] == -6


@settings(deadline=None, max_examples=150)
@given(kinds, kinds, texts | free_texts, seeds)
def test_a_distribution_stays_one(teacher: str, student: str, text: str, seed: int) -> None:
    """Between any two kinds of tokenizers, on any text: sums of 1 over null and context, nothing elsewhere,
    also in fp16.
    """
    example = Example("q", "Who built it?", text)
    own = list(windower(student).windows([example]))
    pairs = list(pairer(teacher, student, max_tokens=40).pairs([example]))
    assert len(own) == len(pairs)
    for window, pair in zip(own, pairs, strict=True):
        assert (pair.student.first, pair.student.stop, len(pair.student)) == (
            window.first,
            window.stop,
            len(window),
        )
        for found in carry(merge_pieces(opinion(pair, seed)), pair.student):
            assert found.min() >= 0
            assert found.sum() == pytest.approx(1, abs=1e-12)
            outside = np.ones(len(window), dtype=bool)
            outside[[0, *range(window.first, window.stop)]] = False
            assert not found[outside].any()
            kept = logarithms(found).astype(np.float16).astype(np.float64)
            assert np.isfinite(kept).all()
            assert np.exp(kept) == pytest.approx(found, rel=5e-3, abs=5e-4)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["wordpiece", "mpnet"]), texts, seeds)
def test_the_same_tokenizer_changes_nothing(kind: str, text: str, seed: int) -> None:
    """With equal windows of tokens that each have characters of their own, the distribution is the teacher's
    own.
    """
    example = Example("q", "Who built it?", text)
    for pair in pairer(kind, kind).pairs([example]):
        assert pair.pieces[0].places.line.tolist() == pair.student.line.tolist()
        (own,) = opinion(pair, seed)
        expected = softmax(own.start), softmax(own.end)
        for found, wanted in zip(carry(own, pair.student), expected, strict=True):
            assert found[[0, *range(pair.student.first, pair.student.stop)]] == pytest.approx(
                wanted, abs=1e-12
            )


@settings(deadline=None, max_examples=150)
@given(kinds, kinds, st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.data())
def test_a_sure_answer_arrives_at_its_label(
    teacher: str, student: str, words: list[str], data: st.DataObject
) -> None:
    """The teacher's label of an answer of whole words becomes the student's label of it, whoever cuts
    finer.
    """
    text = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start = len(" ".join([*words[:first], ""]))
    answer = Answer(" ".join(words[first : last + 1]), start)
    example = Example("q", "?", text, (answer,))
    (window,) = windower(student, WIDE).windows([example])
    (pair,) = pairer(teacher, student, WIDE).pairs([example])
    if "\u200b" in (words[first], words[last]):
        return  # dropped by some: the nearest token stands for it
    begin = 1 + len("?") + 1
    starts, ends = carry(certain(pair, begin + answer.start, begin + answer.end), pair.student)
    assert (int(starts.argmax()), int(ends.argmax())) == (window.start, window.end)
    assert starts.max() == pytest.approx(1)
    assert ends.max() == pytest.approx(1)


def test_logarithms_stand_for_the_probabilities_at_any_temperature() -> None:
    """Zero stays zero where a softmax is taken of them, sharp or soft."""
    logs = logarithms(np.array([0.5, 0.0, 0.25, 0.25]))
    assert logs[1] == LOG_ZERO
    for temperature in (0.5, 1.0, 10.0):
        found = softmax(logs / temperature)
        expected = np.array([0.5, 0.0, 0.25, 0.25]) ** (1 / temperature)
        assert found == pytest.approx(expected / expected.sum(), abs=1e-12)


def test_overlaps_count_shared_characters() -> None:
    """Of each token of one with each of the other."""
    one, other = np.array([[0, 4], [4, 4], [4, 9]]), np.array([[0, 1], [3, 6], [8, 12]])
    found: npt.NDArray[np.integer] = overlaps(one, other)
    assert found.tolist() == [[1, 1, 0], [0, 0, 0], [0, 2, 1]]
