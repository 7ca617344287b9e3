"""`tinyreader predict`: what is refused before a reader is loaded, and what is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_samples import document, row, write_json, write_rows
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
        (
            ["-o", "p.json", "--null-odds", "./data.json"],
            "--null-odds data.json is the data, and would replace it",
        ),
        (["-o", "p.json", "--null-odds", "p.json"], "--out and --null-odds are both p.json"),
        (["-o", "."], "--out . is a directory"),
        (["-o", "data.json/p.json"], "cannot be written"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_work(
    run: Run, arguments: list[str], message: str
) -> None:
    """A place that cannot be written to, or that would replace another file, is an error while nothing is
    lost yet.
    """
    before = Path("data.json").read_bytes()
    code, out, err = run("no-such-reader", "data.json", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert Path("data.json").read_bytes() == before


def test_bad_data_can_be_mended_or_left_out(run: Run, tmp_path: Path) -> None:
    """--on-bad is what the error advises, and it works: what was mended and left out is counted on stderr and
    stdout.
    """
    rows = [
        row("fine"),
        row("shifted", answers={"text": ["1811"], "answer_start": [3]}),
        row("blank", question=""),
    ]
    write_rows(tmp_path / "bad.jsonl", *rows)
    reader = write_reader(tmp_path / "model")
    words = [reader, "bad.jsonl", "-o", "p.json", "--max-seq-len", 60, "--doc-stride", 8, "--quiet"]
    code, _, err = run(*words)
    assert (code, "--on-bad" in err) == (2, True)
    for choice, left, counts in (("repair", {"fine", "shifted"}, (1, 1)), ("skip", {"fine"}, (0, 2))):
        code, out, err = run(*words, "--on-bad", choice)
        assert code == 0
        assert json.loads(Path("p.json").read_text("utf-8")).keys() == left
        assert (json.loads(out)["repaired"], json.loads(out)["skipped"]) == counts
        assert f"bad.jsonl: {len(left)} kept ({counts[0]} of them repaired), {counts[1]} skipped" in err


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
