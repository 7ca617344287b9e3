"""`tinyreader serve`: the command, with a real engine: it comes up, answers, drains on SIGTERM, and says what
it cannot do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving import QUESTION, text, until
from tiny_models import write_reader
from tinyreader.cli import main
from tinyreader.client import Client
from tinyreader.reader import Reader
from tinyreader.reader.settings import ReaderSettings, write_settings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random reader."""
    directory = write_reader(tmp_path_factory.mktemp("model"))
    write_settings(ReaderSettings(max_seq_len=40, doc_stride=8), directory)
    return directory


@contextmanager
def command(model: Path, *words: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """The running command, and what it said when it was up."""
    line = [
        sys.executable,
        "-m",
        "tinyreader",
        "serve",
        "--model",
        str(model),
        "--port",
        "0",
        "--precision",
        "fp32",
        *words,
    ]
    with log.open("wb") as stderr, subprocess.Popen(line, stdout=subprocess.PIPE, stderr=stderr) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()


def is_gone(process: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_answers_survives_a_killed_worker_and_drains(model: Path, tmp_path: Path) -> None:
    """Answers are those of the reader here; kill -9 of a worker costs nobody an answer; SIGTERM ends it with
    exit code 0 once what was accepted is answered, and no process is left.
    """
    log = tmp_path / "log"
    with (
        command(model, "--workers", "2", "--threads", "1", log=log) as (process, said),
        Client(said["url"]) as client,
    ):
        local = Reader.from_pretrained(model, precision="fp32", threads=1)
        asked = [(QUESTION, [text(20 + n, n)]) for n in range(40)]
        expected = [reading.answers[0].text for reading in local.read_many(asked)]
        assert [reading.answers[0].text for reading in client.read_many(asked)] == expected
        readings = client.read_many(asked * 5)
        found = [next(readings).answers[0].text]
        os.kill(said["workers"][0], signal.SIGKILL)
        found += [reading.answers[0].text for reading in readings]
        assert found == expected * 5
        until(lambda: client.info()["workers"] == 2, "the new worker")
        under_way = client.read_many([(QUESTION, [text(3000)])] * 2)
        first = next(under_way)
        process.send_signal(signal.SIGTERM)
        assert next(under_way).answers == first.answers
        assert process.wait(60) == 0
    assert is_gone(said["workers"][1])
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["message"] == "request" and line["route"] == "/read" for line in lines)
    assert "bridge" not in log.read_text()


def test_workers_do_not_outlive_a_killed_server(model: Path, tmp_path: Path) -> None:
    """Kill -9 of the front ends its children as well."""
    with command(model, log=tmp_path / "log") as (process, said):
        with urllib.request.urlopen(f"{said['url']}/health") as answer:
            assert json.load(answer) == {"status": "ok"}
        process.kill()
    until(lambda: all(is_gone(worker) for worker in said["workers"]), "the end of the workers")


def call(
    *words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "serve", *words])
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_settings_are_shown_and_wrong_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From file, environment, flags and --set; what is unknown is exit code 2 with its place."""
    file = tmp_path / "serve.toml"
    file.write_text('model = "a"\nworkers = 3\n')
    monkeypatch.setenv("TINYREADER_MAX_QUESTIONS", "9")
    code, out, _ = call(
        "--config",
        str(file),
        "--set",
        "busy_tokens=99",
        "--port",
        "1",
        "--show",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    shown = json.loads(out)
    assert code == 0
    assert (
        shown["model"],
        shown["workers"],
        shown["max_questions"],
        shown["busy_tokens"],
        shown["port"],
    ) == ("a", 3, 9, 99, 1)
    for words, part in (
        (("--set", "colour=1"), "there is no setting 'colour'"),
        (("--port", "1", "--set", "port=2"), "--port sets this as well"),
        (("--workers", "0"), "--workers: workers is 0"),
        (("--set", "colour"), "name=value"),
    ):
        code, out, err = call("--config", str(file), *words, monkeypatch=monkeypatch, capsys=capsys)
        assert (code, out) == (2, "")
        assert part in err
    monkeypatch.setenv("TINYREADER_COLOUR", "1")
    assert call("--model", "a", monkeypatch=monkeypatch, capsys=capsys)[0] == 2


def test_what_cannot_be_served_is_told(model: Path, tmp_path: Path) -> None:
    """A directory without a model, or an address that is taken: exit code 2 and a line that names it."""
    line = [sys.executable, "-m", "tinyreader", "serve", "--port", "0", "--model"]
    done = subprocess.run([*line, str(tmp_path)], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
    assert str(tmp_path).encode() in done.stderr.splitlines()[-1]
    with command(model, log=tmp_path / "log") as (_, said):
        port = said["url"].rpartition(":")[2]
        done = subprocess.run([*line, str(model), "--port", port], capture_output=True)
        assert done.returncode == 2
        assert b"cannot bind 127.0.0.1:" + port.encode() in done.stderr
