"""`report.teacher`: what a teacher said, from a file, a run or a report, at the threshold it was said at."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import report_samples
from tinyreader.errors import DataError
from tinyreader.report import save_report
from tinyreader.report.teacher import teacher_answers

EXAMPLES = report_samples.examples(6)


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
        ('{"q0": "x"}', "has no prediction for 5 of 6 questions, 'q1' among them"),
        ('{"q0": 3}', "the prediction for 'q0' is no text"),
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
    with pytest.raises(DataError, match="'much' for 'q0', which is no number"):
        teacher_answers(tmp_path, EXAMPLES)
    write(tmp_path / "predictions.json", texts, dict.fromkeys(texts, math.inf))
    assert set(teacher_answers(tmp_path, EXAMPLES).values()) == {""}
