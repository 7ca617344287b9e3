"""`report.compare`: differences, exact tests, questions won and lost, the front."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyreader.errors import DataError
from tinyreader.report.compare import (
    Comparison,
    Side,
    compare,
    front,
    load_sides,
    mcnemar,
    pareto_plot,
    same_questions,
    split_timed,
)
from tinyreader.report.plots import LIGHT, save
from tinyreader.report.record import Question, Report, save_report


def question(number: int, f1: float, *, answerable: bool = True, answered: bool = True) -> Question:
    """A question with that F1, right where it is 1."""
    exact = float(f1 == 1.0)
    return Question(
        id=f"q{number}",
        prediction=f"span {f1}",
        start=0,
        end=4,
        answered=answered,
        null_odds=-1.0,
        score=0.7,
        confidence=0.7,
        exact=exact,
        f1=f1,
        text_exact=exact,
        text_f1=f1,
        answerable=answerable,
        question_word="who",
        context_tokens=50,
        windows=1,
    )


def report(name: str = "reader", speed: float = 10.0, f1: float = 70.0, **changes: Any) -> Report:
    """A report with what a comparison looks at."""
    content: dict[str, Any] = {
        "model": {"name": name, "parameters": 10, "size_bytes": 40, "run": None},
        "reader": {"engine": "openvino", "precision": "bf16", "settings": {}},
        "data": {"name": "dev.json", "fingerprint": "f" * 32, "questions": 4, "answerable": 3, "left_out": 0},
        "normalisation": "squad-en",
        "official": {"script": "2.0", "na_prob_thresh": 0.0},
        "scores": {"exact": f1 - 5, "f1": f1, "total": 4},
        "answered": {"exact": 1.0, "f1": 1.0},
        "intervals": {"exact": (f1 - 7, f1 - 3), "f1": (f1 - 2, f1 + 2)},
        "calibration": {"ece": 0.1, "bins": []},
        "curves": {},
        "slices": {},
        "speed": {"questions_per_second": speed, "latency_ms": {"p50": 1.0}},
        "machine": {"processor": "a CPU", "cores": 2},
        "versions": {"python": "3"},
        "date": "2026-01-01",
    }
    return Report(**{**content, **changes})


def side(name: str, f1s: list[float], **changes: Any) -> Side:
    """A reader with these F1 on the questions; the last question has no answer."""
    rows = [question(n, f1, answerable=n < len(f1s) - 1) for n, f1 in enumerate(f1s)]
    return Side(name, report(name, **changes), {q.id: q for q in rows})


def compared(first: list[float], second: list[float]) -> Comparison:
    """The second reader against the first."""
    sides = [side("a", first), side("b", second)]
    return compare(*sides, same_questions(sides), samples=500)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_is_the_exact_binomial(outcomes: list[tuple[bool, bool]]) -> None:
    """Two-sided, from its definition in whole numbers; symmetric; 1 where nothing differs."""
    a, b = [x for x, _ in outcomes], [y for _, y in outcomes]
    n, k = (
        sum(x != y for x, y in outcomes),
        min(sum(x and not y for x, y in outcomes), sum(y and not x for x, y in outcomes)),
    )
    expected = min(Fraction(1), 2 * Fraction(sum(comb(n, i) for i in range(k + 1)), 2**n))
    assert mcnemar(a, b) == pytest.approx(float(expected), rel=1e-9)
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_of_many_questions() -> None:
    """A hundred thousand questions neither overflow nor take long."""
    rng = np.random.default_rng(0)
    a, b = rng.random(100_000) < 0.7, rng.random(100_000) < 0.7
    assert 0.0 < mcnemar(a, b) <= 1.0
    assert mcnemar(np.ones(100_000), np.zeros(100_000)) == 0.0


def test_a_reader_is_no_better_than_itself() -> None:
    """No difference, no question won, no p-value below 1, no verdict."""
    c = compared([1.0, 0.5, 0.0, 1.0] * 20, [1.0, 0.5, 0.0, 1.0] * 20)
    assert {m.difference for m in c.measures} == {0.0}
    assert {m.p for m in c.measures} == {1.0}
    assert {m.verdict for m in c.measures} == {"no difference shown"}
    assert (c.won, c.lost) == ((), ())


def test_differences_are_second_minus_first() -> None:
    """In percent, over all and for each kind of question, with the means of both sides."""
    c = compared([0.0, 0.5, 1.0, 0.0], [1.0, 0.5, 0.5, 1.0])
    f1, answered = c.measure("f1"), c.measure("HasAns_f1")
    assert (f1.first, f1.second, f1.difference, f1.questions) == (37.5, 75.0, 37.5, 4)
    assert (answered.first, answered.second, answered.questions) == (50.0, pytest.approx(200 / 3), 3)
    assert (c.measure("NoAns_exact").difference, c.measure("NoAns_exact").questions) == (100.0, 1)
    assert f1.low <= f1.difference <= f1.high
    assert [m.test for m in c.measures if m.score.endswith("exact")] == ["McNemar"] * 3
    assert [(d.id, d.is_won) for d in (*c.won, *c.lost)] == [("q0", True), ("q3", True), ("q2", False)]
    assert c.as_dict()["scores"]["f1"]["verdict"] == f1.verdict


def test_what_is_clear_is_shown_either_way() -> None:
    """A reader that is better on most questions is shown to be, and the other to be worse; the tests
    agree.
    """
    rng = np.random.default_rng(0)
    low, high = (np.round(rng.random(300) * share, 2).tolist() for share in (0.6, 1.0))
    for first, second, verdict in ((low, high, "better"), (high, low, "worse")):
        m = compared(first, second).measure("f1")
        assert m.verdict == verdict
        assert m.p < 0.01


def test_readers_say_nothing_where_they_did_not_answer() -> None:
    """Of a question that was not answered, what was said is empty."""
    a, b = side("a", [1.0, 1.0]), side("b", [0.0, 1.0])
    b = replace(b, questions={**b.questions, "q0": replace(b.questions["q0"], answered=False)})
    (lost,) = compare(a, b, ["q0", "q1"], samples=100).lost
    assert (lost.first, lost.second) == ("span 1.0", "")


def test_other_questions_and_rules_are_refused() -> None:
    """Different data by fingerprint or ids, normalisation or script are errors; shared questions can be asked
    for.
    """
    a, b = side("a", [1.0, 0.5, 1.0]), side("b", [1.0, 0.5, 0.0])
    assert same_questions([a, b]) == ["q0", "q1", "q2"]
    other = replace(b, report=report("b", data={"name": "x.json", "fingerprint": "0" * 32}))
    with pytest.raises(
        DataError, match=r"data: dev.json \(3 questions\) and x.json \(3\); 3 ids are in both.*--shared-only"
    ):
        same_questions([a, other])
    assert same_questions([a, other], shared_only=True) == ["q0", "q1", "q2"]
    fewer = replace(b, questions={"q1": b.questions["q1"]})
    with pytest.raises(DataError, match="1 ids are in both"):
        same_questions([a, fewer])
    assert same_questions([a, fewer], shared_only=True) == ["q1"]
    with pytest.raises(DataError, match="no question in common"):
        same_questions([a, replace(b, questions={})], shared_only=True)
    with pytest.raises(DataError, match=r"a was normalised as squad-en, b normalised as de: "):
        same_questions([a, replace(b, report=report("b", normalisation="de"))])
    with pytest.raises(DataError, match=r"a was scored by script 2.0, b scored by script 1.1"):
        same_questions([a, replace(b, report=report("b", official={"script": "1.1"}))])
    turned = {**b.questions, "q1": replace(b.questions["q1"], answerable=False)}
    with pytest.raises(DataError, match=r"1 questions, such as 'q1', have an answer in one"):
        same_questions([a, replace(b, questions=turned)])


def test_reports_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """They go by their directories too; the path of a model is cut to its name."""
    for name, model in (("one", "/runs/student"), ("two", "runs/student"), ("three", "org/teacher")):
        (tmp_path / name).mkdir()
        save_report(report(model), [question(0, 1.0)], tmp_path / name)
    one, two, three = load_sides([tmp_path / name for name in ("one", "two", "three")])
    assert (one.name, two.name) == (f"student ({tmp_path / 'one'})", f"student ({tmp_path / 'two'})")
    assert three.name == "teacher"
    assert list(one.questions) == ["q0"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_holds_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    """A point is on the front just if no point is at least as good in both and better in one."""
    found = front([(float(x), float(y)) for x, y in points])
    for i, (x, y) in enumerate(points):
        beaten = any(u >= x and v >= y and (u, v) != (x, y) for u, v in points)
        assert (i in found) == (not beaten)
    assert [points[i] for i in found] == sorted(points[i] for i in found)


def test_the_plot_names_every_reader_and_the_front(tmp_path: Path) -> None:
    """Readers without a speed are left out by name; every name is in the legend; other machines are
    admitted.
    """
    values = [(10, 76), (40, 74), (38, 73.5), (90, 60)]
    sides = [side(f"reader-{n}", [1.0, 1.0], speed=speed, f1=f1) for n, (speed, f1) in enumerate(values)]
    sides.append(replace(sides[0], name="untimed", report=report("untimed", speed={})))
    sides[3] = replace(sides[3], report=replace(sides[3].report, machine={"processor": "another"}))
    timed, without = split_timed(sides)
    assert without == ["untimed"]
    plot = pareto_plot(timed)
    assert plot.says.endswith("On the Pareto front: reader-0, reader-1, reader-3.")
    save([plot], tmp_path)
    svg = (tmp_path / "plots" / "pareto.svg").read_text()
    for name in (
        "reader-0",
        "reader-1",
        "reader-2",
        "reader-3",
        "timed on different machines: speeds do not compare",
    ):
        assert f">{name}<" in svg
    assert (tmp_path / "plots" / "pareto-dark.png").stat().st_size > 5000


def test_the_legend_lies_on_no_interval() -> None:
    """It stands above the axes, where no reader's interval can be, and names every reader; a front of one
    reader, which is not a line, is not in it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    timed, _ = split_timed([side("best", [1.0], speed=60, f1=58.5), side("beaten", [1.0], speed=44, f1=56.5)])
    plot = pareto_plot(timed)
    figure = Figure(figsize=plot.size, layout="constrained")
    FigureCanvasAgg(figure)
    plot.draw(figure, LIGHT)
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "hollow: beaten in speed and score",
        "beaten",
        "best",
    ]
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1 - 1
