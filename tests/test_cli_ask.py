"""`tinyreader ask`: answers with file and line, or that there is none."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.reader.settings import ReaderSettings, write_settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a reader that always answers, and some texts."""
    write_settings(
        ReaderSettings(no_answer_threshold=float("inf"), max_seq_len=40, doc_stride=8), write_reader(tmp_path)
    )
    (tmp_path / "docs" / ".hidden" / "none").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text("the bridge\nwas built in it\n")
    (tmp_path / "docs" / "b.md").write_text("who built it ?")
    (tmp_path / "docs" / "c.bin").write_bytes(b"\xff\x00")
    (tmp_path / "docs" / ".hidden" / "d.txt").write_text("hidden")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(
    *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tinyreader ask`."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "ask", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_answers_come_with_file_and_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders are walked without hidden files; what is no document is counted; answers stand in brackets in a
    pipe.
    """
    code, out, err = call(
        "who ?", "docs", "-m", "reader", "--top-k", "4", monkeypatch=monkeypatch, capsys=capsys
    )
    assert code == 0
    assert len(out.splitlines()) == 8
    assert "[" in out
    assert {line.split(":")[0] for line in out.splitlines()[::2]} <= {"docs/a.txt", "docs/b.md"}
    assert "1 file was skipped: 1 of other kinds (1 .bin)" in err
    assert "hidden" not in out + err


def test_json_is_for_programs(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json prints the reading in one line; standard input can be read."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("the bridge was built"))
    code, out, _ = call("who ?", "-", "-m", "reader", "--json", monkeypatch=monkeypatch, capsys=capsys)
    reading = json.loads(out)
    assert code == 0
    assert reading["answers"][0]["document"] == "-"
    assert reading["answers"][0]["text"] in "the bridge was built"


def test_no_answer_is_exit_code_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
        (["", "docs", "-m", "reader"], "the question is empty"),
        (["the " * 40, "docs", "-m", "reader"], "max_seq_len 40 and doc_stride 8. Shorten it.\n"),
        (["who ?", "docs/c.bin", "-m", "reader"], "docs/c.bin is not text"),
        (["who ?", "docs", "-m", "docs"], "docs has no config.json"),
        (["who ?", "docs/.hidden/none", "-m", "reader"], "nothing to read in docs/.hidden/none"),
        (["who ?", "docs", "-m", "reader", "--all", "--passages", "3"], "contradict each other"),
        (["who ?", "docs", "-m", "reader", "--passages", "-3"], "passages is -3"),
        (["who ?", "docs", "-m", "reader", "--score-threshold", "2"], "score_threshold is 2"),
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
    code, _, err = call(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert said in err


def test_unreadable_files_of_folders_are_told_and_skipped(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its reason and all with a count; the same file by name is an error."""
    (place / "docs" / "bad.txt").write_bytes(b"Caf\xe9")
    (place / "docs" / "bad.pdf").write_bytes(b"no PDF")
    code, out, err = call("who ?", "docs", "-m", "reader", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, out.count("docs/")) == (0, 3)
    assert "docs/bad.txt was skipped: is not UTF-8 text (byte 3)" in err
    assert "docs/bad.pdf was skipped: is a broken PDF" in err
    assert "3 files were skipped: 2 that cannot be read and 1 of other kinds (1 .bin)" in err
    code, _, err = call("who ?", "docs/bad.pdf", "-m", "reader", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, "docs/bad.pdf is a broken PDF" in err) == (2, True)


def test_pages_stand_in_place_of_lines(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a file has pages, an answer names its page."""
    (place / "two.txt").write_text("a\fthe bridge")
    _, out, _ = call(
        "who ?", "two.txt", "-m", "reader", "--top-k", "9", monkeypatch=monkeypatch, capsys=capsys
    )
    assert "two.txt, page 2  " in out


def test_much_text_is_read_by_passages(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beyond a size the best passages are read, which is said; --all reads everything; without the extra so
    it is.
    """
    monkeypatch.setattr("tinyreader.cli.ask.WHOLE_CHARACTERS", 100)
    monkeypatch.setattr("tinyreader.cli.ask.PASSAGES", 1)
    (place / "long.txt").write_text(
        "in it a b c . " * 100 + "\n\nwho built the bridge ?\n\n" + "in it a b c . " * 100
    )
    words = ("the bridge", "long.txt", "-m", "reader", "--json", "--top-k", "50")

    def starts(*more: str) -> tuple[list[int], str]:
        _, out, err = call(*words, *more, monkeypatch=monkeypatch, capsys=capsys)
        return [answer["start"] for answer in json.loads(out)["answers"]], err

    some, err = starts()
    assert "only the 1 passages" in err
    assert "--all reads everything" in err
    assert max(some) - min(some) < 1000
    everything, err = starts("--all")
    assert (max(everything) - min(everything) > 1000, err) == (True, "")
    assert starts("--passages", "0")[0] == everything
    monkeypatch.setattr("tinyreader.cli.ask.find_spec", lambda name: None)
    found, err = starts()
    assert (found, 'pip install "tinyreader[search]"' in err) == (everything, True)


def test_documents_do_not_steer_the_terminal(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape signs of a text are shown as what they are: unknown."""
    (place / "evil.txt").write_text("the \x1b[31mbridge\x07 was built")
    _, out, _ = call("who ?", "evil.txt", "-m", "reader", monkeypatch=monkeypatch, capsys=capsys)
    assert "\x1b" not in out
    assert "\x07" not in out


def test_a_reader_of_the_pipe_may_go_away(place: Path) -> None:
    """`| head` ends without a traceback."""
    words = f"{sys.executable} -m tinyreader ask 'who ?' docs -m reader 2> err.txt | head -c 1"
    assert len(subprocess.run(["bash", "-c", words], check=True, capture_output=True).stdout) == 1
    assert "Traceback" not in (place / "err.txt").read_text()
    assert "Exception" not in (place / "err.txt").read_text()
