"""`serve.worker`: a real engine in a child process says what it says here."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from fake_engine import Scattered
from tiny_models import write_reader
from tinyreader.runtimes import ModelFacts
from tinyreader.runtimes.engines import open_engine
from tinyreader.serve.pool import worker_command
from tinyreader.serve.worker import (
    Call,
    Engine,
    Failure,
    Logits,
    Ready,
    open_model,
    receive,
    send,
    serve_calls,
)

IDS = [np.array([2, 6, 7, 3, 5, 9, 3], np.int32), np.array([2, 6, 3, 8, 3], np.int32)]
SEGMENTS = [np.array([0, 0, 0, 0, 1, 1, 1], np.int32), np.array([0, 0, 0, 1, 1], np.int32)]


def call_of(number: int, ids: list[np.ndarray], segments: list[np.ndarray], shares: bool = False) -> Call:
    """A call of these windows, each padded to 8 tokens."""
    return Call(number, list(map(len, ids)), np.concatenate(ids), np.concatenate(segments), 8, shares)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random reader."""
    return write_reader(tmp_path_factory.mktemp("reader"))


def test_a_child_computes_what_the_engine_computes(directory: Path) -> None:
    """Facts first, then logits for calls of either kind; what it is told on stdin alone ends it, with exit
    code 0.
    """
    command = worker_command(str(directory), "openvino", "fp32", 2)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        ready = receive(child.stdout)
        assert isinstance(ready, Ready)
        facts = ready.facts
        assert (facts["engine"], facts["precision"], facts["max_tokens"]) == ("openvino", "fp32", 64)
        engine = open_engine(directory, "openvino", "fp32", 1)
        for shares in (False, True):
            send(child.stdin, call_of(3, IDS, SEGMENTS, shares))
            logits = receive(child.stdout)
            assert isinstance(logits, Logits)
            assert logits.number == 3
            begin = 0
            for ids, segments in zip(IDS, SEGMENTS, strict=True):
                batch = (
                    ids[None].astype(np.int64),
                    np.ones((1, len(ids)), np.int64),
                    segments[None].astype(np.int64),
                )
                own = engine.logits(*batch)
                for one, other in zip((logits.starts, logits.ends), own, strict=True):
                    np.testing.assert_allclose(one[begin : begin + len(ids)], other[0], atol=2e-5)
                begin += len(ids)
        child.stdin.close()
        assert child.wait(60) == 0


def test_a_model_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    """The reason goes to the front, and the exit code is 2."""
    done = subprocess.run(
        worker_command(str(tmp_path), "auto", "auto", None), stdin=subprocess.DEVNULL, capture_output=True
    )
    failure = receive(io.BytesIO(done.stdout))
    assert done.returncode == 2
    assert isinstance(failure, Failure)
    assert str(tmp_path) in failure.reason


class Moody(Scattered):
    """Fails for windows with token 9."""

    def logits(
        self, input_ids: np.ndarray, mask: object, segment_ids: object
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits, or not."""
        if (input_ids == 9).any():
            raise MemoryError("no room")
        return super().logits(input_ids, mask, segment_ids)


def test_a_call_that_fails_does_not_end_the_worker() -> None:
    """Its number comes back with the reason, and so do the logits of the other one."""
    given, answers = io.BytesIO(), io.BytesIO()
    for number, row in ((1, 0), (2, 1)):
        send(given, call_of(number, IDS[row : row + 1], SEGMENTS[row : row + 1]))
    given.seek(0)
    engine = Engine(Moody())
    engine.warm_up()
    serve_calls(engine, given, answers)
    answers.seek(0)
    found = sorted((receive(answers) for _ in range(2)), key=lambda answer: answer.number)  # type: ignore[union-attr]
    assert found[0] == Failure(1, "MemoryError: no room")
    assert isinstance(found[1], Logits)
    assert found[1].number == 2


def test_many_shapes_are_computed_before_the_first_call() -> None:
    """Each once, none longer than the model takes; a second form of the model meets them too."""

    class Short(Scattered):
        facts = ModelFacts(max_tokens=100)

        def __init__(self) -> None:
            self.shapes: list[tuple[int, ...]] = []

        def logits(
            self, input_ids: np.ndarray, mask: object, segment_ids: object
        ) -> tuple[np.ndarray, np.ndarray]:
            """Logits; the shape is remembered."""
            self.shapes.append(input_ids.shape)
            return super().logits(input_ids, mask, segment_ids)

    single, double = Short(), Short()
    Engine(single, double).warm_up()
    assert single.shapes == double.shapes
    assert len(set(single.shapes)) == len(single.shapes)
    assert {(1, 32), (1, 100), (2, 100), (16, 64)} <= set(single.shapes)
    assert max(length for _, length in single.shapes) == 100


def test_one_thread_needs_no_second_model(directory: Path) -> None:
    """Where two calls cannot run side by side, the model is opened once."""
    assert (engine := open_model(directory, "openvino", "fp32", 1)).double is engine.single
    assert (engine := open_model(directory, "openvino", "fp32", 2)).double is not engine.single
    assert sys.executable in worker_command("m", "auto", "auto", None)


@drawn(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.booleans())
def test_messages_come_back(lengths: list[int], number: int, shares: bool) -> None:
    """Ids, segments and logits of windows of any lengths survive the pipe, and failures keep words of any script."""
    draw = np.random.default_rng(number)
    n = sum(lengths)
    ids, segments = draw.integers(0, 2**31 - 1, n, np.int32), draw.integers(0, 2, n, np.int32)
    starts, ends = draw.standard_normal((2, n)).astype(np.float32)
    pipe = io.BytesIO()
    send(pipe, Call(number, lengths, ids, segments, 64, shares))
    send(pipe, Logits(number, starts, ends))
    send(pipe, Failure(7, "kein Speicher: 記憶"))
    pipe.seek(0)
    call, logits = receive(pipe), receive(pipe)
    assert isinstance(call, Call)
    assert isinstance(logits, Logits)
    assert (call.number, call.lengths, call.padded_length, call.shares) == (number, lengths, 64, shares)
    assert np.array_equal([call.ids, call.segments], [ids, segments])
    assert np.array_equal([logits.starts, logits.ends], [starts, ends])
    assert receive(pipe) == Failure(7, "kein Speicher: 記憶")
    with pytest.raises(EOFError):
        receive(pipe)


@pytest.mark.parametrize(
    "content", [b"Hello from a library\n" * 3, b"\x02\xff\xff\xff\xffxxxx", b"\x80\x05K\x01.", b"\n"]
)
def test_anything_else_in_the_pipe_is_an_error(content: bytes) -> None:
    """Words printed into the pipe, bytes at random, or a pickle of another kind are no messages."""
    with pytest.raises(ValueError, match="not a message"):
        receive(io.BytesIO(content))


def test_a_message_that_ends_early_is_an_end() -> None:
    """A process that died in the middle of a message left no message."""
    pipe = io.BytesIO()
    send(pipe, Failure(1, "abcdef" * 20))
    for n in (1, 20, len(pipe.getvalue()) - 1):
        with pytest.raises(EOFError):
            receive(io.BytesIO(pipe.getvalue()[:n]))
