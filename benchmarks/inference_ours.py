"""Tinyreader's side of inference.py, with a clock around its engine: what is left of the time is everything
else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from inference_side import Found, Pair
from tinyreader import Reader
from tinyreader.runtimes import Runtime

PACKAGES = ["tinyreader", "openvino", "tokenizers", "numpy"]
SAME_ANSWERS = {
    "top_k": 1,
    "max_answer_tokens": 15,
    "word_boundaries": True,
}  # the pipeline's rules; they cost no time


class ClockedRuntime(Runtime):
    """A runtime as it was, with the seconds that the reader waited for it: making its batches not counted."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self.facts = runtime, runtime.facts
        self.seconds = self._making = 0.0

    def logits(self, *batch: Any) -> Any:
        """What the runtime gives for one batch."""
        started = time.perf_counter()
        found = self._runtime.logits(*batch)
        self.seconds += time.perf_counter() - started
        return found

    def stream(self, batches: Iterable[Any]) -> Iterator[Any]:
        """What it gives for a stream of batches."""
        results = iter(self._runtime.stream(self._made(batches)))
        while True:
            started, made = time.perf_counter(), self._making
            try:
                found = next(results)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - started - (self._making - made)
            yield found

    def _made(self, batches: Iterable[Any]) -> Iterator[Any]:
        remaining = iter(batches)
        while True:
            started = time.perf_counter()
            try:
                batch = next(remaining)
            except StopIteration:
                return
            finally:
                self._making += time.perf_counter() - started
            yield batch


class ReaderSide:
    """A reader as `from_pretrained` makes it."""

    batch_size = None

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.clock = ClockedRuntime(reader.runtime)
        reader.runtime = self.clock

    def one(self, question: str, context: str) -> Found:
        """The answer to one question on one text."""
        return _found(self.reader.read(question, context, **SAME_ANSWERS))

    def bulk(self, pairs: list[Pair]) -> list[Found]:
        """The answers to many questions, each on its own text, in order."""
        return [_found(reading) for reading in self.reader.read_many(pairs, **SAME_ANSWERS)]

    def documents(self, question: str, documents: list[str]) -> Found:
        """The best answer to one question in many texts."""
        return _found(self.reader.read(question, documents, **SAME_ANSWERS))

    def reset(self) -> None:
        """Set the engine's clock to zero."""
        self.clock.seconds = 0.0

    def engine_seconds(self) -> float:
        """Seconds that the reader waited for its engine since `reset`."""
        return self.clock.seconds

    def describe(self) -> dict[str, str]:
        """Engine and precision, as the runtime tells them."""
        return {"engine": self.reader.engine, "precision": self.reader.precision}

    def profile(self, pairs: list[Pair]) -> dict[str, float]:
        """Share of the time that each source file takes under cProfile, C functions counted with their
        callers' files.

        The profiler slows Python down and the engine not, so these are upper bounds.
        """
        import cProfile
        import pstats

        profiler = cProfile.Profile()
        profiler.runcall(self.bulk, pairs)
        seconds: dict[str, float] = {}
        entries: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
        for (path, _, _), (_, _, own, _, callers) in entries.items():
            if path != "~":
                seconds[_short(path)] = seconds.get(_short(path), 0.0) + own
                continue
            for (caller, _, _), (_, _, part, _) in callers.items():
                seconds[_short(caller)] = seconds.get(_short(caller), 0.0) + part
        total = sum(seconds.values())
        return {name: own / total for name, own in sorted(seconds.items(), key=lambda item: -item[1])}


def _short(path: str) -> str:
    """A source file by its package and name."""
    return "/".join(path.rpartition("site-packages/")[2].rpartition("/src/")[2].split("/")[-3:])


def _found(reading: Any) -> Found:
    """The best answer's place, whether or not the reader would rather say that there is none."""
    if not reading.answers:
        return (-1, 0, 0)
    answer = reading.answers[0]
    return (int(answer.document.id), answer.start, answer.end)


def open_side(model: str, settings: dict[str, Any], threads: int) -> ReaderSide:
    """The reader as documented, with `engine` and `precision` where the settings name them."""
    return ReaderSide(Reader.from_pretrained(model, threads=threads, **settings))
