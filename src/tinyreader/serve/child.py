"""A place for an engine worker: one child process after the other, as long as the pool lives."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from tinyreader.errors import ModelError, RunError
from tinyreader.serve.fair_queue import Waiting, call_length
from tinyreader.serve.frames import (
    CALL,
    FAILED,
    HELLO,
    LOGITS,
    Call,
    read_frame,
    unpack_failure,
    unpack_logits,
    write_frame,
)

log = logging.getLogger(__name__)

PAUSES_S = (0.0, 0.2, 1.0, 3.0, 10.0)
"""Pauses before a worker is started again, by how often it died without having answered anything."""


class Owner(Protocol):
    """The pool, as far as its workers need it."""

    closing: bool

    def ready(self, child: Child, *, is_so: bool) -> None:
        """The child can take calls, or no longer can."""

    def answered(self, child: Child, number: int) -> Flying | None:
        """Takes a call that came back off the child, and gives it; None where it is not the child's any
        more.
        """

    def done(self, flying: Flying) -> None:
        """A call's logits have been delivered: there is room for another one."""

    def lost(self, child: Child) -> None:
        """The child has died with the calls that it has."""

    def restarting(self) -> None:
        """A dead child is about to be replaced."""


@dataclass(slots=True, eq=False)
class Flying:
    """A call that a worker has: its windows, the length they are padded to, and when it was sent."""

    windows: list[Waiting]
    length: int
    since: float


class Child:
    """A worker. Its owner keeps `flying` and `is_ready`, under the owner's lock; the process is this object's
    own.
    """

    def __init__(self, owner: Owner, number: int, command: Sequence[str], start_s: float) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}
        self.flying: dict[int, Flying] = {}
        self.is_ready = False
        self._owner, self._command, self._start_s = owner, command, start_s
        self._writing = threading.Lock()
        self._n_answered = 0

    def launch(self) -> None:
        """Starts a process; `greet` waits until it is ready."""
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def greet(self) -> None:
        """Waits for the process's facts. Raises `ModelError` where it says that it cannot, or says
        nothing.
        """
        process = self._running()
        late = threading.Timer(self._start_s, process.kill)
        late.start()
        try:
            kind, content = read_frame(_pipe(process.stdout))
        except (EOFError, ValueError):
            process.kill()
            raise ModelError(
                f"an engine worker ended before it was ready (exit code {process.wait()}); what it said "
                "stands above."
            ) from None
        finally:
            late.cancel()
        if kind != HELLO:
            raise ModelError(unpack_failure(content)[1])
        self.facts = json.loads(content)
        self._owner.ready(self, is_so=True)

    def send(self, number: int, flying: Flying, *, shares: bool) -> None:
        """Sends a call. If the process has died, whoever reads from it sees to that."""
        windows = flying.windows
        call = Call(number, [w.ids for w in windows], [w.segments for w in windows], flying.length, shares)
        with self._writing, suppress(OSError, ValueError):
            write_frame(_pipe(self._running().stdin), CALL, call.pack())

    def live(self) -> None:
        """Takes what comes back until the pool closes, from process after process."""
        failures = 0
        while not self._owner.closing:
            self._n_answered = 0
            self._receive()
            self._owner.ready(self, is_so=False)
            code = self.bury()
            self._owner.lost(self)
            while not self._owner.closing and not self.is_ready:
                failures = 0 if self._n_answered else min(failures + 1, len(PAUSES_S) - 1)
                self._n_answered = 0
                log.error("worker %d ended (exit code %s) and is replaced", self.number, code)
                self._owner.restarting()
                self._rest(PAUSES_S[failures])
                try:
                    self.launch()
                    self.greet()
                except (ModelError, OSError) as error:
                    log.error("worker %d could not be started: %s", self.number, error)
                    code = self.bury()

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def end(self) -> None:
        """Ends the process by the end of its input, at once where that does not help."""
        if self.process is None:
            return
        with suppress(OSError, ValueError):
            _pipe(self.process.stdin).close()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.kill()

    def bury(self) -> int | None:
        """Ends the process, if there is one, and closes its pipes; gives its exit code."""
        if (process := self.process) is None:
            return None
        self.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):  # what was still to be written to it
                _pipe(stream).close()
        return code

    def _receive(self) -> None:
        """Takes answers until there are no more."""
        stream = _pipe(self._running().stdout)
        try:
            while True:
                self._take(*read_frame(stream))
        except (EOFError, OSError):
            return
        except ValueError as error:
            log.error("worker %d said what is no answer (%s)", self.number, type(error).__name__)

    def _take(self, kind: int, content: bytes) -> None:
        if kind == FAILED:
            number, reason = unpack_failure(content)
            if (flying := self._owner.answered(self, number)) is None:
                return
            fail(flying.windows, RunError(f"the engine could not compute this: {reason}"))
        elif kind == LOGITS:
            number, starts, ends = unpack_logits(content)
            if (flying := self._owner.answered(self, number)) is None:
                return  # it was sent just when the process before this one died, and waits again
            self._n_answered += 1
            begin = 0
            for window in flying.windows:
                stop = begin + len(window)
                window.target.deliver(window, starts[begin:stop], ends[begin:stop])
                begin = stop
        else:
            raise ValueError(kind)
        self._owner.done(flying)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._owner.closing and time.monotonic() < until:
            time.sleep(0.05)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RunError("the worker was not started")
        return self.process


def flight(windows: list[Waiting], most: int, clock: Callable[[], float] = time.monotonic) -> Flying:
    """A call of these windows, beginning now."""
    return Flying(windows, call_length(map(len, windows), most), clock())


def fail(windows: Sequence[Waiting], error: Exception) -> None:
    """Tells those that wait for the windows what went wrong."""
    for window in windows:
        window.target.fail(window, error)


def _pipe(stream: Any) -> BinaryIO:
    pipe: BinaryIO = stream
    return pipe
