"""Findings and how they are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyreader.data import KINDS, CheckReport, Finding, ReadReport
from tinyreader.data.findings import visible


@pytest.mark.parametrize(
    ("finding", "shown"),
    [
        (Finding("truncated", "cut off"), "truncated: cut off"),
        (Finding("truncated", "cut off", place="line 3"), "line 3: truncated: cut off"),
        (Finding("empty-id", "no", article="A"), "article A: empty-id: no"),
        (
            Finding("empty-question", "no", article="A\n", question_id="\ud800", place="row 1"),
            "row 1 (article A\\n, question \\ud800): empty-question: no",
        ),
    ],
)
def test_a_finding_is_one_line(finding: Finding, shown: str) -> None:
    """A finding shows place, article, question, kind and message, in one line that any terminal takes."""
    assert str(finding) == shown


def test_visible_text() -> None:
    """Text in any script is shown as it is; what cannot be shown or would break the line is escaped."""
    assert visible("naïve 東京 עולם 🦊") == "naïve 東京 עולם 🦊"
    assert visible("a\tb\x1b[31m\u2028\ud800") == "a\\tb\\x1b[31m\\u2028\\ud800"
    assert visible("x" * 100, limit=10) == "xxxxxxx..."


def test_counts_are_in_the_order_of_the_kinds() -> None:
    """Counts by kind have a fixed order and only what occurs."""
    report = CheckReport(tuple(Finding(kind, "") for kind in ("empty-id", "truncated", "empty-id")), 2, 0)
    assert list(report.counts.items()) == [("truncated", 1), ("empty-id", 2)]
    assert set(report.counts) <= set(KINDS)


def test_written_reports(tmp_path: Path) -> None:
    """Reports are JSON Lines with the reasons; a reading report says what was done."""
    finding = Finding("offset-mismatch", "m", "A", "q", "line 1", True)
    CheckReport((finding,), 1, 0).write(tmp_path / "a.jsonl")
    ReadReport(n_kept=1, n_repaired=1, repaired=[finding]).write(tmp_path / "b.jsonl.gz")
    first = json.loads((tmp_path / "a.jsonl").read_text())
    assert first == {
        "kind": "offset-mismatch",
        "article": "A",
        "question_id": "q",
        "place": "line 1",
        "message": "m",
        "repairable": True,
    }
    assert (tmp_path / "b.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"
