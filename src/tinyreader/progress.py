"""Progress lines on stderr, and stopping long work cleanly on Ctrl-C or SIGTERM."""

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
    """A progress line on stderr: updated in place on a terminal, else a new line every `every_seconds`.

    If stderr breaks, for example a pipe whose reader exited, it falls silent: that must not end a run.
    """

    def __init__(self, *, quiet: bool = False, every_seconds: float = 15.0) -> None:
        self.quiet = quiet
        self._live = sys.stderr.isatty()
        self._pause = 0.5 if self._live else every_seconds
        self._last = 0.0
        self._open = False

    def show(self, text: str, *, force: bool = False) -> None:
        """Show `text`, unless the last update was too recent; always with `force`."""
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
        """Print a line that stays."""
        if self.quiet:
            return
        self._write(("\n" if self._open else "") + text + "\n")
        self._open = False
        self._last = 0.0

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except RuntimeError:  # a signal handler writes while another write is blocked: its text is lost
            return
        except (OSError, ValueError):  # broken, or closed
            self.quiet = True


def _columns() -> int:
    """The terminal's width; 80 if unknown."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def duration(seconds: float) -> str:
    """Seconds in readable form: 45s, 12m05s, 3h07m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class StopSwitch:
    """Set by `stop_signals`; `reason` is empty until a stop is requested."""

    def __init__(self) -> None:
        self.reason = ""

    def check(self, advice: str) -> None:
        """Raise `Interrupted` if a stop was requested; `advice` says how to resume."""
        if self.reason:
            raise Interrupted(f"stopped by {self.reason}. {advice}")


def stoppable(items: Iterable[T], switch: StopSwitch) -> Iterator[T]:
    """Yield the items until a stop is requested, then raise `Interrupted`; for work that is not resumed."""
    for item in items:
        switch.check("There was no work to save; the same command starts from the beginning.")
        yield item


@contextmanager
def stop_signals(switch: StopSwitch, on_signal: Callable[[str], None]) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a stop request on `switch` during the block; the old handlers return
    afterwards. A second SIGINT raises `KeyboardInterrupt`.
    """

    def request(number: int, _: FrameType | None) -> None:
        if switch.reason and number == signal.SIGINT:
            raise KeyboardInterrupt
        switch.reason = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        on_signal(switch.reason)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, request)
        except ValueError:  # not in the main thread: signals are the caller's business
            break
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
