"""`serve.worker`: a real engine in a child process says what it says here."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fake_engine import Scattered
from tiny_models import write_reader
from tinyreader.reader.engines import open_engine
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
from tinyreader.serve.pool import worker_command
from tinyreader.serve.worker import Engine, open_model, serve_calls

IDS = [np.array([2, 6, 7, 3, 5, 9, 3], np.int32), np.array([2, 6, 3, 8, 3], np.int32)]
SEGMENTS = [np.array([0, 0, 0, 0, 1, 1, 1], np.int32), np.array([0, 0, 0, 1, 1], np.int32)]


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
        kind, content = read_frame(child.stdout)
        facts = json.loads(content)
        assert (kind, facts["engine"], facts["precision"], facts["max_tokens"]) == (
            HELLO,
            "openvino",
            "fp32",
            64,
        )
        engine = open_engine(directory, "openvino", "fp32", 1)
        for shares in (False, True):
            write_frame(child.stdin, CALL, Call(3, IDS, SEGMENTS, 8, shares).pack())
            kind, content = read_frame(child.stdout)
            assert kind == LOGITS
            number, starts, ends = unpack_logits(content)
            assert number == 3
            begin = 0
            for ids, segments in zip(IDS, SEGMENTS, strict=True):
                batch = (
                    ids[None].astype(np.int64),
                    np.ones((1, len(ids)), np.int64),
                    segments[None].astype(np.int64),
                )
                own = engine.logits(*batch)
                for one, other in zip((starts, ends), own, strict=True):
                    np.testing.assert_allclose(one[begin : begin + len(ids)], other[0], atol=2e-5)
                begin += len(ids)
        child.stdin.close()
        assert child.wait(60) == 0


def test_a_model_that_cannot_be_used_is_told_in_a_frame(tmp_path: Path) -> None:
    """The reason goes to the front, and the exit code is 2."""
    done = subprocess.run(
        worker_command(str(tmp_path), "auto", "auto", None), stdin=subprocess.DEVNULL, capture_output=True
    )
    kind, content = read_frame(io.BytesIO(done.stdout))
    assert (done.returncode, kind) == (2, FAILED)
    assert str(tmp_path) in unpack_failure(content)[1]


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
        write_frame(given, CALL, Call(number, IDS[row : row + 1], SEGMENTS[row : row + 1], 8).pack())
    given.seek(0)
    engine = Engine(Moody())
    engine.warm_up()
    serve_calls(engine, given, answers)
    answers.seek(0)
    frames = dict(read_frame(answers) for _ in range(2))
    assert unpack_failure(frames[FAILED]) == (1, "MemoryError: no room")
    assert unpack_logits(frames[LOGITS])[0] == 2


def test_many_shapes_are_computed_before_the_first_call() -> None:
    """Each once, none longer than the model takes; a second form of the model meets them too."""

    class Short(Scattered):
        max_tokens = 100

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
