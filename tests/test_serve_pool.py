"""`serve.pool`: worker processes are fed, watched and replaced; nothing that waits is forgotten."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_engine import Scattered, command
from serving import until
from tinyreader.errors import ModelError, RunError
from tinyreader.serve import pool as pool_module
from tinyreader.serve.fair_queue import Flow, Waiting
from tinyreader.serve.pool import InFlight, Pool, PoolSettings, worker_command


class Basket:
    """Takes what comes of windows."""

    def __init__(self) -> None:
        self.logits: dict[int, tuple[Any, Any]] = {}
        self.errors: list[Exception] = []

    def deliver(self, window: Waiting, start: Any, end: Any) -> None:
        """Takes logits."""
        self.logits[id(window)] = (start, end)

    def fail(self, window: Waiting, error: Exception) -> None:
        """Takes what went wrong."""
        self.errors.append(error)


def windows(n: int, basket: Basket, flow: Flow | None = None) -> list[Waiting]:
    """Windows of a request, each of other tokens."""
    flow = flow or Flow()
    return [
        Waiting(flow, np.arange(k, k + 20, dtype=np.int32), np.zeros(20, np.int32), basket) for k in range(n)
    ]


@contextmanager
def started(folder: Path, **settings: Any) -> Iterator[Pool]:
    """A pool of fake engines."""
    pool = Pool(PoolSettings(command(folder), **settings))
    pool.start()
    try:
        yield pool
    finally:
        (folder / "hold").unlink(missing_ok=True)
        pool.close()


def test_windows_come_back_with_their_own_logits(tmp_path: Path) -> None:
    """From two workers, in whatever calls: each window gets what the engine says about it."""
    basket = Basket()
    with started(tmp_path, workers=2) as pool:
        assert pool.facts["engine"] == "fake"
        assert (pool.alive, len(pool.processes)) == (2, 2)
        given = windows(200, basket)
        pool.submit(given)
        until(lambda: len(basket.logits) == 200, "all logits")
    for window in given:
        start, end = Scattered().logits(window.ids[None], None, None)
        assert np.array_equal(basket.logits[id(window)], (start[0], end[0]))


def test_killed_workers_are_replaced_and_lose_nothing(tmp_path: Path) -> None:
    """Kill -9 of both workers, with calls in flight: what they had is computed by those that follow."""
    basket = Basket()
    with started(tmp_path, workers=2) as pool:
        (tmp_path / "hold").touch()
        pool.submit(windows(50, basket))
        until(lambda: pool.waiting < 50, "calls in flight")
        before = pool.processes
        for process in before:
            os.kill(process, signal.SIGKILL)
        until(lambda: pool.alive == 2 and not set(pool.processes) & set(before), "new workers")
        (tmp_path / "hold").unlink()
        until(lambda: len(basket.logits) == 50, "all logits")
        assert not basket.errors


def test_what_kills_two_workers_is_given_up(tmp_path: Path) -> None:
    """A window over which two workers died is not tried on a third; others are answered."""
    basket, good = Basket(), Basket()
    with started(tmp_path) as pool:
        (tmp_path / "die").touch()
        pool.submit(windows(1, basket))
        until(lambda: not (tmp_path / "die").exists(), "the first death")
        (tmp_path / "hold").touch()
        until(lambda: (tmp_path / "calls").read_text().count("\n") == 2, "the second try")
        (tmp_path / "die").touch()
        (tmp_path / "hold").unlink()
        until(lambda: basket.errors, "the end of it")
        pool.submit(windows(1, good))
        until(lambda: good.logits, "another answer")
    assert not basket.logits
    assert "died" in str(basket.errors[0])


def test_a_hung_worker_is_replaced(tmp_path: Path) -> None:
    """One that takes longer than any call may is killed, and the next one computes what it had."""
    basket = Basket()
    with started(tmp_path, hung_s=1.0) as pool:
        (before,) = pool.processes
        (tmp_path / "hang").touch()
        (window,) = windows(1, basket)
        pool.submit([window])
        until(lambda: basket.logits or basket.errors, "an end")
        assert pool.processes != [before]
    assert not basket.errors
    start, end = Scattered().logits(window.ids[None], None, None)
    assert np.array_equal(basket.logits[id(window)], (start[0], end[0]))


def test_a_call_that_fails_fails_alone(tmp_path: Path) -> None:
    """The engine's error reaches whose windows they were; the worker lives."""
    basket, good = Basket(), Basket()
    with started(tmp_path) as pool:
        (tmp_path / "fail").touch()
        pool.submit(windows(1, basket))
        until(lambda: basket.errors, "the error")
        (tmp_path / "fail").unlink()
        pool.submit(windows(1, good))
        until(lambda: good.logits, "an answer")
        assert pool.alive == 1
    assert "no memory" in str(basket.errors[0])


def test_windows_of_a_request_that_is_over_are_forgotten(tmp_path: Path) -> None:
    """What waits of it leaves the queue and is never sent."""
    basket, flow = Basket(), Flow()
    with started(tmp_path) as pool:
        (tmp_path / "hold").touch()
        pool.submit(windows(100, basket, flow))
        until(lambda: pool.waiting < 100, "a call in flight")
        n = pool.waiting
        assert pool.discard(flow) == n
        assert pool.waiting == 0
        (tmp_path / "hold").unlink()
        until(lambda: len(basket.logits) == 100 - n, "what was in flight")


def test_closing_tells_those_that_wait(tmp_path: Path) -> None:
    """Nobody waits for ever on a pool that is closed, and its processes are gone."""
    basket = Basket()
    with started(tmp_path) as pool:
        (process,) = pool.processes
        (tmp_path / "hold").touch()
        pool.submit(windows(100, basket))
        until(lambda: pool.waiting < 100, "a call in flight")
        (tmp_path / "hold").unlink()
        pool.close()
        assert len(basket.errors) + len(basket.logits) == 100
        with pytest.raises(RunError, match="going down"):
            pool.submit(windows(1, basket))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its own words are the error; one that ends without any is told with its exit code."""
    (tmp_path / "broken").touch()
    with pytest.raises(ModelError, match="the weights are damaged"):
        Pool(PoolSettings(command(tmp_path))).start()
    with pytest.raises(ModelError, match="exit code 3"):
        Pool(PoolSettings(["python3", "-c", "raise SystemExit(3)"])).start()


def test_the_workers_command_names_what_was_asked_for() -> None:
    """Model, engine, precision and threads stand in it."""
    words = worker_command("some/model", "openvino", "bf16", 2)
    assert words[1:] == [
        "-m",
        "tinyreader.serve.worker",
        "some/model",
        "--engine",
        "openvino",
        "--precision",
        "bf16",
        "--threads",
        "2",
    ]
    assert "--threads" not in worker_command("some/model", "auto", "auto", None)


def test_an_answer_to_a_call_that_is_elsewhere_is_no_harm(tmp_path: Path) -> None:
    """A call sent just when its worker died may reach the next one as well: what comes back of it is let
    go.
    """
    basket = Basket()
    with started(tmp_path) as pool:
        (worker,) = pool._workers
        worker.send(10**6, InFlight.of(windows(1, Basket()), 64), shares=False)
        pool.submit(windows(5, basket))
        until(lambda: len(basket.logits) == 5, "the answers")
        assert pool.alive == 1


def test_a_process_that_a_worker_left_does_not_block_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the worker's pipe open, so that its end never shows; the pool closes all the same."""
    monkeypatch.setattr(pool_module, "JOIN_S", 0.1)
    left = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(tmp_path / 'left')!r}, 'w').write(str(child.pid)); sys.argv[1:] = [{str(tmp_path)!r}]; "
        f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import os, fake_engine; fake_engine.main(); os._exit(0)"
    )
    pool = Pool(PoolSettings([sys.executable, "-c", left]))
    pool.start()
    (worker,) = pool.processes
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    with suppress(ProcessLookupError):
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
