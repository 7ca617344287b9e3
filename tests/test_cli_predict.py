"""`tinyreader predict`: what is refused before a reader is loaded, and what is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_samples import document, write_json
from tiny_models import write_reader
from tinyreader.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `tinyreader predict` in this process and directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "data.json", document())

    def predict(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tinyreader", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return predict


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "data.json"], "--out data.json is the data, and would replace it"),
        (["-o", "p.json", "--null-odds", "./data.json"], "--null-odds data.json is the data, and would replace it"),
        (["-o", "p.json", "--null-odds", "p.json"], "--out and --null-odds are both p.json"),
        (["-o", "."], "--out . is a directory"),
        (["-o", "data.json/p.json"], "cannot be written"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_work(run: Run, arguments: list[str], message: str) -> None:
    """A place that cannot be written to, or that would replace another file, is an error while nothing is lost yet."""
    before = Path("data.json").read_bytes()
    code, out, err = run("no-such-reader", "data.json", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert Path("data.json").read_bytes() == before


def test_answers_and_null_odds_are_written(run: Run, tmp_path: Path) -> None:
    """Every question has an answer and null odds, in directories that are made for them."""
    reader = write_reader(tmp_path / "model")
    options = ["--max-seq-len", 60, "--doc-stride", 8, "--quiet", "--null-threshold", "off"]
    code, out, _ = run(reader, "data.json", "-o", "new/ü.json", *options)
    assert code == 0
    assert json.loads(out)["questions"] == 3
    answers = json.loads(Path("new/ü.json").read_text("utf-8"))
    odds = json.loads(Path("new/ü.null_odds.json").read_text("utf-8"))
    assert answers.keys() == odds.keys() == {"m1", "m2", "f1"}
    assert all(answers.values())
