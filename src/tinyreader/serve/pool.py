"""The engine workers around one queue: fed, watched, and replaced when they die.

Workers are processes, not threads, so that a crash in an engine costs a retry and not the server, a hung call can be
killed, and the event loop never waits for an engine that holds the interpreter.

There is no dispatcher thread: the thread that adds windows, or has taken a worker's answer, sends the next calls. A
worker computes one call at a time while few requests wait, so that a new one is soon served; when many wait it has a
second one at hand.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from tinyreader.errors import ModelError, RunError
from tinyreader.serve.fair_queue import CallLimits, FairQueue, Flow, Waiting, call_length
from tinyreader.serve.metrics import Metrics
from tinyreader.serve.worker import Call, Failure, Logits, Message, Ready, receive, send

log = logging.getLogger(__name__)

MAX_TRIES = 2
"""A window that was in flight when this many workers died is given up: it may be what kills them."""

PAUSES_S = (0.0, 0.2, 1.0, 3.0, 10.0)
"""Pauses before a worker is started again, by how often it died without having answered anything."""

JOIN_S = 10.0
_WATCH_S = 1.0
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many workers, the command that starts one, and how long (seconds) a call may take before its worker counts
    as hung.
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


@dataclass(slots=True, eq=False)
class InFlight:
    """A call that a worker has: its windows, the length they are padded to, and when it was sent."""

    windows: list[Waiting]
    padded_length: int
    since: float

    @classmethod
    def of(cls, windows: list[Waiting], max_length: int) -> InFlight:
        """A call of these windows, sent now."""
        return cls(windows, call_length(map(len, windows), max_length), time.monotonic())

    def deliver(self, logits: Logits) -> None:
        """Gives each window its part of the logits."""
        begin = 0
        for window in self.windows:
            end = begin + len(window)
            window.target.deliver(window, logits.starts[begin:end], logits.ends[begin:end])
            begin = end


class Worker:
    """One place in the pool: a process, and another one when that dies. `in_flight` and `is_ready` are the pool's,
    under its lock.
    """

    def __init__(self, pool: Pool, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}
        self.in_flight: dict[int, InFlight] = {}
        self.is_ready = False
        self._pool = pool
        self._writing = threading.Lock()
        self._n_answered = 0

    def start(self) -> None:
        """Starts a process; `wait_ready` returns when it takes calls."""
        self.process = subprocess.Popen(
            self._pool.settings.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def wait_ready(self) -> None:
        """Waits for the process's facts. Raises `ModelError` where it fails, or says nothing in time."""
        process = self._running()
        late = threading.Timer(self._pool.settings.start_s, process.kill)
        late.start()
        try:
            message = receive(_pipe(process.stdout))
        except (EOFError, ValueError):
            process.kill()
            raise ModelError(
                f"an engine worker ended before it was ready (exit code {process.wait()}); its own words stand above."
            ) from None
        finally:
            late.cancel()
        if isinstance(message, Failure):
            raise ModelError(message.reason)
        assert isinstance(message, Ready)
        self.facts = message.facts
        self._pool.set_ready(self, True)

    def send(self, number: int, call: InFlight, *, shares: bool) -> None:
        """Sends a call. If the process has died, the thread that reads from it notices."""
        windows = call.windows
        ids = np.concatenate([window.ids for window in windows])
        segments = np.concatenate([window.segments for window in windows])
        lengths = [len(window) for window in windows]
        with self._writing, suppress(OSError, ValueError):
            send(
                _pipe(self._running().stdin), Call(number, lengths, ids, segments, call.padded_length, shares)
            )

    def run(self) -> None:
        """Takes answers until the pool closes, from process after process."""
        failures = 0
        while not self._pool.is_closing:
            self._n_answered = 0
            self._take_answers()
            self._pool.set_ready(self, False)
            code = self.stop()
            self._pool.recover(self)
            while not self._pool.is_closing and not self.is_ready:
                failures = 0 if self._n_answered else min(failures + 1, len(PAUSES_S) - 1)
                self._n_answered = 0
                log.error("worker %d ended (exit code %s) and is replaced", self.number, code)
                if self._pool.metrics is not None:
                    self._pool.metrics.restarts.inc()
                self._pool.wait_closed(PAUSES_S[failures])
                try:
                    self.start()
                    self.wait_ready()
                except (ModelError, OSError) as error:
                    log.error("worker %d could not be started: %s", self.number, error)
                    code = self.stop()

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def finish(self) -> None:
        """Ends the process by the end of its input, at once where that does not help."""
        if self.process is None:
            return
        with suppress(OSError, ValueError):
            _pipe(self.process.stdin).close()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def stop(self) -> int | None:
        """Ends the process, if there is one, and closes its pipes; gives its exit code."""
        if (process := self.process) is None:
            return None
        self.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):  # what was still to be written to it
                _pipe(stream).close()
        return code

    def _take_answers(self) -> None:
        stream = _pipe(self._running().stdout)
        try:
            while True:
                self._take(receive(stream))
        except (EOFError, OSError):
            return
        except ValueError as error:
            log.error("worker %d wrote what is %s", self.number, error)

    def _take(self, answer: Message) -> None:
        if not isinstance(answer, Logits | Failure):
            raise ValueError(f"not an answer: {type(answer).__name__}")
        if (call := self._pool.take_back(self, answer.number)) is None:
            return  # it was sent just when the process before this one died, and waits again
        if isinstance(answer, Logits):
            self._n_answered += 1
            call.deliver(answer)
        else:
            _fail(call.windows, RunError(f"the engine could not compute this: {answer.reason}"))
        self._pool.complete(call)

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RunError("the worker was not started")
        return self.process


class Pool:
    """Workers around one queue. `facts` is what the first of them said about the model."""

    def __init__(self, settings: PoolSettings, metrics: Metrics | None = None) -> None:
        self.settings, self.metrics = settings, metrics
        self.facts: dict[str, Any] = {}
        self._queue = FairQueue(settings.limits)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._n_calls = 0
        self._workers = [Worker(self, number) for number in range(settings.workers)]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the workers and returns when all are ready. Raises `ModelError` with a worker's words where one
        fails.
        """
        try:
            for worker in self._workers:
                worker.start()
            for worker in self._workers:
                worker.wait_ready()
        except BaseException:
            for worker in self._workers:
                worker.stop()
            raise
        self.facts = self._workers[0].facts
        for worker in self._workers:
            self._thread(worker.run, f"worker-{worker.number}")
        self._thread(self._watch, "watch")

    def submit(self, windows: Sequence[Waiting]) -> None:
        """Puts windows into the queue. Raises `RunError` where the pool is closed."""
        with self._lock:
            if self.is_closing:
                raise RunError("the server is going down")
            self._queue.add(windows)
        self._feed()

    def discard(self, flow: Flow) -> int:
        """Forgets the windows of a request that nobody waits for any more; gives how many still waited."""
        with self._lock:
            return self._queue.discard(flow)

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    @property
    def waiting(self) -> int:
        """Windows that wait for a worker."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Windows that workers have."""
        with self._lock:
            return sum(len(call.windows) for worker in self._workers for call in worker.in_flight.values())

    @property
    def alive(self) -> int:
        """Workers that are ready."""
        return sum(worker.is_ready for worker in self._workers)

    @property
    def processes(self) -> list[int]:
        """The process ids of the workers that are ready."""
        return [
            worker.process.pid for worker in self._workers if worker.is_ready and worker.process is not None
        ]

    def close(self) -> None:
        """Ends the workers; windows that still wait fail."""
        left = []
        with self._lock:
            self._closed.set()
            while taken := self._queue.take():
                left += taken
        _fail(left, RunError("the server is going down"))
        for worker in self._workers:
            worker.finish()
        for thread in self._threads:
            thread.join(JOIN_S)
        for worker, thread in zip(self._workers, self._threads, strict=False):
            if (
                not thread.is_alive()
            ):  # else a process that the worker left holds its pipe, and closing would block
                worker.stop()

    def wait_closed(self, seconds: float) -> None:
        """Returns after that time, or when the pool closes."""
        self._closed.wait(seconds)

    def set_ready(self, worker: Worker, is_ready: bool) -> None:
        """Notes whether a worker takes calls."""
        with self._lock:
            worker.is_ready = is_ready
        self._feed()

    def take_back(self, worker: Worker, number: int) -> InFlight | None:
        """Takes an answered call off the worker, and gives it; None where another one has it meanwhile."""
        with self._lock:
            return worker.in_flight.pop(number, None)

    def complete(self, call: InFlight) -> None:
        """Counts a call whose logits have been delivered, and sends the next one."""
        self._feed()
        if self.metrics is not None:
            n, tokens = len(call.windows), sum(map(len, call.windows))
            self.metrics.call(n, tokens, n * call.padded_length, time.monotonic() - call.since)

    def recover(self, worker: Worker) -> None:
        """Puts what a dead worker had back into the queue, and gives up what was lost before."""
        again: list[Waiting] = []
        over: list[Waiting] = []
        with self._lock:
            for call in worker.in_flight.values():
                for window in call.windows:
                    window.tries += 1
                    (again if window.tries < MAX_TRIES and not self.is_closing else over).append(window)
            worker.in_flight = {}
            self._queue.add(reversed(again), first=True)
        _fail(over, RunError("the engine worker died at this request, and so did the one before it"))
        self._feed()

    def _feed(self) -> None:
        """Sends calls to the workers that have room, as long as there are windows."""
        while (found := self._next()) is not None:
            worker, number, call, shares = found
            worker.send(number, call, shares=shares)

    def _next(self) -> tuple[Worker, int, InFlight, bool] | None:
        """The next call and the worker that gets it, the least busy one; None where there is nothing to send."""
        with self._lock:
            if self.is_closing or not len(self._queue):
                return None
            is_busy = self._queue.busy
            room = 2 if is_busy else 1
            free = [worker for worker in self._workers if worker.is_ready and len(worker.in_flight) < room]
            if not free:
                return None
            worker = min(free, key=lambda one: len(one.in_flight))
            self._n_calls += 1
            call = InFlight.of(self._queue.take(), self.facts.get("max_tokens") or 1 << 30)
            worker.in_flight[self._n_calls] = call
            return worker, self._n_calls, call, is_busy

    def _watch(self) -> None:
        """Kills workers that have been at a call for too long; the threads that read from them replace them."""
        while not self._closed.wait(min(_WATCH_S, self.settings.hung_s)):
            now = time.monotonic()
            for worker in self._workers:
                with self._lock:
                    oldest = min((call.since for call in worker.in_flight.values()), default=now)
                if now - oldest > self.settings.hung_s:
                    log.error("worker %d was at a call for %d s and is replaced", worker.number, now - oldest)
                    worker.kill()

    def _thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


def _fail(windows: Sequence[Waiting], error: Exception) -> None:
    for window in windows:
        window.target.fail(window, error)


def _pipe(stream: Any) -> BinaryIO:
    pipe: BinaryIO = stream
    return pipe
