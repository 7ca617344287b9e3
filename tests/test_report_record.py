"""`report.record`: a report survives its files, damaged ones are errors; what a report may replace; a teacher's
answers from a file, a run or a report.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import report_samples
from tinyreader.errors import DataError, SettingsError
from tinyreader.report import load_questions, load_report, save_report
from tinyreader.report.figures import NAMES
from tinyreader.report.record import check_output, remove_old_plots, teacher_answers

EXAMPLES = report_samples.examples(6)


def test_report_and_questions_come_back_as_they_were(tmp_path: Path) -> None:
    """What is loaded equals what was saved, intervals as pairs, an infinite null odds as infinity; JSON is
    strict.
    """
    given = report_samples.examples(12)
    judged = report_samples.questions(given, teacher=True)
    judged[3] = replace(judged[3], null_odds=math.inf, prediction="")
    report = report_samples.report(
        given, judged, training=report_samples.training(), layers=report_samples.layers()
    )
    save_report(report, judged, tmp_path)
    assert load_report(tmp_path) == report
    assert load_questions(tmp_path) == judged
    for name in ("report.json", "questions.jsonl"):
        assert "Infinity" not in (tmp_path / name).read_text("utf-8")
    assert json.loads((tmp_path / "predictions.json").read_text("utf-8")) == {
        q.id: q.prediction for q in judged
    }
    assert json.loads((tmp_path / "null_odds.json").read_text("utf-8"))[judged[3].id] == math.inf


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ("[]", "is of format None"),
        ('{"format": 99}', "is of format 99; this version reads format 1"),
        ('{"format": 1}', "is incomplete"),
    ],
)
def test_damaged_reports_are_errors(tmp_path: Path, content: str, said: str) -> None:
    """A file that is no report of this format is an error that says what to do."""
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(DataError, match=said) as error:
        load_report(tmp_path)
    assert "Evaluate again" in str(error.value)


def test_what_is_no_report_is_an_error(tmp_path: Path) -> None:
    """An empty directory and damaged questions are errors."""
    with pytest.raises(DataError, match="does not hold a report"):
        load_report(tmp_path)
    with pytest.raises(DataError, match="does not hold a report"):
        load_questions(tmp_path)
    (tmp_path / "questions.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match="is damaged"):
        load_questions(tmp_path)


def test_predictions_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    """Predictions alone make no report's directory; beside a page or a report.json they are the report's
    own.
    """
    (tmp_path / "predictions.json").write_text(json.dumps({"q": "mine"}))
    with pytest.raises(SettingsError, match=r"holds something else \(predictions.json\)"):
        check_output(tmp_path)
    (tmp_path / "index.html").write_text("")
    check_output(tmp_path)


def test_pictures_of_somebody_else_stay(tmp_path: Path) -> None:
    """Of the plots that a report does not have any more, those of known names go, and nothing else."""
    (tmp_path / "plots").mkdir()
    for name in ("mine.png", "slices.png", "slices-dark.svg", "layers.svg"):
        (tmp_path / "plots" / name).write_text("x")
    remove_old_plots(tmp_path, NAMES, {"layers"})
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"mine.png", "layers.svg"}


def write(
    path: Path,
    texts: dict[str, object],
    odds: dict[str, object] | None = None,
    beside: str = "null_odds.json",
) -> Path:
    """A prediction file, with null odds beside it where they are given."""
    path.write_text(json.dumps(texts))
    if odds is not None:
        path.with_name(beside).write_text(json.dumps(odds))
    return path


def test_a_file_is_taken_at_its_word(tmp_path: Path) -> None:
    """Predictions without null odds are what the teacher said."""
    said: dict[str, object] = {e.id: f"answer {e.id}" for e in EXAMPLES} | {"another": "x"}
    assert teacher_answers(write(tmp_path / "p.json", said), EXAMPLES) == {e.id: said[e.id] for e in EXAMPLES}


@pytest.mark.parametrize(
    ("name", "beside"), [("predictions.json", "null_odds.json"), ("t.json", "t.null_odds.json")]
)
def test_odds_beside_the_file_decide(tmp_path: Path, name: str, beside: str) -> None:
    """Where null odds lie beside the predictions, answers with odds above 0 count as none, as `predict` has
    it.
    """
    odds: dict[str, object] = {e.id: n - 2.0 for n, e in enumerate(EXAMPLES)}
    path = write(tmp_path / name, {e.id: "x" for e in EXAMPLES}, odds, beside)
    place = tmp_path if name == "predictions.json" else path
    assert list(teacher_answers(place, EXAMPLES).values()) == ["x", "x", "x", "", "", ""]


@pytest.mark.parametrize(("threshold", "answered"), [(-1.0, 2), (None, 6)])
def test_a_report_has_its_own_threshold(tmp_path: Path, threshold: float | None, answered: int) -> None:
    """A report's answers count at the threshold it was made with; none given means: always an answer."""
    judged = report_samples.questions(EXAMPLES)
    official = {"script": "2.0", "na_prob_thresh": threshold}
    save_report(report_samples.report(EXAMPLES, judged, official=official), judged, tmp_path)
    write(
        tmp_path / "predictions.json",
        {e.id: "x" for e in EXAMPLES},
        {e.id: n - 2.0 for n, e in enumerate(EXAMPLES)},
    )
    assert sum(text == "x" for text in teacher_answers(tmp_path, EXAMPLES).values()) == answered


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "should be one JSON object"),
        ("{", "not JSON"),
        ('{"q0": "x"}', "has no prediction for 5 of 6 questions, such as 'q1'"),
        ('{"q0": 3}', "the prediction for 'q0' is not a text"),
    ],
)
def test_what_is_no_prediction_file_is_an_error(tmp_path: Path, content: str, said: str) -> None:
    """A wrong file is named, and what is wrong with it."""
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        teacher_answers(path, EXAMPLES)
    with pytest.raises(DataError, match="cannot be read"):
        teacher_answers(tmp_path / "nowhere.json", EXAMPLES)


def test_odds_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    """A word for a number is named with its question; infinity is a number."""
    texts: dict[str, object] = {e.id: "x" for e in EXAMPLES}
    write(tmp_path / "predictions.json", texts, dict.fromkeys(texts, "much"))
    with pytest.raises(DataError, match="'much' for 'q0', which is not a number"):
        teacher_answers(tmp_path, EXAMPLES)
    write(tmp_path / "predictions.json", texts, dict.fromkeys(texts, math.inf))
    assert set(teacher_answers(tmp_path, EXAMPLES).values()) == {""}
