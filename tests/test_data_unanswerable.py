"""Unanswerable questions made from answerable ones: put to another text, or with the answer removed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_samples import example_lists
from tinyreader.data import Answer, Example, ask_elsewhere, remove_answers
from tinyreader.data.split import group_articles
from tinyreader.data.unanswerable import sentences, without_answer
from tinyreader.errors import SettingsError

TOWN = (
    "The mill at Orrin Weir was built in 1811 by Ada Marsh.",
    "The bridge at Orrin Weir was built by Tom Reed, who came from the coast.",
    "Boats with coal came up the river every week.",
    "Ada Marsh sold flour to the whole valley.",
)


def town(question: str, answer: str, place: int = 0) -> Example:
    """Return a question on a paragraph of the town's article, which has its answer."""
    return Example(
        "q", question, TOWN[place], (Answer(answer, TOWN[place].index(answer)),), title="Orrin Weir"
    )


def whole_town(*own: Example) -> list[Example]:
    """Return these questions and one without an answer on each of the article's paragraphs."""
    return [*own, *(Example(f"p{n}", "What?", text, title="Orrin Weir") for n, text in enumerate(TOWN))]


def test_a_question_goes_to_the_paragraph_that_looks_most_like_its_own() -> None:
    """The paragraph that shares most rare words gets it, without answers, under a name of its own."""
    own = town("Who built the mill at Orrin Weir?", "Ada Marsh")
    made = ask_elsewhere(whole_town(own), 1)
    assert made.examples == (Example("q-elsewhere", own.question, TOWN[1], title="Orrin Weir"),)
    assert made.n_unsuitable == 0


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
    with pytest.raises(SettingsError, match="0 of the 1 answerable ones"):
        ask_elsewhere(lonely, 1)
    with pytest.raises(SettingsError, match="n_questions is 0"):
        ask_elsewhere(lonely, 0)


@given(examples=example_lists(min_size=2), seed=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_the_other_text_never_holds_the_answer(examples: list[Example], seed: int) -> None:
    """Whatever the data: another context, without the answer, of the same article if that has a suitable one."""
    article = dict(zip((one.context for one in examples), group_articles(examples), strict=True))
    try:
        (made,) = ask_elsewhere(examples, 1, seed).examples
    except SettingsError:
        return
    assert not made.answers
    assert any(
        is_put_elsewhere(origin, made.context, examples, article) for origin in examples if origin.answers
    )


def is_put_elsewhere(origin: Example, context: str, examples: list[Example], article: dict[str, str]) -> bool:
    """Whether the context suits the question, and no paragraph of its own article does where it is of another."""

    def suits(text: str) -> bool:
        return text != origin.context and all(
            a.text.casefold() not in text.casefold() for a in origin.answers
        )

    own = article[origin.context]
    if article[context] == own:
        return suits(context)
    return context != origin.context and not any(
        suits(e.context) for e in examples if article[e.context] == own
    )


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
    with pytest.raises(SettingsError, match=r"0 of the 0 answerable ones .* 2 more have been used before"):
        ask_elsewhere(twice, 1)


def test_a_lone_document_borrows_the_nearest_other_one() -> None:
    """A question whose article is a single text goes to the text of another article that BM25 ranks first."""
    lease = "Rent is due on the first of the month. The flat has two rooms and a balcony."
    other = "Rent for the hall is agreed with the caretaker, who keeps the keys to the rooms."
    recipe = "Stir the flour into the butter until it foams, then add the milk."
    own = Example("q", "When is rent due?", lease, (Answer("the first of the month", 15),), title="Lease")
    rest = [Example("h", "?", other, title="Hall"), Example("r", "?", recipe, title="Sauce")]
    assert ask_elsewhere([own, *rest], 1).examples == (Example("q-elsewhere", own.question, other),)


NOTICE = """TENANTS' NOTICE
Bins: Tuesday, before 7 a.m.
Bicycles: in the shed behind house 4. The key hangs in the office.

Dear all, the boiler will be serviced by the
firm of Mr. Okafor on 12 March. Expect cold
water until noon."""


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ("Tuesday", "Bins: Tuesday, before 7 a.m.\n"),
        ("in the shed", "Bicycles: in the shed behind house 4."),
        ("12 March", "Dear all, the boiler will be serviced by the\nfirm of Mr. Okafor on 12 March."),
    ],
)
def test_the_answering_sentence_or_row_is_removed(answer: str, gone: str) -> None:
    """A row of a list, a sentence of a row, and a sentence that is wrapped by hand go as a whole; the rest stays."""
    context = NOTICE.replace("by the\nfirm", "by the very same\nfirm")  # a wrapped line is long
    gone = gone.replace("by the\nfirm", "by the very same\nfirm")
    example = Example("q", "?", context, (Answer(answer, context.index(answer)),), title="T")
    left = without_answer(example)
    assert left is not None
    assert gone.strip() in context
    assert left.split() == context.replace(gone, " ").split()
    assert remove_answers([example], 1).examples == (Example("q-removed", "?", left, title="T"),)


def test_an_answer_that_stands_twice_cannot_be_removed() -> None:
    """A question stays out whose answer also stands in the rest, in whatever case; within another word is no matter."""
    text = "The fee is ten euros. " + "Nothing else is written here that would matter. " * 3
    example = Example("q", "?", text, (Answer("ten euros", 11),))
    assert remove_answers([example], 1).examples
    again = replace(example, context=text + "It is TEN EUROS.")
    with pytest.raises(SettingsError, match="0 of the 1 answerable ones"):
        remove_answers([again], 1)
    assert remove_answers([again], None).n_unsuitable == 1
    inside = replace(example, context=text + "Often euros change.", answers=(Answer("ten euros", 11),))
    assert remove_answers([inside], 1).examples


@given(st.text(alphabet="ab. \n!?A", max_size=80))
def test_sentences_cover_the_text(text: str) -> None:
    """Sentences follow each other without a gap, from the first character to the last."""
    spans = sentences(text)
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(a < b for a, b in spans)
