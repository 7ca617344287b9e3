"""An engine worker: a child process that computes the windows it is given until its standard input ends.

    python -m tinyreader.serve.worker MODEL --engine auto --precision auto --threads 2

Messages are pickles, `Call` on its standard input and `Ready`, `Logits` or `Failure` on its standard output. It first
says which model it runs, then answers calls, two at a time where they share the engine. What libraries print goes to
stderr; Ctrl-C and SIGTERM are the front's to handle, whose end shows as the end of the input.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinyreader.arrays import Float32, Int32
from tinyreader.errors import TinyreaderError
from tinyreader.runtimes import Runtime

WARM_SHAPES = (
    (1, 64),
    (1, 176),
    (1, 384),
    *((1, length) for length in range(32, 385, 32)),
    *((rows, area // rows // 16 * 16) for area in (512, 1024) for rows in (2, 3, 4, 6, 8, 12, 16)),
)
"""Windows and tokens of the calls made before the first question: engines make code for each shape that they
meet, and by these a worker has nearly the memory that it will have.
"""

WARM_MAX_LENGTH = 384
WARM_S = 10.0
"""A large model on a slow machine does not keep the first question waiting for longer."""

ONEDNN_KERNELS = "64"
"""oneDNN's own kernels, cached beside OpenVINO's: with its default of 1,024 a worker held some 80 MB more, and was
no faster.
"""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker takes calls from now on; `facts` describe its model."""

    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Windows for one engine call, one after the other: their lengths, token and segment ids, int32 [sum of lengths],
    and the length that each is padded to. `shares` says that other calls wait, so that two may be computed at a time.
    """

    number: int
    lengths: list[int]
    ids: Int32
    segments: Int32
    padded_length: int
    shares: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """Start and end logits of a call's windows, float32 [sum of lengths]."""

    number: int
    starts: Float32
    ends: Float32


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed; number 0 says why the worker could not start."""

    number: int
    reason: str


Message = Ready | Call | Logits | Failure


def send(stream: BinaryIO, message: Message) -> None:
    """Writes a message and flushes."""
    stream.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
    stream.flush()


def receive(stream: BinaryIO) -> Message:
    """The next message. Raises `EOFError` where the stream ends, even within a message, and `ValueError` for anything
    else in it.

    Unpickling is safe here: nobody but the process at the other end, of our own code and user, has the pipe.
    """
    try:
        message: Message = pickle.load(stream)
    except EOFError:
        raise
    except Exception as error:  # unpickling what is not a pickle raises almost anything
        if "truncated" in str(error):
            raise EOFError(str(error)) from None
        raise ValueError(f"not a message: {type(error).__name__}") from None
    if not isinstance(message, Message):
        raise ValueError(f"not a message: {type(message).__name__}")
    return message


class Engine:
    """A model opened for single calls, and once more for two calls at a time where the engine has a way of its own."""

    def __init__(self, single: Runtime, double: Runtime | None = None) -> None:
        self.single, self.double = single, double or single

    def logits(self, call: Call) -> tuple[Float32, Float32]:
        """Start and end logits of the call's windows, float32 [sum of lengths]."""
        is_token = np.arange(call.padded_length) < np.array(call.lengths)[:, None]
        ids = np.full(is_token.shape, self.single.facts.pad_id, np.int64)
        segments = np.zeros_like(ids)
        ids[is_token], segments[is_token] = call.ids, call.segments
        runtime = self.double if call.shares else self.single
        starts, ends = runtime.logits(ids, is_token.astype(np.int64), segments)
        return starts[is_token], ends[is_token]

    def facts(self) -> dict[str, Any]:
        """What the front has to know of the model."""
        return asdict(self.single.facts)

    def warm_up(self) -> None:
        """Computes windows of many shapes, so that the first questions do not wait while the engine compiles."""
        longest = min(WARM_MAX_LENGTH, self.single.facts.max_tokens or WARM_MAX_LENGTH)
        began = time.monotonic()
        for rows, length in dict.fromkeys((rows, min(length, longest)) for rows, length in WARM_SHAPES):
            if time.monotonic() - began > WARM_S:
                return
            tokens = np.zeros(rows * length, np.int32)
            for shares in (False, True) if self.double is not self.single else (False,):
                self.logits(Call(0, [length] * rows, tokens, tokens, length, shares))


def open_model(directory: Path, engine: str, precision: str, threads: int | None) -> Engine:
    """The engine of a model's directory; raises what `open_engine` raises."""
    from tinyreader.runtimes.engines import (
        open_engine,
    )  # the front reads this module too, and needs no engine

    single: Any = open_engine(directory, engine, precision, threads)  # type: ignore[arg-type]
    if single.facts.engine != "openvino" or single.settings.n_threads < 2:
        return Engine(single)
    return Engine(single, single.with_streams(2))


def serve_calls(engine: Engine, calls: BinaryIO, answers: BinaryIO) -> None:
    """Answers calls until the input ends: two threads, each of which computes the call that it has read."""
    reading, writing = threading.Lock(), threading.Lock()

    def work() -> None:
        while True:
            with reading:
                try:
                    call = receive(calls)
                except EOFError:
                    return
            assert isinstance(call, Call)
            answer: Message
            try:
                answer = Logits(call.number, *engine.logits(call))
            except Exception as error:  # the front answers for it; the next call may succeed
                answer = Failure(call.number, f"{type(error).__name__}: {error}")
            with writing:
                send(answers, answer)

    second = threading.Thread(target=work, daemon=True)
    second.start()
    work()
    second.join()


def main(words: Sequence[str] | None = None) -> None:
    """Opens the model, says so or why not, and answers calls."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    parser = argparse.ArgumentParser(description="An engine worker of `tinyreader serve`.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(words)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", ONEDNN_KERNELS)
    try:
        engine = open_model(args.model, args.engine, args.precision, args.threads)
        engine.warm_up()
    except (TinyreaderError, OSError) as error:
        send(answers, Failure(0, str(error)))
        sys.exit(2)
    send(answers, Ready(engine.facts()))
    try:
        serve_calls(engine, sys.stdin.buffer, answers)
    except BrokenPipeError:  # the front has gone
        os._exit(1)


if __name__ == "__main__":
    from tinyreader.serve import worker  # under its own name, by which its messages are unpickled

    worker.main()
