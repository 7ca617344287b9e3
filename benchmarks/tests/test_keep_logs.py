"""`benchmarks/keep_logs.py`: committed logs are short, keep each stage's last step, and contain no paths."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import keep_logs
from tinyreader.data import Answer, Example, write_squad
from tinyreader.storage import without_directories


def step(number: int, of: int, stage: str = "prediction") -> dict[str, object]:
    return {
        "event": "step",
        "stage": stage,
        "step": number,
        "of": of,
        "loss": 1.23456789,
        "time": 1795672164.802,
    }


def test_steps_are_thinned_but_each_stages_last_and_all_other_events_stay() -> None:
    notes = [step(n, 10_000, "intermediate") for n in range(10, 10_001, 10)]
    notes += [{"event": "stage"}, *(step(n, 503) for n in [*range(10, 501, 10), 503]), {"event": "done"}]
    kept = list(keep_logs.thinned(notes))
    steps = [note for note in kept if note["event"] == "step"]
    assert 150 <= len(steps) <= 202
    assert steps[-1]["step"] == 503
    assert any(note["step"] == note["of"] for note in steps if note["stage"] == "intermediate")
    assert [note["event"] for note in kept if note["event"] != "step"] == ["stage", "done"]


def test_few_steps_are_all_kept() -> None:
    notes = [step(n, 300) for n in range(10, 301, 10)]
    assert list(keep_logs.thinned(notes)) == notes


def test_two_files_with_the_same_name_are_both_kept() -> None:
    assert without_directories({"/a/x/train.json": 1, "/b/y/train.json": 2}) == {
        "train.json": 1,
        "train.json (2)": 2,
    }


def test_paths_become_names_and_times_keep_their_digits() -> None:
    note = {
        "data": {"/home/me/all.json": "4e52"},
        "read": ["/home/me/dev.json", "a/b"],
        "time": 1795672164.8,
        "f1": 61.96023,
    }
    kept = {"data": {"all.json": "4e52"}, "read": ["dev.json", "a/b"], "time": 1795672164.8, "f1": 61.9602}
    assert keep_logs.short(without_directories(note)) == kept


def test_a_rows_log_starts_with_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = tmp_path / "work" / "mine"
    (row / "student").mkdir(parents=True)
    (row / "student" / "run.json").write_text(
        json.dumps({"recipe": {"data": {"train": "/secret/train.json"}}}), "utf-8"
    )
    (row / "log.jsonl").write_text("".join(json.dumps(step(n, 20)) + "\n" for n in (10, 20)), "utf-8")
    questions = [
        Example("a", "Who?", "Ada did it.", (Answer("Ada", 0),)),
        Example("b", "When?", "Ada did it.", ()),
    ]
    write_squad(questions, tmp_path / "work" / keep_logs.JUDGE)
    (tmp_path / "work" / "mine.judged.json").write_text(json.dumps({"a": "Ada", "b": "it"}), "utf-8")
    (tmp_path / "work" / "mine.judged.odds.json").write_text(json.dumps({"a": -1.0, "b": 2.0}), "utf-8")
    options = ["mine", "--work", str(tmp_path / "work"), "--logs", str(tmp_path / "logs")]
    monkeypatch.setattr(sys, "argv", ["keep_logs.py", *options])
    keep_logs.main()
    lines = (tmp_path / "logs" / "mine.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0]) == {"recipe": {"data": {"train": "train.json"}}}
    assert [json.loads(line)["step"] for line in lines[1:-1]] == [10, 20]
    assert json.loads(lines[-1]) == {"event": "held_out", "questions": 2, "best_f1": 100.0}


def test_a_row_that_is_not_finished_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["keep_logs.py", "mine", "--work", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        keep_logs.main()
    assert ended.value.code == 2
    assert "run.json does not exist" in capsys.readouterr().err


def test_no_committed_log_contains_a_path() -> None:
    logs = sorted(keep_logs.LOGS.glob("*.jsonl"))
    assert logs
    for log in logs:
        for line in log.read_text("utf-8").splitlines():
            note = json.loads(line)
            assert without_directories(note) == note
