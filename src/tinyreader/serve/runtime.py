"""The pool as a reader's runtime: the windows of a request wait with those of others, and the request for its
own.

So a reader in the front reads over workers by the very code it reads by alone; a thread's `RequestContext` says which
request it works for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from tinyreader.arrays import Float32, Int64
from tinyreader.errors import TinyreaderError
from tinyreader.runtimes import Inputs, Logits, ModelFacts, Runtime
from tinyreader.serve.fair_queue import Flow, Waiting
from tinyreader.serve.pool import Pool


class Abandoned(TinyreaderError):  # noqa: N818 - what became of the request, not a mistake
    """Nobody waits for this request any more; `late` where its deadline passed."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("its deadline passed" if late else "its client has gone")
        self.late = late


class RequestContext:
    """A request at work: its waiting windows, its deadline, and whether anybody still waits for it."""

    def __init__(self, seconds: float) -> None:
        """`seconds` from now is the deadline."""
        self.deadline = time.monotonic() + seconds
        self.flow = Flow()
        self.n_windows = 0
        self._pool: Pool | None = None
        self._changed = threading.Condition()
        self._ended: Abandoned | None = None

    def submit(self, pool: Pool, windows: list[Waiting]) -> None:
        """Puts windows into the pool's queue. Raises `Abandoned` where nobody waits for the request any more."""
        self.check()
        self._pool = pool
        self.n_windows += len(windows)
        pool.submit(windows)
        if self._ended is not None:  # it was cancelled meanwhile
            pool.discard(self.flow)

    def cancel(self, *, late: bool = False) -> None:
        """Ends the request: its waiting windows are dropped, and `wait` raises."""
        with self._changed:
            self._ended = self._ended or Abandoned(late=late)
            self._changed.notify_all()
        if self._pool is not None:
            self._pool.discard(self.flow)

    def check(self) -> None:
        """Raises `Abandoned` where nobody waits for the request any more."""
        if self._ended is None and time.monotonic() > self.deadline:
            self.cancel(late=True)
        if self._ended is not None:
            raise self._ended

    def wait(self, batch: _Batch) -> None:
        """Returns when the batch is complete. Raises `Abandoned`, or what went wrong."""
        with self._changed:
            while batch.missing and batch.error is None and self._ended is None:
                left = self.deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        if batch.error is not None:
            self.cancel()
            raise batch.error
        if batch.missing:
            self.check()

    def wake(self) -> None:
        """Makes `wait` look again."""
        with self._changed:
            self._changed.notify_all()


class _Batch:
    """The logits of a batch of windows, float32 [B, L], as they come in."""

    def __init__(self, context: RequestContext, shape: tuple[int, int]) -> None:
        self.context = context
        self.starts, self.ends = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.missing = shape[0]
        self.error: Exception | None = None
        self.rows: dict[int, int] = {}

    def deliver(self, window: Waiting, start: Float32, end: Float32) -> None:
        """Takes a window's logits."""
        row = self.rows.pop(id(window))
        self.starts[row, : len(window)], self.ends[row, : len(window)] = start, end
        self.missing -= 1
        if not self.missing:
            self.context.wake()

    def fail(self, window: Waiting, error: Exception) -> None:
        """Takes what went wrong with a window."""
        self.error = self.error or error
        self.context.wake()


_CURRENT: ContextVar[RequestContext] = ContextVar("request")


@contextmanager
def working_for(context: RequestContext) -> Iterator[None]:
    """Within the block, what this thread reads is read for that request."""
    token = _CURRENT.set(context)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_context() -> RequestContext:
    """The request that this thread works for."""
    return _CURRENT.get()


class PooledRuntime(Runtime):
    """A runtime whose network runs in the pool's workers. Threads share it, each in a request context
    of its own.
    """

    def __init__(self, pool: Pool) -> None:
        """The pool must have been started."""
        self.facts = ModelFacts(**pool.facts)
        self._pool = pool

    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> Logits:
        """Start and end logits float32 [B, L] of windows [B, L] padded on the right; `mask` is 1 on real
        tokens.
        """
        return next(self.stream([(input_ids, mask, segment_ids)]))

    def stream(self, batches: Iterable[Inputs]) -> Iterator[Logits]:
        """What `logits` gives for each batch, in order; the windows of all batches wait from the
        beginning.
        """
        context = _CURRENT.get()
        waiting: deque[_Batch] = deque()
        windows = []
        for ids, mask, segments in batches:
            batch = _Batch(context, ids.shape)
            for row, n in enumerate(mask.sum(axis=1).tolist()):
                own = (ids[row, :n].astype(np.int32), segments[row, :n].astype(np.int32))
                windows.append(Waiting(context.flow, *own, target=batch))
                batch.rows[id(windows[-1])] = row
            waiting.append(batch)
        context.submit(self._pool, windows)
        while waiting:
            batch = waiting.popleft()
            context.wait(batch)
            yield batch.starts, batch.ends
