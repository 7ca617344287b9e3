"""`benchmarks/reader_table.py`: which reader each argument names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import reader_table
from tinyreader.errors import ModelError
from tinyreader.model_files import STARTER_DIRECTORY


def test_arguments_name_rows_directories_and_the_starter(tmp_path: Path) -> None:
    for name in ("try", "starter"):
        (tmp_path / name / "student").mkdir(parents=True)
        (tmp_path / name / "student" / "run.json").write_text("{}")
    odd = tmp_path / "rate=1e-4@home"
    odd.mkdir()

    def named(word: str) -> tuple[object, ...]:
        found = reader_table.subject(word, tmp_path)
        return found.name, found.directory, found.precision, found.row

    row = tmp_path / "try"
    assert named("try") == ("try", row / "student", "auto", row)
    assert named("int8=try@int8") == ("int8", row / "student", "int8", row)
    assert named("starter") == ("starter", STARTER_DIRECTORY, "auto", None)
    assert named("starter@fp32") == ("starter@fp32", STARTER_DIRECTORY, "fp32", None)
    assert named(str(odd)) == (str(odd), odd, "auto", None)
    assert named(f"mine={odd}@bf16") == ("mine", odd, "bf16", None)
    for word in ("try@int4", "x=", "no such"):
        with pytest.raises(ModelError):
            named(word)


def test_parameters_are_counted_in_the_weights() -> None:
    packed = reader_table.Subject("starter", STARTER_DIRECTORY, "auto", None)
    counted = packed.record["student"]["parameters"]
    assert packed.parameters == f"{counted / 1e6:.1f} M" == "22.6 M"
    assert packed.size == "22.9"


@pytest.mark.parametrize(
    "words", [["starter"] * 2, ["starter", "--rounds", "-1"], ["starter", "--questions", "0"], ["nope"]]
)
def test_wrong_arguments_are_refused_before_data_is_read(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    dev = tmp_path / "dev.json"
    dev.write_text("no data yet")
    monkeypatch.setattr(sys, "argv", ["reader_table.py", *words, "--dev", str(dev), "--work", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        reader_table.main()
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err
