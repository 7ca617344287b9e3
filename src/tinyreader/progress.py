"""What long work shows while it goes on, and how it is asked to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from tinyreader.errors import Interrupted

T = TypeVar("T")


class Progress:
    """A progress line on stderr: rewritten in place on a terminal, else a new line now and then.

    Where stderr goes away, as in a pipe whose reader stopped, it falls silent: a run does not end because
    nobody looks.
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
        except (
            RuntimeError
        ):  # a signal handler speaks in the midst of a write that blocks: its words are lost
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
    """The items, until a stop is asked for: then `Interrupted`. For work that is done again at the next
    start.
    """
    for item in items:
        switch.check("Nothing was under way that could be saved; the same command starts again.")
        yield item


@contextmanager
def stop_signals(switch: StopSwitch, on_signal: Callable[[str], None]) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into a request on `switch` while the block runs, and restores what was there
    before.
    """

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
