"""`serve.fair_queue`: fair turns by tokens, windows of like length together, nothing lost."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyreader.serve.fair_queue import BUSY_REQUESTS, CallLimits, FairQueue, Flow, Waiting, call_length


def windows(flow: Flow, *lengths: int) -> list[Waiting]:
    """Windows of a request, of these lengths."""
    return [Waiting(flow, np.zeros(n, np.int32), np.zeros(n, np.int32)) for n in lengths]


def lengths(taken: list[Waiting]) -> list[int]:
    """Their lengths."""
    return [len(window) for window in taken]


@given(
    st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=12), min_size=1, max_size=10),
    st.integers(0, 2**32),
)
def test_every_window_is_taken_once_and_calls_keep_their_size(requests: list[list[int]], seed: int) -> None:
    """Whatever comes and goes between calls: no window twice, none lost, none late for ever, no call too
    large.
    """
    draw = random.Random(seed)
    limits = CallLimits(busy_tokens=700, calm_tokens=300)
    queue = FairQueue(limits)
    put: list[Waiting] = []
    taken: list[Waiting] = []
    coming = [windows(Flow(), *own) for own in requests]
    while coming or len(queue):
        if coming and draw.random() < 0.6:
            put += coming[-1]
            queue.add(coming.pop())
        before, busy = len(queue), queue.busy
        call = queue.take()
        assert bool(call) == bool(before)
        assert len(queue) == before - len(call)
        if len(call) > 1:
            assert len(call) * max(lengths(call)) <= (limits.busy_tokens if busy else limits.calm_tokens)
            assert sum(lengths(call)) >= 0.75 * len(call) * max(lengths(call))
        taken += call
    assert sorted(map(id, taken)) == sorted(map(id, put))


def test_a_short_request_passes_a_long_one() -> None:
    """What comes while a thousand windows wait is in the next call but one at the latest, and alone in it."""
    queue, long, short = FairQueue(CallLimits(1024, 384)), Flow(), Flow()
    queue.add(windows(long, *[384] * 1000))
    for _ in range(5):
        queue.take()
    queue.add(windows(short, 170))
    assert lengths(queue.take()) == [170]
    assert lengths(queue.take()) == [384]


def test_a_long_request_is_not_starved_by_short_ones() -> None:
    """Against a stream of short questions a long document gets its share of the tokens."""
    queue, long = FairQueue(CallLimits(384, 384)), Flow()
    queue.add(windows(long, *[384] * 50))
    n_long = n_short = 0
    for _ in range(60):
        queue.add(windows(Flow(), 128))
        for window in queue.take():
            n_long += window.flow is long
            n_short += window.flow is not long
    assert n_long >= 12
    assert n_short >= 30


def test_equal_requests_take_turns() -> None:
    """Two long documents advance alike."""
    queue, flows = FairQueue(CallLimits(384, 384)), [Flow(), Flow()]
    for flow in flows:
        queue.add(windows(flow, *[300] * 40))
    taken = [window for _ in range(20) for window in queue.take()]
    assert [sum(window.flow is flow for window in taken) for flow in flows] == [10, 10]


def test_many_requests_share_large_calls_of_like_length() -> None:
    """When many wait, calls are filled with windows that need little padding."""
    queue = FairQueue(CallLimits(1024, 128))
    for n in range(64):
        queue.add(windows(Flow(), 40 + 5 * n))
    assert queue.busy
    tokens = area = calls = 0
    while queue.busy:
        call = queue.take()
        calls += 1
        tokens += sum(lengths(call))
        area += len(call) * call_length(lengths(call), 384)
    assert calls <= 24
    assert tokens > 0.85 * area


def test_few_requests_get_small_calls() -> None:
    """Below the limit the calls are small, for a new request must not wait for a large one."""
    queue = FairQueue(CallLimits(1024, 128))
    for _ in range(BUSY_REQUESTS - 1):
        queue.add(windows(Flow(), *[64] * 20))
    assert len(queue.take()) == 2


def test_a_discarded_request_leaves_nothing() -> None:
    """Its windows are gone, the others stay; discarding again, or what never waited, does nothing."""
    queue, one, other = FairQueue(), Flow(), Flow()
    queue.add([*windows(one, 10, 20), *windows(other, 30)])
    assert queue.discard(one) == 2
    assert queue.discard(one) == queue.discard(Flow()) == 0
    assert len(queue) == 1
    assert lengths(queue.take()) == [30]
    assert queue.take() == []


def test_lost_windows_come_first_in_their_request() -> None:
    """What a worker lost is computed before what had not had its turn."""
    queue, flow = FairQueue(CallLimits(100, 100)), Flow()
    queue.add(windows(flow, 90, 91, 92))
    lost = queue.take()
    queue.add(lost, first=True)
    assert [id(window) for window in queue.take()] == [id(window) for window in lost]


def test_call_lengths_are_few() -> None:
    """Padding goes to multiples of 8 for one window, of 16 for several, and never beyond what the model
    takes.
    """
    assert call_length([169], 384) == 176
    assert call_length([150, 161], 384) == 176
    assert call_length([383, 380], 383) == 383
    assert {call_length([n, n], 384) for n in range(1, 385)} == set(range(16, 385, 16))
