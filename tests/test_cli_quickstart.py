"""`tinyreader quickstart`: what is said besides the table. The job itself is `make quickstart`, which CI runs."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.predict import Prediction
from tinyreader.quickstart import Outcome, Row
from tinyreader.sample import SHOWCASE


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_command_to_go_on_with_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --out the last words for a person are where the student is and how to ask it: a command that runs."""
    student, shown = write_reader(tmp_path / "a place"), tmp_path / "a place" / "showcase.txt"
    shown.write_text(SHOWCASE[0].context, encoding="utf-8")
    row = Row("teacher", 2, 1000, {"f1": 90.0, "exact": 80.0, "HasAns_f1": 1.0, "NoAns_f1": 1.0}, 1.0)
    asked = tuple((example, Prediction(example.id, "it", 0, 2, 1.0, -1.0)) for example in SHOWCASE)
    outcome = Outcome(row, row, row, student, asked, shown)
    monkeypatch.setattr("tinyreader.quickstart.quickstart", lambda out, progress: outcome)
    assert call(monkeypatch, "quickstart", "--out", str(tmp_path / "kept")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"The student is in {student}. Ask it something:" in lines
    assert json.loads(lines[-1])["share_kept"] == 1.0
    (command,) = [shlex.split(line) for line in lines if line.startswith("  tinyreader ask")]
    call(monkeypatch, *command[1:], "--json")
    assert json.loads(capsys.readouterr().out)["question"] == SHOWCASE[0].question
    assert call(monkeypatch, "quickstart") == 0
    assert "The student is in" not in capsys.readouterr().out, "a temporary directory is gone by then"


def test_a_file_in_the_way_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--out on a file is one line that says so, before anything is trained."""
    (tmp_path / "file").write_text("x")
    assert call(monkeypatch, "quickstart", "--out", str(tmp_path / "file")) == 2
    assert "file cannot be used as a directory for the run" in capsys.readouterr().err
