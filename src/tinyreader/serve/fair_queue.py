"""Which windows are computed next: fairly among requests, together with windows of like length.

Fair is self-clocked fair queueing (Golestani, INFOCOM 1994), by tokens: a window is to be finished at the
clock's time, or at that of the window before it from the same request, plus its length; the earliest goes
first, and is what the clock then shows. So a request of one window passes one of a thousand, and none
waits for ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tinyreader.arrays import Int32
from tinyreader.windows import padded_length

BUSY_REQUESTS = 4
"""From this number of waiting requests on, calls are large, for throughput; below it they are small, for latency."""

# Engines compile code for each shape that they meet, so calls have one of few numbers of rows.
_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_MAX_PADDING = 0.12  # share of a call
_N_CANDIDATES = 128  # waiting windows considered for a call, about


@dataclass(slots=True, eq=False)
class Waiting:
    """A window that waits: its token and segment ids, int32 [n], whose it is, and where its logits go."""

    flow: Flow
    ids: Int32
    segments: Int32
    target: Any = None
    tries: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True, eq=False)
class Flow:
    """The waiting windows of one request, and when, by the queue's clock, the last one taken was to be
    finished.
    """

    windows: deque[Waiting] = field(default_factory=deque)
    finish: float = 0.0


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Maximum tokens of an engine call, with padding, when many requests wait and otherwise; one window always fits."""

    busy_tokens: int = 1024
    calm_tokens: int = 512


class FairQueue:
    """Windows of several requests. Not thread-safe: the pool keeps a lock around it."""

    def __init__(self, limits: CallLimits | None = None) -> None:
        self.limits = limits or CallLimits()
        self._flows: dict[int, Flow] = {}
        self._clock = 0.0
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def busy(self) -> bool:
        """Whether many requests wait."""
        return len(self._flows) >= BUSY_REQUESTS

    def add(self, windows: Iterable[Waiting], *, first: bool = False) -> None:
        """Puts windows behind those of their requests, or before them: those that a worker lost go
        `first`.
        """
        for window in windows:
            flow = window.flow
            if not flow.windows:
                flow.finish = max(self._clock, flow.finish)
                self._flows[id(flow)] = flow
            (flow.windows.appendleft if first else flow.windows.append)(window)
            self._n += 1

    def discard(self, flow: Flow) -> int:
        """Drops the waiting windows of a request; gives their number."""
        n = len(flow.windows)
        self._n -= n
        flow.windows.clear()
        self._flows.pop(id(flow), None)
        return n

    def take(self) -> list[Waiting]:
        """The windows of the next call, which wait no longer; empty where none do."""
        if not self._flows:
            return []
        turn = min(self._flows.values(), key=_due)
        self._clock = _due(turn)
        budget = self.limits.busy_tokens if self.busy else self.limits.calm_tokens
        taken = _like(turn.windows[0], self._candidates(), budget)
        for window in taken:
            window.flow.finish += len(window)
        self._drop(taken)
        return taken

    def _candidates(self) -> list[Waiting]:
        """The first few windows of each request."""
        each = max(2, _N_CANDIDATES // len(self._flows))
        return [window for flow in self._flows.values() for window in islice(flow.windows, each)]

    def _drop(self, taken: list[Waiting]) -> None:
        """Takes windows out of their requests' queues; they stand near the front there."""
        gone = {id(window) for window in taken}
        for flow in {id(window.flow): window.flow for window in taken}.values():
            kept = []
            n = sum(window.flow is flow for window in taken)
            while n:
                window = flow.windows.popleft()
                if id(window) in gone:
                    n -= 1
                else:
                    kept.append(window)
            flow.windows.extendleft(reversed(kept))
            if not flow.windows:
                self._flows.pop(id(flow), None)
        self._n -= len(taken)


def _due(flow: Flow) -> float:
    """When the request's next window is to be finished."""
    return flow.finish + len(flow.windows[0])


def call_length(lengths: Iterable[int], max_length: int) -> int:
    """The length that a call's windows are padded to: a multiple of 8 for one window, of 16 for several, up
    to `max_length`.
    """
    several = list(lengths)
    longest = max(several)
    if len(several) == 1:
        return padded_length(longest, max_length)
    return max(longest, min(max_length, -(-longest // 16) * 16))


def _like(must: Waiting, candidates: list[Waiting], budget: int) -> list[Waiting]:
    """`must`, and of the candidates those nearest to it in length, while they fit and little of the call is
    padding.
    """
    order = sorted(candidates, key=len)
    at = next(place for place, window in enumerate(order) if window is must)
    low, high, total = at, at, len(must)
    while True:
        choices = []
        for a, b, new in ((low - 1, high, low - 1), (low, high + 1, high + 1)):
            if 0 <= new < len(order):
                area, tokens = len(order[b]) * (b - a + 1), total + len(order[new])
                if area <= budget and tokens >= (1 - _MAX_PADDING) * area:
                    choices.append((1 - tokens / area, a, b, tokens))
        if not choices:
            break
        _, low, high, total = min(choices)
    rows = _ROWS[bisect_right(_ROWS, high - low + 1) - 1]
    while high - low + 1 > rows:
        if high > at:
            high -= 1
        else:
            low += 1
    return order[low : high + 1]
