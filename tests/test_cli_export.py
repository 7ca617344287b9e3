"""`tinyreader export` and `tinyreader bench`: reports for people and programs, and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from test_export import SHORT, examples
from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.data import write_squad
from tinyreader.reader.settings import write_settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a reader and questions."""
    write_settings(SHORT, write_reader(tmp_path))
    write_squad(examples(32), tmp_path / "data.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(
    *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tinyreader`."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_report_is_printed_twice(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a person with sizes, for a program as one line of JSON at the end; progress goes to stderr."""
    code, out, err = call(
        "export",
        "reader",
        "-o",
        "out",
        "--data",
        "data.json",
        "--questions",
        "9",
        "--threads",
        "1",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 0
    report = json.loads(out.splitlines()[-1])
    assert report["ok"] is True
    assert report["parity"]["questions"] == 9
    assert report["sizes"]["openvino_model.bin"] == (place / "out" / "openvino_model.bin").stat().st_size
    assert "equal answers            100.0%" in out
    assert "MB (the original's weights:" in out
    assert "written to out" in out
    assert "comparing with the original" in err


def test_beyond_the_tolerance_is_exit_code_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fails is said, nothing is written, and the report still comes."""
    monkeypatch.setattr("tinyreader.export.parity.Parity.failures", lambda *_: ["F1 falls by 3 points"])
    code, out, _ = call(
        "export",
        "reader",
        "-o",
        "out",
        "--data",
        "data.json",
        "-q",
        "--threads",
        "1",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 1
    assert "FAILED: F1 falls by 3 points" in out
    assert "nothing was written to out" in out
    assert json.loads(out.splitlines()[-1])["failures"] == ["F1 falls by 3 points"]
    assert not (place / "out").exists()


def test_int8_from_the_command_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--calibrate measures, keeps the ranges beside the model, and writes the files."""
    words = ["export", "reader", "-o", "out", "--precision", "int8", "--threads", "1", "-q"]
    code, _, err = call(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "has no int8 ranges" in err
    code, out, err = call(
        *words,
        "--calibrate",
        "data.json",
        "--tolerance",
        "100",
        "--least-equal",
        "0",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["parity"]["questions"] == 16
    assert "int8" in json.loads((place / "reader" / "reader.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--calibrate", "data.json"], "--calibrate is for --precision int8"),
        (
            ["--precision", "int8", "--calibrate", "data.json", "--data", "data.json"],
            "either --calibrate or --data",
        ),
        (["--data", "nothing.json"], "nothing.json"),
        (
            ["--data", "nothing.json", "-o", "reader"],
            "reader holds the model that is exported; give another directory",
        ),
        (["--engine", "onnx", "--precision", "bf16"], "at fp32, not bf16"),
    ],
)
def test_wrong_calls_are_one_line(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    """Each mistake is one line and exit code 2."""
    code, _, err = call("export", "reader", "-o", "out", *words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert said in err


def test_bench_prints_a_table_and_json(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each engine and precision, and all of it as JSON in the last."""
    monkeypatch.setattr("tinyreader.export.bench.installed_engines", lambda: ("openvino",))
    monkeypatch.setattr("tinyreader.export.bench._first_answer", lambda *_: 1.5)
    code, out, _ = call(
        "bench",
        "reader",
        "--data",
        "data.json",
        "--questions",
        "4",
        "--repeats",
        "1",
        "--threads",
        "1",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 0
    rows = json.loads(out.splitlines()[-1])["rows"]
    assert len(rows) == len(out.splitlines()) - 2
    assert rows[0]["engine"] == "openvino"
    assert rows[0]["questions_per_s"] > 0
    assert "questions/s" in out.splitlines()[0]
