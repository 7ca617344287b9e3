"""`serve.limits`: what a request takes to read, known before it is begun."""

from __future__ import annotations

import pytest

from tinyreader.documents import Document
from tinyreader.reader import Question
from tinyreader.serve.limits import check_cost, read_tokens
from tinyreader.serve.problems import Problem

ASK = "who built it"
SHORT, LONG = (Document("s", "a" * 400),), (Document("l", "a" * 4_000_000),)


def test_texts_count_once_for_each_question() -> None:
    """Twice the questions, or twice the documents, are twice the work, whether the documents are shared or
    not.
    """
    one = read_tokens([Question(ASK, SHORT)], 384, 128, 0)
    assert 100 < one < 120
    assert read_tokens([Question(ASK, SHORT)] * 7, 384, 128, 0) == 7 * one
    assert read_tokens([Question(ASK, SHORT * 5)], 384, 128, 0) == 5 * one


def test_overlaps_count() -> None:
    """Windows that share most of their tokens are many: the same text costs many times as much."""
    usual = read_tokens([Question(ASK, LONG)], 384, 128, 0)
    assert 1_400_000 < usual < 1_700_000
    assert read_tokens([Question(ASK, LONG)], 384, 350, 0) > 8 * usual
    assert read_tokens([Question("why " * 240, LONG)], 384, 128, 0) > 5 * usual


def test_passages_bound_it() -> None:
    """Of long documents so many passages are read, and of the folder too."""
    assert read_tokens([Question(ASK, LONG)], 384, 128, 10) < 3000
    assert 2500 < read_tokens([Question(ASK, None)], 384, 128, 10) < 3000  # type: ignore[arg-type]
    assert read_tokens([], 384, 128, 0) == 0


def test_what_is_too_much_is_refused_with_the_limit() -> None:
    """As a limit, before any work."""
    check_cost(5, 5)
    with pytest.raises(Problem) as caught:
        check_cost(6, 5)
    assert (caught.value.kind, caught.value.limit) == ("limit", 5)
