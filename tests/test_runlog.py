"""`distil.runlog`: the log of a run."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from tinyreader.distil.runlog import RunLog
from tinyreader.errors import RunError


def test_each_event_is_a_line_of_json(tmp_path: Path) -> None:
    """Name, time and values; another `RunLog` on the same file adds to it."""
    path = tmp_path / "log.jsonl"
    RunLog(path).write("step", stage="a", step=1, terms={"hidden": 0.25}, rows=[1, 2])
    RunLog(path).write("stage", stage="a", text="zwei\u2028Zeilen\nUmlaut ü")
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == RunLog(path).read()[0]
    first, second = RunLog(path).read()
    assert (first["event"], first["terms"], first["rows"]) == ("step", {"hidden": 0.25}, [1, 2])
    assert second["text"] == "zwei\u2028Zeilen\nUmlaut ü"
    assert abs(first["time"] - time.time()) < 60


def test_without_a_path_nothing_is_logged() -> None:
    """As in the processes beside the main one."""
    log = RunLog(None)
    log.write("step", step=1)
    log.rewind("a", 0)
    assert log.read() == []


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Reading or rewinding it makes no file."""
    log = RunLog(tmp_path / "log.jsonl")
    log.rewind("a", 0)
    assert log.read() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_line_cut_off_by_a_kill_costs_no_other(tmp_path: Path, left: int) -> None:
    """Its rest is left out when read, and what is written next stands on a line of its own."""
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    for step in (1, 2):
        log.write("step", stage="a", step=step)
    whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole + last[:-1][:left])
    assert [x["step"] for x in log.read()] == [1]
    RunLog(path).write("step", stage="a", step=3)
    RunLog(path).write("step", stage="a", step=4)
    assert [x["step"] for x in log.read()] == [1, 3, 4]


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    """The kill came between the line and its line break."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "step", "step": 1}')
    RunLog(path).write("step", step=2)
    assert [x["step"] for x in RunLog(path).read()] == [1, 2]


def test_rewinding_takes_back_what_will_come_again(tmp_path: Path) -> None:
    """Lines of the stage after the step go, and what a kill cut off; other stages, and lines without a step,
    stay.
    """
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log.write("teacher", windows=5)
    for stage, step in (("a", 10), ("a", 20), ("b", 10), ("b", 20), ("b", 30)):
        log.write("step", stage=stage, step=step)
    log.write("note", stage="b")
    with path.open("a") as file:
        file.write('{"event": "ste')
    log.rewind("b", 10)
    found = [(x.get("stage"), x.get("step")) for x in map(json.loads, path.read_text().splitlines())]
    assert found == [(None, None), ("a", 10), ("a", 20), ("b", 10), ("b", None)]
    log.rewind("b", 0)
    assert [x.get("step") for x in log.read() if x.get("stage") == "b"] == [None]
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    """A loss that is not finite is logged so that every JSON reader can read the line."""
    log = RunLog(tmp_path / "log.jsonl")
    log.write(
        "step", loss=math.nan, terms={"hidden.1": math.inf, "hidden.2": 1.5}, more=[-math.inf, (1, math.nan)]
    )

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    line = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)
    assert (line["loss"], line["terms"]) == (None, {"hidden.1": None, "hidden.2": 1.5})
    assert line["more"] == [None, [1, None]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said() -> None:
    """The error names the log and says what to do."""
    with pytest.raises(RunError, match=r"/dev/full could not .*No space left.*Make room"):
        RunLog(Path("/dev/full")).write("step", step=1)
