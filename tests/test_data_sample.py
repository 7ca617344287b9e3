"""Parts of a data set with a given share of unanswerable questions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyreader.data import Answer, Example, sample
from tinyreader.errors import DataError, SettingsError


def questions(n_answered: int, n_without: int) -> list[Example]:
    """Return so many questions of either kind, mixed."""
    answered = [Example(f"a{n}", "Who?", "Ada came", (Answer("Ada", 0),)) for n in range(n_answered)]
    return [
        *answered[::2],
        *(Example(f"n{n}", "Why?", "Ada came") for n in range(n_without)),
        *answered[1::2],
    ]


@given(
    n_answered=st.integers(0, 40), n_without=st.integers(0, 40), share=st.floats(0, 1), seed=st.integers(0, 3)
)
@settings(max_examples=200, deadline=None)
def test_the_share_is_met_with_as_many_as_can_be(
    n_answered: int, n_without: int, share: float, seed: int
) -> None:
    """The share is met to the nearest question, in the order given, and no larger number would do."""
    examples = questions(n_answered, n_without)
    try:
        drawn = sample(examples, unanswerable=share, seed=seed)
    except (SettingsError, DataError):
        is_one_kind_short = (share > 0 and not n_without) or (share < 1 and not n_answered)
        assert is_one_kind_short or all(
            round(n * share) > n_without or n - round(n * share) > n_answered for n in range(1, 90)
        )
        return
    n = len(drawn)
    assert sum(one.is_impossible for one in drawn) == round(n * share)
    assert [one for one in examples if one in drawn] == drawn
    for more in range(n + 1, 90):
        assert round(more * share) > n_without or more - round(more * share) > n_answered


def test_so_many_are_drawn_by_the_seed() -> None:
    """A number is met exactly; the same seed draws the same questions, another others; without a share the
    mix is chance.
    """
    examples = questions(60, 20)
    drawn = sample(examples, n_questions=30, unanswerable=0.5, seed=1)
    assert (len(drawn), sum(one.is_impossible for one in drawn)) == (30, 15)
    assert sample(examples, n_questions=30, unanswerable=0.5, seed=1) == drawn
    assert sample(examples, n_questions=30, unanswerable=0.5, seed=2) != drawn
    assert len(sample(examples, n_questions=30)) == 30
    assert sample(examples) == examples


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"n_questions": 81}, "81 questions are wanted, but there are 80"),
        ({"n_questions": 60, "unanswerable": 0.5}, "30 unanswerable questions are wanted, but there are 20"),
        ({"n_questions": 70, "unanswerable": 0.0}, "70 answerable questions are wanted, but there are 60"),
        ({"n_questions": 0}, "n_questions is 0"),
        ({"n_questions": True}, "n_questions is True"),
        ({"unanswerable": 1.5}, "unanswerable is 1.5"),
        ({"unanswerable": float("nan")}, "unanswerable is nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked: dict[str, float], said: str) -> None:
    """Too many of a kind, and what is no number or share, is one clear error."""
    with pytest.raises(SettingsError, match=said):
        sample(questions(60, 20), **asked)  # type: ignore[arg-type]


def test_nothing_to_draw_from() -> None:
    """An empty set is an error, not an empty answer; so is a kind that is not there."""
    with pytest.raises(DataError, match="no questions to draw from"):
        sample([], unanswerable=0.5)
    with pytest.raises(SettingsError, match="there are 3 answerable and 0 unanswerable ones"):
        sample(questions(3, 0), unanswerable=0.9)
