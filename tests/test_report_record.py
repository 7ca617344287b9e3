"""`report.record`: what a report says survives its files, and damaged ones are said to be so."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import report_samples
from tinyreader.errors import DataError
from tinyreader.report import load_questions, load_report, save_report


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
        ('{"format": 1}', "is no whole report"),
    ],
)
def test_damaged_reports_are_errors(tmp_path: Path, content: str, said: str) -> None:
    """A file that is no report of this format is an error that says what to do."""
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(DataError, match=said) as error:
        load_report(tmp_path)
    assert "Evaluate once more" in str(error.value)


def test_what_is_no_report_is_an_error(tmp_path: Path) -> None:
    """An empty directory and damaged questions are errors."""
    with pytest.raises(DataError, match="holds no report"):
        load_report(tmp_path)
    with pytest.raises(DataError, match="holds no report"):
        load_questions(tmp_path)
    (tmp_path / "questions.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match="is damaged"):
        load_questions(tmp_path)
