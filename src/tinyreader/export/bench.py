"""One model on this machine's engines and precisions, side by side: speed, latency, start-up, agreement."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tinyreader.data import Example
from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.export.parity import Outcome, compare, make_trial, sample_examples
from tinyreader.reader import Reader
from tinyreader.runtimes import PrecisionName
from tinyreader.runtimes.engines import Engine, installed_engines, precisions_of
from tinyreader.runtimes.facts import is_known

FIRST_ANSWER = """
import sys
from tinyreader.reader import Reader
model, engine, precision, threads, question, text = sys.argv[1:]
reader = Reader.from_pretrained(model, engine=engine, precision=precision, threads=int(threads) or None)
reader.read(question, text)
"""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One engine at one precision. `first_answer_s` is the time from the start of a process to its answer.

    `equal_answers` and `largest_logit_difference` compare it with the first row, which is OpenVINO's fp32 if
    that could be measured. If `failure` says why a row could not be measured, its figures are None.
    """

    engine: str
    precision: str
    questions_per_s: float | None = None
    one_question_p50_ms: float | None = None
    first_answer_s: float | None = None
    equal_answers: float | None = None
    largest_logit_difference: float | None = None
    failure: str | None = None


def bench(
    directory: Path,
    examples: Sequence[Example] | None = None,
    *,
    threads: int | None = None,
    repeats: int = 3,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Iterator[BenchRow]:
    """Yield a row for every installed engine and precision. Without `examples`, the questions come from the
    package's own texts.

    Throughput is the best of `repeats` passes, latency the median over single questions on the shorter
    contexts. Raises `ModelError` if the directory holds no model at all.
    """
    is_known(directory)
    examples = sample_examples(96) if examples is None else examples
    reference: Outcome | None = None
    for engine in installed_engines():
        for precision in (*precisions_of(engine, directory), *_int8(engine)):
            on_progress(f"{engine} {precision}")
            try:
                row, outcome = _measure(directory, engine, precision, examples, threads, repeats, reference)
            except (MissingExtraError, ModelError, SettingsError) as error:
                yield BenchRow(engine, precision, failure=str(error))
                continue
            reference = outcome if reference is None else reference
            yield row


def _int8(engine: str) -> tuple[str, ...]:
    return () if engine == "torch" else ("int8",)


def _measure(
    directory: Path,
    engine: str,
    precision: str,
    examples: Sequence[Example],
    threads: int | None,
    repeats: int,
    reference: Outcome | None,
) -> tuple[BenchRow, Outcome]:
    """The row of an engine, and its outcome on the examples."""
    reader = Reader.from_pretrained(
        directory, engine=cast(Engine, engine), precision=cast(PrecisionName, precision), threads=threads
    )
    trial = make_trial(examples, reader.tokenizer, reader.settings)
    outcome = trial.run(reader.runtime)  # also the pass in which engines prepare for the shapes
    parity = compare(trial, outcome if reference is None else reference, outcome)
    pairs = [(example.question, example.context) for example in examples]
    fastest = min(_seconds(lambda: list(reader.read_many(pairs))) for _ in range(repeats))
    singles = sorted(pairs, key=lambda pair: len(pair[1]))[: max(1, len(pairs) // 2)][:20]
    for question, context in singles[:3]:
        reader.read(question, context)
    latencies = [_seconds(lambda: reader.read(*pair)) for pair in singles]  # noqa: B023 - called at once
    row = BenchRow(
        engine,
        precision,
        questions_per_s=len(pairs) / fastest,
        one_question_p50_ms=1000 * statistics.median(latencies),
        first_answer_s=_first_answer(directory, engine, precision, threads, singles[0]),
        equal_answers=parity.equal_answers,
        largest_logit_difference=parity.largest_logit_difference,
    )
    return row, outcome


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _first_answer(
    directory: Path, engine: str, precision: str, threads: int | None, pair: tuple[str, str]
) -> float:
    """Seconds from the start of a new process to its first answer."""
    command = [
        sys.executable,
        "-c",
        FIRST_ANSWER,
        str(directory),
        engine,
        precision,
        str(threads or 0),
        *pair,
    ]
    try:
        return _seconds(lambda: subprocess.run(command, check=True, capture_output=True, text=True))
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.strip().splitlines()[-1:])
        raise ModelError(f"{directory} could not answer in a process of its own: {reason}") from error


def is_busy() -> bool:
    """Whether other work keeps this machine so busy that times mean little."""
    try:
        return os.getloadavg()[0] > 0.25 * (os.cpu_count() or 1)
    except (OSError, AttributeError):  # Windows has no load average
        return False
