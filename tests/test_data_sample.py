"""Training sets with a share of unanswerable questions, and questions put to other paragraphs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_samples import example_lists
from tinyreader.data import Answer, Example, ask_elsewhere, sample
from tinyreader.data.split import group_articles
from tinyreader.errors import DataError, SettingsError

TOWN = (
    "The mill at Orrin Weir was built in 1811 by Ada Marsh.",
    "The bridge at Orrin Weir was built by Tom Reed, who came from the coast.",
    "Boats with coal came up the river every week.",
    "Ada Marsh sold flour to the whole valley.",
)


def questions(n_answered: int, n_without: int) -> list[Example]:
    """Return so many questions of either kind, mixed."""
    answered = [Example(f"a{n}", "Who?", "Ada came", (Answer("Ada", 0),)) for n in range(n_answered)]
    return [
        *answered[::2],
        *(Example(f"n{n}", "Why?", "Ada came") for n in range(n_without)),
        *answered[1::2],
    ]


def town(question: str, answer: str, place: int = 0) -> Example:
    """Return a question on a paragraph of the town's article, which has its answer."""
    return Example(
        "q", question, TOWN[place], (Answer(answer, TOWN[place].index(answer)),), title="Orrin Weir"
    )


def whole_town(*own: Example) -> list[Example]:
    """Return these questions and one without an answer on each of the article's paragraphs."""
    return [*own, *(Example(f"p{n}", "What?", text, title="Orrin Weir") for n, text in enumerate(TOWN))]


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
        assert all(round(n * share) > n_without or n - round(n * share) > n_answered for n in range(1, 90))
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


def test_a_question_goes_to_the_paragraph_that_looks_most_like_its_own() -> None:
    """The paragraph that shares most rare words gets it, without answers, under a name of its own."""
    own = town("Who built the mill at Orrin Weir?", "Ada Marsh")
    made = ask_elsewhere(whole_town(own), 1)
    assert made.examples == (Example("q-elsewhere", own.question, TOWN[1], title="Orrin Weir"),)
    assert made.n_without_place == 0


def test_a_paragraph_with_the_answer_is_no_place_for_it() -> None:
    """Wherever the answer's words stand, in whatever case, the question may be answered: it is not put
    there.
    """
    own = town("Who built the bridge at Orrin Weir?", "Tom Reed", 1)
    shouting = Example(
        "x", "What?", "At Orrin Weir they sang of TOM REED and the bridge.", title="Orrin Weir"
    )
    made = ask_elsewhere([*whole_town(own), shouting], 1)
    assert made.examples[0].context == TOWN[0]


def test_too_few_places_are_an_error() -> None:
    """A question whose words stand everywhere cannot be put elsewhere; too few questions are said to be too
    few.
    """
    nowhere = Example("a", "Who?", "Ada came", (Answer("Ada", 0),), title="T")
    lonely = [nowhere, Example("b", "Why?", "Then ada left", title="T")]
    with pytest.raises(SettingsError, match="0 of the 1 answerable ones have one without"):
        ask_elsewhere(lonely, 1)
    with pytest.raises(SettingsError, match="n_questions is 0"):
        ask_elsewhere(lonely, 0)
    made = ask_elsewhere([*lonely, *whole_town(town("Who built the mill?", "Ada Marsh"))], 1)
    assert [one.id for one in made.examples] == ["q-elsewhere"]
    assert made.n_without_place in (0, 1)


@given(examples=example_lists(min_size=2), seed=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_other_paragraphs_are_of_the_same_article(examples: list[Example], seed: int) -> None:
    """Whatever the data, the new context is another one of the same article and does not hold the answer."""
    article = dict(zip((one.context for one in examples), group_articles(examples), strict=True))
    try:
        made = ask_elsewhere(examples, 1, seed)
    except SettingsError:
        return
    (one,) = made.examples
    origins = [
        e for e in examples if f"{e.id}-elsewhere" == one.id and e.question == one.question and e.answers
    ]
    assert origins
    assert any(
        article[e.context] == article[one.context]
        and e.context != one.context
        and all(answer.text.casefold() not in one.context.casefold() for answer in e.answers)
        for e in origins
    )
    assert not one.answers


def test_no_question_is_put_elsewhere_twice() -> None:
    """Ids stay apart when what was made is drawn from again: other questions are taken, or too few are said
    to be left.
    """
    own = town("Who built the mill at Orrin Weir?", "Ada Marsh")
    other = replace(town("Who came from the coast?", "Tom Reed", 1), id="r")
    examples = whole_town(own, other)
    once = [*examples, *ask_elsewhere(examples, 1).examples]
    twice = [*once, *ask_elsewhere(once, 1).examples]
    assert {one.id for one in twice[len(examples) :]} == {"q-elsewhere", "r-elsewhere"}
    with pytest.raises(
        SettingsError, match=r"0 of the 0 answerable ones .* 2 more have been put elsewhere before"
    ):
        ask_elsewhere(twice, 1)
