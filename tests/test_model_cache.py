"""The cache of built models: whole or absent, made once, whatever dies or races."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyreader.errors import SettingsError
from tinyreader.runtimes.cache import kept


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinyreader" / "kind"


class Builder:
    """Builds two files and counts how often."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, directory: Path) -> None:
        self.n += 1
        (directory / "a").write_text("first")
        (directory / "b").write_text("second")


def test_what_was_built_is_kept(home: Path) -> None:
    """The second time nothing is built; nothing but the entry and its lock is there."""
    build = Builder()
    assert kept("kind", "name", build) == kept("kind", "name", build) == home / "name"
    assert build.n == 1
    assert {path.name for path in home.iterdir()} == {"name", ".name.lock"}


def test_a_failed_build_leaves_nothing(home: Path) -> None:
    """An error goes to the caller, and the next call starts afresh."""

    def fail(directory: Path) -> None:
        (directory / "a").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept("kind", "name", fail)
    assert {path.name for path in home.iterdir()} == {".name.lock"}
    assert (kept("kind", "name", Builder()) / "b").read_text() == "second"


@pytest.mark.parametrize("damage", ["cut", "missing", "unsealed"])
def test_what_is_not_whole_is_made_again(damage: str) -> None:
    """A file that is cut or gone, or an entry without its list, is not taken for whole."""
    build = Builder()
    entry = kept("kind", "name", build)
    if damage == "cut":
        (entry / "a").write_text("f")
    else:
        (entry / ("a" if damage == "missing" else "sizes.json")).unlink()
    assert (kept("kind", "name", build) / "a").read_text() == "first"
    assert build.n == 2


RACER = """
import sys, time
from pathlib import Path
from tinyreader.runtimes.cache import kept
def build(directory):
    with open(sys.argv[1], "a") as log: log.write("built\\n")
    (directory / "a").write_text("x" * 1000)
    time.sleep(float(sys.argv[2]))
    (directory / "b").write_text("y" * 1000)
entry = kept("kind", "name", build)
assert (entry / "a").stat().st_size == (entry / "b").stat().st_size == 1000
"""


def start(log: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A process that asks for the entry, and takes so long to build it."""
    return subprocess.Popen([sys.executable, "-c", RACER, str(log), str(seconds)])


def test_processes_at_the_same_time_build_once(tmp_path: Path) -> None:
    """Of four processes that ask for the same one builds, the others wait and find it whole."""
    log = tmp_path / "log"
    racers = [start(log, 0.3) for _ in range(4)]
    assert [racer.wait() for racer in racers] == [0, 0, 0, 0]
    assert log.read_text() == "built\n"


def test_a_killed_build_does_no_harm(tmp_path: Path, home: Path) -> None:
    """After a kill in the middle the next process builds, without waiting, and clears away what was left."""
    log = tmp_path / "log"
    victim = start(log, 60)
    while not (log.exists() and any((path / "a").exists() for path in home.glob(".tmp-*"))):
        assert victim.poll() is None
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (home / "name").exists()
    assert (kept("kind", "name", Builder()) / "a").read_text() == "first"
    assert not list(home.glob(".tmp-*"))


def test_a_cache_that_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user's cache directory cannot be made, one error says so, and how to have another."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match=r"cannot be made \(Not a directory\)\. Set XDG_CACHE_HOME"):
        kept("onnx", "a", lambda _: None)
