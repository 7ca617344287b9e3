"""`report.training`: a run's log as series over steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyreader.distil.runlog import RunLog
from tinyreader.errors import DataError
from tinyreader.report.training import POINTS, run_directory, run_record, training


def write_log(directory: Path, n_steps: int = 4) -> None:
    """The log of a run in two stages, as `distil` writes it."""
    log = RunLog(directory / "log.jsonl")
    for stage, terms in (("one", {"hidden.1": 2.0, "attention.1": 1.0}), ("two", {"prediction": 0.5})):
        for step in range(1, n_steps + 1):
            log.write(
                "step",
                stage=stage,
                step=step,
                loss=3.0,
                terms=terms,
                learning_rate=1e-4,
                windows_per_second=9.0,
                gradient_norm=float("nan"),
                seconds=step * 1.5,
            )
    log.write("evaluation", stage="two", step=2, scores={"best_f1": 50.0, "answered_f1": 60.0, "total": 3})
    log.write("teacher", windows=10, seconds=2.5)
    log.write("skipped", stage="two", step=3, not_finite="loss", rows=[1])
    log.write("stage", stage="two", step=n_steps, outcome={})
    log.write("done", scores={})


def test_stages_come_in_order_with_their_series(tmp_path: Path) -> None:
    """Losses, rates and scores stand by stage and step; what was not finite is None; the teacher's time is
    summed.
    """
    write_log(tmp_path)
    seen = training(tmp_path)
    one, two = seen["stages"]
    assert (one["name"], two["name"]) == ("one", "two")
    assert one["step"] == [1, 2, 3, 4]
    assert one["terms"] == {"hidden.1": [2.0] * 4, "attention.1": [1.0] * 4}
    assert two["gradient_norm"] == [None] * 4
    assert two["evaluations"] == [{"step": 2, "best_f1": 50.0, "answered_f1": 60.0}]
    assert (two["seconds"], seen["teacher_seconds"], seen["skipped_steps"]) == (6.0, 2.5, 1)


def test_long_logs_are_thinned_with_their_ends(tmp_path: Path) -> None:
    """A long run keeps few points, its first and last step among them."""
    write_log(tmp_path, 1001)
    steps = training(tmp_path)["stages"][0]["step"]
    assert len(steps) <= POINTS + 1
    assert (steps[0], steps[-1]) == (1, 1001)


def test_a_directory_without_a_log_is_an_error(tmp_path: Path) -> None:
    """No log, or one without steps, is said to be so."""
    with pytest.raises(DataError, match="no training step"):
        training(tmp_path)


def test_the_run_of_a_model_is_found_where_it_lies(tmp_path: Path) -> None:
    """The directory above a student with a record is its run if it has a log; a model from elsewhere has
    none.
    """
    student = tmp_path / "student"
    student.mkdir()
    assert run_record(student) is None
    assert run_directory(student) is None
    (student / "run.json").write_text(json.dumps({"stages": []}))
    assert run_record(student) == {"stages": []}
    assert run_directory(student) is None
    write_log(tmp_path)
    assert run_directory(student) == tmp_path
