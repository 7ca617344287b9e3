"""`benchmarks/experiments.py`: finished work is reused after a stop, and only by the same command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import experiments

ROW = experiments.Row("try", 64, "mixed", {"labels": 1.0}, [])


@pytest.fixture
def run_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the commands run; a stand-in for `tinyreader` that only writes the output files."""
    run: list[str] = []

    def tinyreader(*arguments: str) -> None:
        run.append(" ".join(arguments[:2]) if arguments[0] == "data" else arguments[0])
        out = Path(arguments[arguments.index("-o") + 1])
        writes: dict[str, Callable[[], list[Path]]] = {
            "split": lambda: [out / "train.json", out / "held-out.json"],
            "sample": lambda: [out],
            "distil": lambda: [out / "student" / "run.json"],
            "predict": lambda: [out, experiments.odds_file(out)],
        }
        for path in writes[run[-1].split()[-1]]():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"of": len(run)}))

    monkeypatch.setattr(experiments, "tinyreader", tinyreader)
    monkeypatch.setattr(experiments, "load_examples", lambda path: [])
    return run


def options(work: Path, **changes: object) -> argparse.Namespace:
    """The script's options, some of them changed."""
    given = {
        "teacher": "t",
        "encoder": "e",
        "train": "squad.json",
        "dev": "dev.json",
        "work": work,
        "rate": 1e-4,
    }
    return argparse.Namespace(**(given | changes))


def test_a_second_start_runs_nothing(tmp_path: Path, run_commands: list[str]) -> None:
    """It runs no command and returns the same record."""
    first = [experiments.prepare(options(tmp_path)), experiments.run_row(ROW, options(tmp_path))]
    samples = ["data sample"] * (len(experiments.PARTS) + 1)
    assert run_commands == ["data split", *samples, "distil", "predict"]
    assert [experiments.prepare(options(tmp_path)), experiments.run_row(ROW, options(tmp_path))] == first
    assert len(run_commands) == len(samples) + 3


def test_answers_without_their_odds_are_made_again(tmp_path: Path, run_commands: list[str]) -> None:
    """`predict` runs again after a kill between its two files, and for another student in the same place."""
    experiments.run_row(ROW, options(tmp_path))
    experiments.odds_file(tmp_path / "try.judged.json").unlink()
    experiments.run_row(ROW, options(tmp_path))
    assert run_commands == ["distil", "predict", "predict"]
    (tmp_path / "try" / "student" / "run.json").unlink()
    experiments.run_row(ROW, options(tmp_path))
    assert run_commands[3:] == ["distil", "predict"]


def test_the_output_of_another_command_is_refused(tmp_path: Path, run_commands: list[str]) -> None:
    """Another learning rate or other data in the same directory is an error that names both commands."""
    experiments.prepare(options(tmp_path))
    experiments.run_row(ROW, options(tmp_path))
    n = len(run_commands)
    with pytest.raises(SystemExit, match=r"run\.json was made by another command[^$]*=0\.0001[^$]*=0\.0005"):
        experiments.run_row(ROW, options(tmp_path, rate=5e-4))
    with pytest.raises(SystemExit, match=r"held-out\.json was made by another command"):
        experiments.prepare(options(tmp_path, train="other.json"))
    assert len(run_commands) == n
    (tmp_path / "commands" / "try-student-run.json").unlink()
    experiments.run_row(ROW, options(tmp_path, rate=5e-4))
    assert len(run_commands) == n


@pytest.mark.parametrize(
    ("stages", "rewritten"),
    [({"prediction": 1.0}, "prediction"), ({"intermediate": 0.3, "prediction": 0.7}, "intermediate")],
)
def test_the_first_stages_data_is_augmented(
    tmp_path: Path, run_commands: list[str], stages: dict[str, float], rewritten: str
) -> None:
    """Only the first stage augments its data, with the proposers of the command line."""
    row = experiments.Row("try", 64, "mixed", stages, [], copies=4)
    experiments.run_row(row, options(tmp_path, masked_lm="m", vectors=None))
    command = (tmp_path / "commands" / "try-student-run.json").read_text()
    assert {part for part in command.split() if ".augment." in part} == {
        f"stages.{rewritten}.augment.times=4",
        f"stages.{rewritten}.augment.masked_lm=m",
    }
