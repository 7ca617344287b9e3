"""What a run leaves for people and programs to follow it by: a JSONL log, a progress line, and its stop switch."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TypeVar

from tinyreader.errors import Interrupted, RunError
from tinyreader.files import atomic_path

T = TypeVar("T")


class RunLog:
    """One JSON object a line, appended; `rewind` takes back what a run that went on from a checkpoint will write again."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Appends one line with the event's name, the time and the values; numbers that are not finite become null."""
        if self.path is None:
            return
        line = json.dumps(_strict({"event": event, "time": round(time.time(), 3), **values}), allow_nan=False) + "\n"
        try:
            with self.path.open("ab+") as file:
                if _is_cut_off(file):
                    line = "\n" + line
                file.write(line.encode())
        except OSError as error:
            raise RunError(
                f"the log {self.path} could not be written ({error}). Make room and run the same command again; it goes on "
                "from its last checkpoint."
            ) from None

    def read(self) -> list[dict[str, Any]]:
        """The lines written so far; a last line cut off by a kill is left out."""
        if self.path is None or not self.path.exists():
            return []
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    def rewind(self, stage: str, step: int) -> None:
        """Removes lines of `stage` after `step`."""
        if self.path is None or not self.path.exists():
            return
        kept = [x for x in self.read() if not (x.get("stage") == stage and x.get("step", 0) > step)]
        with atomic_path(self.path) as path:
            path.write_text("".join(json.dumps(x) + "\n" for x in kept), encoding="utf-8")


def _strict(value: Any) -> Any:
    """The value with null in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_cut_off(file: BinaryIO) -> bool:
    """Whether the last line lacks its end, because its writer was killed."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


class Progress:
    """A progress line on stderr: rewritten in place on a terminal, else a new line now and then.

    Where stderr goes away, as in a pipe whose reader stopped, it falls silent: a run does not end because nobody looks.
    """

    def __init__(self, *, quiet: bool = False, every_seconds: float = 15.0) -> None:
        self.quiet = quiet
        self._live = sys.stderr.isatty()
        self._pause = 0.5 if self._live else every_seconds
        self._last = 0.0
        self._open = False

    def show(self, text: str, *, force: bool = False) -> None:
        """Shows `text` if the last one is old enough, or in any case with `force`."""
        now = time.monotonic()
        if self.quiet or (not force and now - self._last < self._pause):
            return
        self._last = now
        if self._live:
            self._write("\r\x1b[K" + text[: _columns() - 1])
            self._open = True
        else:
            self._write(text + "\n")

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.quiet:
            return
        self._write(("\n" if self._open else "") + text + "\n")
        self._open = False
        self._last = 0.0

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except RuntimeError:  # a signal handler speaks in the midst of a write that blocks: its words are lost
            return
        except (OSError, ValueError):  # broken, or closed
            self.quiet = True


def _columns() -> int:
    """The terminal's width; 80 where it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def duration(seconds: float) -> str:
    """Seconds as people read them: 45s, 12m05s, 3h07m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class StopSwitch:
    """Set by Ctrl-C or SIGTERM while `stop_signals` is active; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.reason = ""

    def check(self, advice: str) -> None:
        """Raises `Interrupted` when a stop was asked for; `advice` says how to go on."""
        if self.reason:
            raise Interrupted(f"stopped by {self.reason}. {advice}")


def stoppable(items: Iterable[T], switch: StopSwitch) -> Iterator[T]:
    """The items, until a stop is asked for: then `Interrupted`. For work that is done again at the next start."""
    for item in items:
        switch.check("No training had begun; the same command starts again.")
        yield item


@contextmanager
def stop_signals(switch: StopSwitch, on_signal: Callable[[str], None]) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into a request on `switch` while the block runs, and restores what was there before."""

    def ask(number: int, _: FrameType | None) -> None:
        if switch.reason and number == signal.SIGINT:
            raise KeyboardInterrupt
        switch.reason = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        on_signal(switch.reason)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, ask)
        except ValueError:  # not in the main thread: whoever runs us there handles signals
            break
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
