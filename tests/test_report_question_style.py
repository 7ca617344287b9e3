"""What the wording of questions alone gives away."""

from __future__ import annotations

import random

import pytest

from tinyreader.data import Answer, Example
from tinyreader.report.question_style import question_style_auroc


def questions(n: int, opening_without_answer: str) -> list[Example]:
    """Questions of random words, half without an answer, those with an opening of their own."""
    rng = random.Random(1)
    made = []
    for i in range(n):
        words = " ".join(rng.choices("bread boat river lamp stone wind".split(), k=5))
        context = "The document says Ada."
        if i % 2:
            made.append(Example(f"q{i}", f"{opening_without_answer} {words}?", context))
        else:
            answer = Answer("Ada", context.index("Ada"))
            made.append(Example(f"q{i}", f"Where is {words}?", context, (answer,)))
    return made


def test_an_opening_gives_unanswerable_questions_away() -> None:
    """Questions that open in their own way are told apart; those worded like the others are not."""
    assert question_style_auroc(questions(400, "What is the name of")) == pytest.approx(1.0, abs=0.01)
    assert question_style_auroc(questions(400, "Where is")) == pytest.approx(0.5, abs=0.12)


def test_too_few_questions_say_nothing() -> None:
    """Fewer than fifty of a kind give no number."""
    few = questions(80, "Why is")
    assert question_style_auroc(few) is None
    assert question_style_auroc([]) is None


def test_a_question_asked_both_ways_gives_nothing_away() -> None:
    """The same questions with and without an answer: no classifier can be better than chance, nor worse."""
    answerable = [one for one in questions(400, "Why is") if one.answers]
    both = [*answerable, *(Example(f"{one.id}-removed", one.question, "Nothing.") for one in answerable)]
    assert question_style_auroc(both) == pytest.approx(0.5)
