"""`progress`: the line that long work shows, and its stop switch."""

from __future__ import annotations

import io
import math
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tinyreader import progress
from tinyreader.errors import Interrupted
from tinyreader.progress import Progress, StopSwitch, duration, stop_signals, stoppable


class Terminal(io.StringIO):
    """A terminal of 20 columns."""

    def isatty(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """Any number will do; the width is patched."""
        return 2


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stderr as a terminal; no fixture, since pytest puts its own stderr in place after fixtures are made."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 5)))
    return stream


def test_progress_in_a_file_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """The first at once, then none until the time has passed, except by force or after a line that stays."""
    progress = Progress(every_seconds=1000)
    progress._last = -math.inf  # a machine that has just started has a clock near 0
    for text in ("one", "two", "three"):
        progress.show(text)
    progress.show("last", force=True)
    progress.say("note")
    shown = capsys.readouterr()
    assert shown.err == "one\nlast\nnote\n"
    assert shown.out == ""


def test_progress_on_a_terminal_is_rewritten_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut to the width, and a line that stays begins below it."""
    stream = terminal(monkeypatch)
    progress = Progress()
    progress.show("x" * 50, force=True)
    progress.show("short", force=True)
    progress.say("note")
    progress.say("again")
    progress.show("more", force=True)
    clear = "\r\x1b[K"
    assert stream.getvalue() == f"{clear}{'x' * 19}{clear}short\nnote\nagain\n{clear}more"


def test_a_terminal_that_does_not_say_its_width_has_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a width of 0 nor none at all stops a run."""
    stream = terminal(monkeypatch)

    def unknown(_: int) -> os.terminal_size:
        raise OSError("not a terminal any more")

    for size in (unknown, lambda _: os.terminal_size((0, 0))):
        monkeypatch.setattr(os, "get_terminal_size", size)
        Progress().show("y" * 100, force=True)
    assert stream.getvalue() == 2 * ("\r\x1b[K" + "y" * 79)


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither progress nor notes."""
    progress = Progress(quiet=True)
    progress.show("one", force=True)
    progress.say("two")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed file")]
)
def test_a_run_does_not_end_because_nobody_looks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Where stderr is gone (`2>&1 | tee` ended by the same Ctrl-C), progress falls silent."""
    tries = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            tries.append(text)
            raise error

    monkeypatch.setattr(sys, "stderr", Gone())
    progress = Progress()
    progress.say("one")
    progress.say("two")
    progress.show("three", force=True)
    assert tries == ["one\n"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (725, "12m05s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (11_220, "3h07m"),
        (360_000, "100h00m"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """Two units at most."""
    assert duration(seconds) == text


def test_an_unset_switch_lets_pass() -> None:
    """`check` raises only after a stop was asked for, with the reason and the advice."""
    switch = StopSwitch()
    switch.check("go on")
    switch.reason = "SIGTERM"
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM\. go on"):
        switch.check("go on")


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_signals_ask_and_do_not_interrupt(number: signal.Signals, name: str) -> None:
    """The block runs to its end, the reason is told once, and the handlers of before come back."""
    before, told, finished = signal.getsignal(number), [], False
    switch = StopSwitch()
    with stop_signals(switch, told.append):
        assert signal.getsignal(number) != before
        signal.raise_signal(number)
        finished = True
    assert finished
    assert (switch.reason, told) == (name, [name])
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_a_request_interrupts_at_once(first: signal.Signals) -> None:
    """Someone who presses it twice means it; a second SIGTERM only repeats the first."""
    before, switch = signal.getsignal(signal.SIGINT), StopSwitch()
    with stop_signals(switch, lambda _: None):
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_handlers_come_back_after_an_error() -> None:
    """Whatever ends the block."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError), stop_signals(StopSwitch(), lambda _: None):
        raise RuntimeError
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    """Python allows handlers in the main thread only; a run elsewhere goes without."""
    results: list[str] = []

    def run() -> None:
        with stop_signals(StopSwitch(), results.append):
            results.append("ran")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert results == ["ran"]


def test_a_signal_in_the_midst_of_a_blocked_write_still_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal held by Ctrl-S the handler cannot speak, but the request counts, and the run is not
    torn.
    """
    reading, writing = os.pipe()
    switch, shown = StopSwitch(), b""

    main, handled = threading.get_ident(), threading.Event()

    def press_then_look() -> None:
        nonlocal shown
        while select.select([], [writing], [], 0)[1]:  # until the pipe is full, so that the write blocks
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGTERM)
        handled.wait(30)
        while part := os.read(reading, 2**16):
            shown += part

    helper = threading.Thread(target=press_then_look)
    with open(writing, "w", buffering=1) as stream, monkeypatch.context() as patch:  # noqa: PTH123 - a descriptor
        patch.setattr(sys, "stderr", stream)
        progress = Progress()

        def say(reason: str) -> None:
            progress.say(reason)
            handled.set()

        with stop_signals(switch, say):
            helper.start()
            progress.say("x" * 200_000)
    helper.join()
    os.close(reading)
    assert switch.reason == "SIGTERM"
    assert shown == b"x" * 200_000 + b"\n"
    assert not progress.quiet


def test_stoppable_passes_items_on_until_a_stop_is_asked_for() -> None:
    """Reading a large file ends at the next example, with exit code 1 and advice, not after the file."""
    switch = StopSwitch()
    items = stoppable(range(10), switch)
    assert [next(items), next(items)] == [0, 1]
    switch.reason = "Ctrl-C"
    with pytest.raises(Interrupted, match=r"stopped by Ctrl-C.*the same command starts from the beginning"):
        next(items)


def test_the_module_prints_to_stderr_only() -> None:
    """stdout belongs to results."""
    assert "sys.stdout" not in Path(progress.__file__).read_text(encoding="utf-8")
