"""An engine worker: a child process that computes the windows it is given until its standard input ends.

    python -m tinyreader.serve.worker MODEL --engine auto --precision auto --threads 2

It says which model it runs, then answers calls, two at a time where they share the engine. What libraries
print goes to stderr; Ctrl-C and SIGTERM are the front's to handle, whose end is seen as the end of the input.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinyreader.errors import TinyreaderError
from tinyreader.reader.engines import open_engine
from tinyreader.runtimes import Runtime
from tinyreader.serve.frames import (
    CALL,
    FAILED,
    HELLO,
    LOGITS,
    Call,
    pack_facts,
    pack_failure,
    pack_logits,
    read_frame,
    write_frame,
)

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

LONGEST = 384
WARM_S = 10.0
"""A large model on a slow machine is not kept longer from its first question."""


class Engine:
    """A model opened once for single calls, and once more for two calls at a time where that is another
    thing.
    """

    def __init__(self, single: Runtime, double: Runtime | None = None) -> None:
        self.single, self.double = single, double or single

    def logits(self, call: Call) -> tuple[list[Any], list[Any]]:
        """Start and end logits of each of the call's windows, float32 [n]."""
        lengths = [len(ids) for ids in call.ids]
        ids = np.full((len(lengths), call.length), self.single.pad_id, np.int64)
        mask, segments = np.zeros_like(ids), np.zeros_like(ids)
        for row, n in enumerate(lengths):
            ids[row, :n], mask[row, :n], segments[row, :n] = call.ids[row], 1, call.segments[row]
        runtime = self.double if call.shares else self.single
        starts, ends = runtime.logits(ids, mask, segments)
        return [starts[row, :n] for row, n in enumerate(lengths)], [
            ends[row, :n] for row, n in enumerate(lengths)
        ]

    def facts(self) -> dict[str, Any]:
        """What the front has to know of the model."""
        names = ("pad_id", "max_tokens", "vocab_size", "engine", "precision")
        return {name: getattr(self.single, name, None) for name in names}

    def warm_up(self) -> None:
        """Computes windows of many shapes, so that the first questions do not wait for the engine to get
        ready.
        """
        most = min(LONGEST, getattr(self.single, "max_tokens", None) or LONGEST)
        began = time.monotonic()
        for rows, length in dict.fromkeys((rows, min(length, most)) for rows, length in WARM_SHAPES):
            if time.monotonic() - began > WARM_S:
                return
            windows = [np.zeros(length, np.int32)] * rows
            for shares in (False, True) if self.double is not self.single else (False,):
                self.logits(Call(0, windows, windows, length, shares))


def open_model(directory: Path, engine: str, precision: str, threads: int | None) -> Engine:
    """The engine of a model's directory; raises what `open_engine` raises."""
    single: Any = open_engine(directory, engine, precision, threads)  # type: ignore[arg-type]
    if single.engine != "openvino" or single.settings.n_threads < 2:
        return Engine(single)
    return Engine(single, single.with_streams(2))


def serve_calls(engine: Engine, given: BinaryIO, answers: BinaryIO) -> None:
    """Answers calls until the input ends: two threads, each of which computes the call that it has read."""
    reading, writing = threading.Lock(), threading.Lock()

    def work() -> None:
        while True:
            with reading:
                try:
                    kind, content = read_frame(given)
                except EOFError:
                    return
            if kind != CALL:
                continue
            call = Call.unpack(content)
            try:
                content, kind = pack_logits(call.number, *engine.logits(call)), LOGITS
            except Exception as error:  # the front answers for it; the next call may be a better one
                content, kind = pack_failure(call.number, f"{type(error).__name__}: {error}"), FAILED
            with writing:
                write_frame(answers, kind, content)

    second = threading.Thread(target=work, daemon=True)
    second.start()
    work()
    second.join()


KEPT_PRIMITIVES = "64"
"""oneDNN's own kernels, kept beside OpenVINO's: of its 1,024 a worker would hold some 80 MB more, and be no
faster.
"""


def main(words: Sequence[str] | None = None) -> None:
    """Opens the model, says so or why not, and serves."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the frames
    parser = argparse.ArgumentParser(description="An engine worker of `tinyreader serve`.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(words)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_PRIMITIVES)
    try:
        engine = open_model(args.model, args.engine, args.precision, args.threads)
        engine.warm_up()
    except (TinyreaderError, OSError) as error:
        write_frame(answers, FAILED, pack_failure(0, str(error)))
        sys.exit(2)
    write_frame(answers, HELLO, pack_facts(engine.facts()))
    try:
        serve_calls(engine, sys.stdin.buffer, answers)
    except BrokenPipeError:  # the front has gone
        os._exit(1)


if __name__ == "__main__":
    main()
