"""An engine worker without an engine: its logits depend on each token and its place alone, and a test can
hold it.

    python fake_engine.py FOLDER

While FOLDER/hold is there, calls wait. FOLDER/die makes the next call kill the process, FOLDER/hang makes it hang for
ever; either is removed by it. FOLDER/fail makes each call fail; FOLDER/broken makes it refuse to start. FOLDER/calls
gets a line for each call: its windows' lengths.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.runtimes import ModelFacts, Runtime
from tinyreader.serve.worker import Call, Engine, Failure, Logits, Ready, receive, send

FACTS = {"pad_id": 0, "max_tokens": 64, "vocab_size": None, "engine": "fake", "precision": "fp32"}


class Scattered(Runtime):
    """A runtime whose logits depend on each token and its place alone, whatever stands beside its window in a
    batch.
    """

    facts = ModelFacts(max_tokens=64)

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
        """Numbers that look drawn by chance."""
        places = np.arange(input_ids.shape[1])
        return tuple(  # type: ignore[return-value]
            ((input_ids * 7919 + places * 104729 + salt) % 1009 / 100 - 5).astype(np.float32)
            for salt in (0, 311)
        )


def command(folder: Path) -> list[str]:
    """What starts it."""
    return [sys.executable, str(Path(__file__)), str(folder)]


def main() -> None:
    """Answers calls until the input ends."""
    folder = Path(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    calls, answers = sys.stdin.buffer, sys.stdout.buffer
    if (folder / "broken").exists():
        send(answers, Failure(0, "the weights are damaged"))
        sys.exit(2)
    send(answers, Ready(FACTS))
    while True:
        try:
            call = receive(calls)
        except EOFError:
            return
        assert isinstance(call, Call)
        with (folder / "calls").open("a") as file:
            file.write(" ".join(map(str, call.lengths)) + "\n")
        while (folder / "hold").exists():
            time.sleep(0.005)
        if (folder / "hang").exists():
            (folder / "hang").unlink()
            threading.Event().wait()
        if (folder / "die").exists():
            (folder / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / "fail").exists():
            send(answers, Failure(call.number, "no memory"))
            continue
        send(answers, Logits(call.number, *Engine(Scattered()).logits(call)))


if __name__ == "__main__":
    main()
