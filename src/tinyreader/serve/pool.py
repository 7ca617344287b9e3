"""The engine workers around one queue: fed, watched, and replaced when they die.

Whoever has windows, or has taken a worker's answer, sends the next calls himself; there is no thread between.
A worker computes one call at a time while few requests wait, so that a new one is soon heard; when many wait
it has a second one at hand.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinyreader.errors import RunError
from tinyreader.serve.child import Child, Flying, fail, flight
from tinyreader.serve.fair_queue import CallLimits, FairQueue, Flow, Waiting

log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

TRIES = 2
"""So many workers may die over a window before its request is told; it may be what kills them."""

_TICK_S = 1.0


class Target(Protocol):
    """Where the logits of a window go, and why there will be none."""

    def deliver(self, window: Waiting, start: FloatArray, end: FloatArray) -> None:
        """Takes start and end logits, float32 [n]."""

    def fail(self, window: Waiting, error: Exception) -> None:
        """Takes what went wrong."""


class Watcher(Protocol):
    """Whoever counts what the pool does."""

    def call(self, windows: int, tokens: int, area: int, seconds: float) -> None:
        """A call came back: its windows, their tokens, those with padding, and how long it took."""

    def restarted(self) -> None:
        """A worker died and is replaced."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many workers, what starts one, and how long (seconds) a call may take before its worker counts as
    hung.
    """

    command: Sequence[str]
    workers: int = 1
    limits: CallLimits = field(default_factory=CallLimits)
    hung_s: float = 120.0
    start_s: float = 300.0


def worker_command(model: str, engine: str, precision: str, threads: int | None) -> list[str]:
    """The command line of a worker."""
    words = [
        sys.executable,
        "-m",
        "tinyreader.serve.worker",
        model,
        "--engine",
        engine,
        "--precision",
        precision,
    ]
    return words if threads is None else [*words, "--threads", str(threads)]


class Pool:
    """Workers around one queue. `facts` is what the first of them said about the model."""

    def __init__(self, settings: PoolSettings, watcher: Watcher | None = None) -> None:
        self.settings, self.watcher = settings, watcher
        self.facts: dict[str, Any] = {}
        self.closing = False
        self._queue = FairQueue(settings.limits)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._n_calls = 0
        self._children = [
            Child(self, number, settings.command, settings.start_s) for number in range(settings.workers)
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the workers and returns when all are ready. Raises `ModelError` with a worker's words where
        one is not.
        """
        try:
            for child in self._children:
                child.launch()
            for child in self._children:
                child.greet()
        except BaseException:
            for child in self._children:
                child.bury()
            raise
        self.facts = self._children[0].facts
        for child in self._children:
            self._thread(child.live, f"worker-{child.number}")
        self._thread(self._watch, "watch")

    def submit(self, windows: Sequence[Waiting]) -> None:
        """Lets windows wait for a worker. Raises `RunError` where the pool is closed."""
        with self._lock:
            if self.closing:
                raise RunError("the server is going down")
            self._queue.add(windows)
        self._feed()

    def discard(self, flow: Flow) -> int:
        """Forgets the windows of a request that nobody waits for any more; gives how many still waited."""
        with self._lock:
            return self._queue.discard(flow)

    @property
    def waiting(self) -> int:
        """Windows that wait for a worker."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Windows that workers have."""
        with self._lock:
            return sum(len(flying.windows) for child in self._children for flying in child.flying.values())

    @property
    def alive(self) -> int:
        """Workers that are ready."""
        return sum(child.is_ready for child in self._children)

    @property
    def processes(self) -> list[int]:
        """The process ids of the workers that are ready."""
        return [child.process.pid for child in self._children if child.is_ready and child.process is not None]

    def close(self) -> None:
        """Ends the workers; what still waits is told so."""
        left = []
        with self._lock:
            self.closing = True
            while taken := self._queue.take():
                left += taken
        self._closed.set()
        fail(left, RunError("the server is going down"))
        for child in self._children:
            child.end()
        for thread in self._threads:
            thread.join(10.0)
        for child in self._children:
            child.bury()

    def ready(self, child: Child, *, is_so: bool) -> None:
        """A worker can take calls, or no longer can."""
        with self._lock:
            child.is_ready = is_so
        self._feed()

    def answered(self, child: Child, number: int) -> Flying | None:
        """Takes a call that came back off the worker, and gives it; None where it went to another one
        meanwhile.
        """
        with self._lock:
            return child.flying.pop(number, None)

    def done(self, flying: Flying) -> None:
        """A call's logits have been delivered: there is room for another one."""
        self._feed()
        if self.watcher is not None:
            n, tokens = len(flying.windows), sum(map(len, flying.windows))
            self.watcher.call(n, tokens, n * flying.length, time.monotonic() - flying.since)

    def lost(self, child: Child) -> None:
        """A worker has died: what it had waits once more, unless it was lost before."""
        again: list[Waiting] = []
        over: list[Waiting] = []
        with self._lock:
            for flying in child.flying.values():
                for window in flying.windows:
                    window.tries += 1
                    (again if window.tries < TRIES and not self.closing else over).append(window)
            child.flying = {}
            self._queue.add(reversed(again), first=True)
        fail(over, RunError("the engine worker died at this request, and so did the one before it"))
        self._feed()

    def restarting(self) -> None:
        """A dead worker is about to be replaced."""
        if self.watcher is not None:
            self.watcher.restarted()

    def _feed(self) -> None:
        """Sends calls to the workers that may have one, as long as there are windows."""
        while (found := self._next()) is not None:
            child, number, flying, shares = found
            child.send(number, flying, shares=shares)

    def _next(self) -> tuple[Child, int, Flying, bool] | None:
        """The next call and the worker that gets it, the one with least to do; None where there is nothing to
        send.
        """
        with self._lock:
            if self.closing or not len(self._queue):
                return None
            busy = self._queue.busy
            free = [
                child for child in self._children if child.is_ready and len(child.flying) < (2 if busy else 1)
            ]
            if not free:
                return None
            child = min(free, key=lambda one: len(one.flying))
            self._n_calls += 1
            flying = child.flying[self._n_calls] = flight(
                self._queue.take(), self.facts.get("max_tokens") or 1 << 30
            )
            return child, self._n_calls, flying, busy

    def _watch(self) -> None:
        """Kills workers that have been at a call for too long; their deaths are seen to where they are read
        from.
        """
        while not self._closed.wait(min(_TICK_S, self.settings.hung_s)):
            now = time.monotonic()
            for child in self._children:
                with self._lock:
                    oldest = min((flying.since for flying in child.flying.values()), default=now)
                if now - oldest > self.settings.hung_s:
                    log.error(
                        "worker %d has been at a call for %d s and is replaced", child.number, now - oldest
                    )
                    child.kill()

    def _thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
