"""`tinyreader quickstart`: what is said besides the table. The job itself is `make quickstart`."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.data import Example
from tinyreader.quickstart import Asked, Outcome, Row
from tinyreader.reader import Reading
from tinyreader.sample import SHOWCASE, minutes


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def silent(examples: tuple[Example, ...]) -> Asked:
    """A reader that never answers."""
    return Asked(examples, tuple(Reading(e.question, (), 1.0, has_answer=False) for e in examples))


ROW = Row("starter", 2, 1000, {"f1": 90.0, "exact": 80.0, "HasAns_f1": 1.0, "NoAns_f1": 1.0}, 1.0)


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """A quick start that is done without work: the student keeps all, and no question is answered."""
    student, shown = write_reader(tmp_path / "a place"), tmp_path / "a place" / "showcase.txt"
    shown.write_text(SHOWCASE[0].context, encoding="utf-8")
    done = Outcome(
        silent(minutes()), ROW, replace(ROW, name="student"), 3.0, silent(SHOWCASE), student, shown
    )
    monkeypatch.setattr("tinyreader.quickstart.ask_starter", lambda: done.asked)
    monkeypatch.setattr("tinyreader.quickstart.quickstart", lambda out, asked, progress: done)
    return done


def test_the_command_to_go_on_with_works(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --out the last words for a person are where the student is and how to ask it: a command that
    runs.
    """
    call(monkeypatch, "quickstart", "--out", str(tmp_path / "kept"))
    lines = capsys.readouterr().out.splitlines()
    assert f"The student is in {outcome.directory}. Ask it something:" in lines
    assert json.loads(lines[-1])["share_kept"] == 1.0
    (command,) = [shlex.split(line) for line in lines if line.startswith("  tinyreader ask")]
    call(monkeypatch, *command[1:], "--json")
    assert json.loads(capsys.readouterr().out)["question"] == SHOWCASE[0].question
    call(monkeypatch, "quickstart")
    assert "The student is in" not in capsys.readouterr().out, "a temporary directory is gone by then"


def test_what_was_not_reached_is_said(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One right answer of six, that there is none, is too few: exit code 1, and the reason."""
    assert outcome.asked.n_right == 1
    assert call(monkeypatch, "quickstart") == 1
    assert "1 of 6 questions were answered rightly; at least 5 were expected" in capsys.readouterr().err
    weak = replace(outcome, student=replace(ROW, scores=ROW.scores | {"f1": 45.0}))
    assert weak.failures[1] == "the student keeps 50.0% of F1; at least 90% was expected"


def test_a_file_in_the_way_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--out on a file is one line that says so, before anything is asked or trained."""
    (tmp_path / "file").write_text("x")
    assert call(monkeypatch, "quickstart", "--out", str(tmp_path / "file")) == 2
    assert "file cannot be used as a directory for the run" in capsys.readouterr().err
