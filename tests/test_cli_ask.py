"""`tinyreader ask`: answers with file and line, or that there is none."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.reader.settings import ReaderSettings, write_settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a reader that always answers, and some texts."""
    write_settings(ReaderSettings(no_answer_threshold=float("inf"), max_seq_len=40, doc_stride=8), write_reader(tmp_path))
    (tmp_path / "docs" / ".hidden").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text("the bridge\nwas built in it\n")
    (tmp_path / "docs" / "b.md").write_text("who built it ?")
    (tmp_path / "docs" / "c.bin").write_bytes(b"\xff\x00")
    (tmp_path / "docs" / ".hidden" / "d.txt").write_text("hidden")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tinyreader ask`."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "ask", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_answers_come_with_file_and_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders are walked without hidden files; what is no text is said to be skipped; answers stand in brackets."""
    code, out, err = call("who ?", "docs", "-m", "reader", "--top-k", "4", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert len(out.splitlines()) == 8
    assert "[" in out
    assert {line.split(":")[0] for line in out.splitlines()[::2]} <= {"docs/a.txt", "docs/b.md"}
    assert "docs/c.bin was skipped" in err
    assert "hidden" not in out + err


def test_json_is_for_programs(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the reading in one line; standard input can be read."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("the bridge was built"))
    code, out, _ = call("who ?", "-", "-m", "reader", "--json", monkeypatch=monkeypatch, capsys=capsys)
    reading = json.loads(out)
    assert code == 0
    assert reading["answers"][0]["document"] == "-"
    assert reading["answers"][0]["text"] in "the bridge was built"


def test_no_answer_is_exit_code_1(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the texts do not answer, that is said, with the nearest spans."""
    write_settings(ReaderSettings(no_answer_threshold=-1e9, max_seq_len=40, doc_stride=8), place / "reader")
    code, out, _ = call("who ?", "docs/a.txt", "-m", "reader", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1
    assert out.startswith("No answer (")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["who ?", "nothing.txt", "-m", "reader"], "nothing.txt: no such file or folder"),
        (["who ?", "docs", "-m", "nowhere/x"], "there is no directory nowhere/x"),
        (["", "docs", "-m", "reader"], "question 0 is empty"),
        (["who ?", "docs/c.bin", "-m", "reader"], "docs/c.bin is not UTF-8 text"),
        (["who ?", "docs", "-m", "docs"], "docs has no config.json"),
    ],
)
def test_wrong_calls_are_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """Each mistake is one line and exit code 2."""
    code, _, err = call(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert said in err
