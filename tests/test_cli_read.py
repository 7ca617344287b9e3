"""`tinyreader read`: a file of questions answered, through kills and Ctrl-C, to the same bytes."""

from __future__ import annotations

import gzip
import io
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tiny_models import WORDS, write_reader
from tinyreader.cli import main
from tinyreader.cli.read import _ready
from tinyreader.export import ExportSettings, export, sample_examples
from tinyreader.reader import Reader
from tinyreader.reader.settings import ReaderSettings, write_settings

SMALL_PARTS = "import tinyreader.reader.batch as batch; batch.PART_QUESTIONS = 4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random reader."""
    directory = write_reader(tmp_path_factory.mktemp("model"))
    write_settings(ReaderSettings(max_seq_len=40, doc_stride=8), directory)
    return directory


def write_questions(path: Path, n: int = 40) -> Path:
    """Questions of many lengths, some with a file among their documents."""
    draw = random.Random(1)
    (path.parent / "notes.txt").write_text("the bridge was built in it\n" * 3)
    with path.open("w") as file:
        for number in range(n):
            texts: list[Any] = [
                " ".join(draw.choices(WORDS, k=draw.randint(1, 60))) for _ in range(number % 3)
            ]
            row = {
                "id": f"q{number}",
                "question": f"who {WORDS[number % 9]} ?",
                "documents": [*texts, {"path": "notes.txt"}],
            }
            file.write(json.dumps(row) + "\n")
    return path


def call(
    *words: str | Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tinyreader read`."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "read", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def start(
    model: Path, questions: Path, out: Path, *, strike: signal.Signals | None = None, at_part: int = 1
) -> subprocess.Popen[bytes]:
    """The command in its own process, with parts of four questions; its output goes to a file beside `out`.

    With `strike` it sends itself that signal when it starts on part `at_part`, counted from 0 among the parts
    that it makes.
    """
    blow = (
        "import os; from tinyreader.reader import Reader; honest, calls = Reader.read_many, []\n"
        "def read_many(*args, **options):\n"
        f"    if len(calls) == {at_part}: os.kill(os.getpid(), {int(strike or 0)})\n"
        "    calls.append(None)\n"
        "    return honest(*args, **options)\n"
        "Reader.read_many = read_many\n"
    )
    code = f"{SMALL_PARTS}\n{blow if strike else ''}\nfrom tinyreader.cli import main; main()"
    words = ["read", str(model), str(questions), "-o", str(out)]
    with out.with_suffix(".err").open("w") as file:
        return subprocess.Popen([sys.executable, "-c", code, *words], stdout=file, stderr=file)


def test_each_line_is_the_reading_of_its_question(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order, in the one JSON form, as `Reader.read` gives it; the last line of stdout counts."""
    questions, out = write_questions(tmp_path / "q.jsonl"), tmp_path / "made" / "a.jsonl"
    words = [model, questions, "--top-k", "2", "--precision", "fp32", "-o"]
    code, said, err = call(*words, out, monkeypatch=monkeypatch, capsys=capsys)
    readings = [json.loads(line) for line in out.read_text().splitlines()]
    assert code == 0
    assert [r["id"] for r in readings] == [f"q{n}" for n in range(40)]
    reader = Reader.from_pretrained(model, precision="fp32")
    texts = json.loads(questions.read_text().splitlines()[5])["documents"][:-1]
    alone = reader.read(
        readings[5]["question"], [*texts, ("notes.txt", (tmp_path / "notes.txt").read_text())], top_k=2
    )
    assert [(a["text"], a["document"], a["start"]) for a in readings[5]["answers"]] == [
        (a.text, a.document.id, a.start) for a in alone.answers
    ]
    answered = sum(r["has_answer"] for r in readings)
    assert json.loads(said.splitlines()[-1]) == {
        "answers": str(out),
        "questions": 40,
        "answered": answered,
        "unanswered": 40 - answered,
    }
    assert "40/40 questions" in err
    assert not out.with_name("a.jsonl.parts").exists()
    call(*words, tmp_path / "a.jsonl.gz", "-q", monkeypatch=monkeypatch, capsys=capsys)
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == out.read_bytes()
    code, printed, _ = call(*words, "-", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, [json.loads(line)["id"] for line in printed.splitlines()]) == (
        0,
        [f"q{n}" for n in range(40)],
    )


def test_a_kill_changes_nothing(model: Path, tmp_path: Path) -> None:
    """Killed while it makes a part, the same command resumes with this part and ends in the same bytes."""
    questions = write_questions(tmp_path / "q.jsonl")
    whole = start(model, questions, tmp_path / "whole.jsonl")
    assert whole.wait(120) == 0
    out = tmp_path / "killed.jsonl"
    assert start(model, questions, out, strike=signal.SIGKILL, at_part=3).wait(120) == -signal.SIGKILL
    parts = tmp_path / "killed.jsonl.parts"
    before = {part.name: part.stat().st_mtime_ns for part in parts.glob("part-*")}
    assert len(before) == 3
    assert not out.exists()
    assert start(model, questions, out, strike=signal.SIGINT, at_part=2).wait(120) == 1
    after = {part.name: part.stat().st_mtime_ns for part in parts.glob("part-*")}
    assert len(after) == 5
    assert before.items() <= after.items()
    assert start(model, questions, out).wait(120) == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_ctrl_c_keeps_what_was_done(model: Path, tmp_path: Path) -> None:
    """Exit code 1, with a word on how to go on."""
    process = start(model, write_questions(tmp_path / "q.jsonl"), tmp_path / "a.jsonl", strike=signal.SIGINT)
    assert process.wait(120) == 1
    err = (tmp_path / "a.err").read_text()
    assert "stopped by Ctrl-C. Finished parts are kept; the same command resumes from there." in err
    assert "Traceback" not in err


def test_another_job_is_not_gone_on_with(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts begun with other settings, model, questions or files are refused, not mixed."""
    questions, out = write_questions(tmp_path / "q.jsonl"), tmp_path / "a.jsonl"
    assert start(model, questions, out, strike=signal.SIGKILL).wait(120) == -signal.SIGKILL
    other = write_reader(tmp_path, seed=5)
    write_settings(ReaderSettings(max_seq_len=40, doc_stride=8), other)
    for words, said in [
        ([model, "--top-k", "1"], "settings"),
        ([other], "model"),
        ([model, "--precision", "fp32", "--engine", "torch"], "engine"),
    ]:
        code, _, err = call(*words, questions, "-o", out, monkeypatch=monkeypatch, capsys=capsys)
        assert (code, f"was begun with other {said}. Give another -o" in err) == (2, True), err
    (tmp_path / "notes.txt").write_text("other words")
    code, _, err = call(model, questions, "-o", out, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, "was begun with other questions" in err) == (2, True)


def test_mistakes_are_said_before_work_is_spent(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong lines, too long questions and outputs that cannot be are one error, exit code 2, and nothing is
    written.
    """
    questions = write_questions(tmp_path / "q.jsonl", 3)
    with questions.open("a") as file:
        file.write('{"question": "who ?"}\n')
    long = tmp_path / "long.jsonl"
    long.write_text(json.dumps({"id": "q9", "question": "the " * 40, "context": "a"}))
    (tmp_path / "empty.jsonl").write_text("")
    for words, said in [
        ([questions, "-o", tmp_path / "a.jsonl"], 'line 4: it needs "documents" or "context"'),
        ([long, "-o", tmp_path / "a.jsonl"], "question 'q9' has 40 tokens"),
        ([long, "-o", tmp_path / "a.jsonl"], "Shorten it, or give --truncate-questions."),
        ([tmp_path / "empty.jsonl", "-o", tmp_path / "a.jsonl"], "empty"),
        ([tmp_path / "gone.jsonl", "-o", tmp_path / "a.jsonl"], "no such file of questions"),
        ([questions, "-o", questions], "would replace it"),
        ([questions, "-o", tmp_path], "is a directory; give the name of a file"),
        ([questions, "-o", questions / "a.jsonl"], "cannot be written"),
    ]:
        code, _, err = call(model, *words, monkeypatch=monkeypatch, capsys=capsys)
        assert (code, said.rstrip() in err) == (2, True), err
    assert not list(tmp_path.glob("a.jsonl*"))
    code, _, _ = call(
        model,
        long,
        "-o",
        tmp_path / "a.jsonl",
        "--truncate-questions",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 0


def test_an_export_answers_a_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory with an engine's network and no weights answers what the original answers, to a file
    too.
    """
    export(model, tmp_path / "out", ExportSettings("openvino", threads=1), sample_examples(2))
    questions = write_questions(tmp_path / "q.jsonl", 5)
    found = []
    for directory in (model, tmp_path / "out"):
        out = tmp_path / f"{directory.name}.jsonl"
        words = [questions, "-o", out, "--precision", "fp32"]
        assert call(directory, *words, monkeypatch=monkeypatch, capsys=capsys)[0] == 0
        found.append(
            [[a["text"] for a in json.loads(line)["answers"]] for line in out.read_text().splitlines()]
        )
    assert found[0] == found[1] != []


def test_standard_input_and_output_are_a_conversation(model: Path) -> None:
    """A program may write one line and wait for its answer before it writes the next."""
    words = [sys.executable, "-m", "tinyreader", "read", str(model), "-", "-o", "-"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for n in range(3):
            process.stdin.write(
                json.dumps({"id": n, "question": "who ?", "context": "the bridge was built"}) + "\n"
            )
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == n
        process.stdin.write("no json\n")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "standard input, line 4" in err


def test_standard_input_to_a_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is checked as a whole first, and its paths count from the working directory."""
    monkeypatch.chdir(tmp_path)
    raw = write_questions(tmp_path / "q.jsonl", 5).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    code, _, _ = call(model, "-", "-o", "a.jsonl", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, len((tmp_path / "a.jsonl").read_text().splitlines())) == (0, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "notes.txt", "q.jsonl"]


def test_lines_that_are_there_are_taken_together() -> None:
    """All lines come in order with their numbers, blank ones passed over; what goes wrong is raised where it
    is wanted.
    """
    batches = list(_ready(["a\n", "\n", "b\n", "c\n"]))
    assert [item for batch in batches for item in batch] == [(1, "a\n"), (3, "b\n"), (4, "c\n")]
    with pytest.raises(Exception, match="standard input cannot be read"):
        list(_ready(io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8")))
