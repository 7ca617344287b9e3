"""`benchmarks/scored.py`: its best threshold is the best of all possible ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scored import Scored, differences, scored
from tinyreader.data import Answer, Example
from tinyreader.metrics import score_v2

questions = st.lists(st.tuples(st.floats(0, 1), st.integers(-50, 50), st.booleans()), min_size=1, max_size=30)


@given(questions)
def test_no_threshold_scores_higher(drawn: list[tuple[float, int, bool]]) -> None:
    f1, odds, impossible = (np.array(column) for column in zip(*drawn, strict=True))
    odds = odds + np.arange(len(odds)) / 100  # no ties: a threshold parts any two
    f1 = np.where(impossible, 0.0, f1)
    mine = Scored(f1, f1, odds, impossible)
    of_all = [np.where(odds <= threshold, f1, impossible).mean() for threshold in [-1e9, *odds]]
    assert mine.at_best(f1).mean() == pytest.approx(max(of_all))


words = st.sampled_from(["1931", "The bridge", "bridge", "opened in", ".", "the", ""])


@given(st.lists(st.tuples(words, st.integers(-5, 5), st.booleans()), min_size=1, max_size=12))
def test_the_best_score_matches_the_official_script(drawn: list[tuple[str, int, bool]]) -> None:
    context = "The bridge was opened in 1931."
    examples = [
        Example(str(n), "When?", context, () if impossible else (Answer("1931", 25),))
        for n, (_, _, impossible) in enumerate(drawn)
    ]
    answers = {str(n): answer for n, (answer, _, _) in enumerate(drawn)}
    odds = {str(n): odd + n / 100 for n, (_, odd, _) in enumerate(drawn)}
    official, mine = score_v2(examples, answers, odds, 0.0), scored(examples, answers, odds)
    assert 100 * mine.at_best(mine.f1).mean() == pytest.approx(official["best_f1"])
    assert 100 * mine.at_best(mine.exact).mean() == pytest.approx(official["best_exact"])


def test_scores_and_differences() -> None:
    context = "The bridge was opened in 1931."
    examples = [
        Example("a", "When?", context, (Answer("1931", 25),)),
        Example("b", "Who paid?", context, ()),
        Example("c", "What was opened?", context, (Answer("The bridge", 0),)),
    ]
    right = scored(examples, {"a": "1931", "b": "1931", "c": "bridge"}, {"a": -3.0, "b": 4.0, "c": -1.0})
    wrong = scored(examples, {"a": "opened", "b": "1931", "c": "in 1931"}, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert right.at_best(right.f1).tolist() == [1.0, 1.0, 1.0]
    assert wrong.at_best(wrong.f1).tolist() == [0.0, 1.0, 0.0]  # best of all: no answer to any
    assert right.answerable(right.f1).tolist() == [1.0, 1.0]
    lines = list(differences({"base": wrong, "mine": right}, "base"))
    assert [line.split(": ")[0] for line in lines] == ["mine - base, F1", "mine - base, answerable F1"]
    assert "+66.67" in lines[0]
    assert "+100.00" in lines[1]
