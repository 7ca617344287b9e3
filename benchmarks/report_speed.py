"""What a report costs: metrics over many predictions, and what evaluating adds to reading.

    python benchmarks/report_speed.py                                   # 100,000 predictions, 1,000 bootstrap
    samples python benchmarks/report_speed.py --model DIR --data dev.json       # ... and one evaluation,
    plots and page included

The predictions are made up: answers of three words, contexts of 120, three gold answers each, half of the
questions without. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tinyreader.data import Answer, Example, load_examples
from tinyreader.progress import Progress
from tinyreader.reader import Reader
from tinyreader.report import measure, slices
from tinyreader.report.evaluate import Subject, evaluate
from tinyreader.report.machine import machine
from tinyreader.report.reading import ReadQuestion

T = TypeVar("T")
SAMPLES = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Times both and prints what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--model", type=Path, help="a reader to evaluate")
    parser.add_argument("--data", type=Path, help="what to evaluate it on")
    options = parser.parse_args(arguments)
    result = {"machine": machine(), "metrics": metrics(options.predictions)}
    if options.model is not None and options.data is not None:
        result["evaluating"] = evaluating(options.model, options.data)
    print(json.dumps(result))


def metrics(n: int) -> dict[str, float]:
    """Seconds that each part of the measuring takes over n predictions, all of it, and of that this process's
    own.
    """
    examples, found = made_up(n)
    texts = measure.Texts([120] * n, [1] * n)
    taken: dict[str, float] = {}
    own = time.process_time()
    judged = timed(taken, "questions", lambda: measure.score(examples, found, texts, "squad-en"))
    timed(taken, "official scores", lambda: measure.official_scores(examples, judged, "2.0", 0.0, "squad-en"))
    timed(taken, "intervals", lambda: measure.intervals(judged, SAMPLES))
    timed(taken, "curves", lambda: measure.all_curves(judged))
    timed(taken, "calibration", lambda: measure.calibration(judged))
    timed(taken, "slices with their intervals", lambda: slices.by_slices(judged, SAMPLES))
    timed(taken, "failures", lambda: slices.failures(judged))
    taken["in all"] = round(sum(taken.values()), 3)
    taken["of the processor"] = round(
        time.process_time() - own, 3
    )  # less than "in all" on a machine that does other things
    print(f"{n:,} predictions, {SAMPLES:,} bootstrap samples:", file=sys.stderr)
    for name, seconds in taken.items():
        print(f"  {name:30} {seconds:6.2f} s", file=sys.stderr)
    return taken


def evaluating(model: Path, data: Path) -> dict[str, float]:
    """Seconds of reading and of everything after it, and their ratio, in per cent."""
    examples = load_examples(data)
    subject = Subject(Reader.from_pretrained(model), model, model.name)
    with tempfile.TemporaryDirectory() as folder:
        speed = evaluate(subject, data.name, examples, Path(folder) / "report", progress=Progress()).speed
    added = 100.0 * speed["report_seconds"] / speed["reading_seconds"]
    print(
        f"reading {len(examples):,} questions: {speed['reading_seconds']:.1f} s, the report "
        f"{speed['report_seconds']:.1f} s "
        f"more: {added:.1f} %",
        file=sys.stderr,
    )
    return {
        "reading_seconds": speed["reading_seconds"],
        "report_seconds": speed["report_seconds"],
        "added_percent": added,
    }


def made_up(n: int) -> tuple[list[Example], list[ReadQuestion]]:
    """n questions and what a reader might have found."""
    rng = random.Random(0)
    words = [f"w{i}" for i in range(5000)]
    contexts = [" ".join(rng.choices(words, k=120)) for _ in range(max(1, n // 5))]
    examples, found = [], []
    for i in range(n):
        texts = [" ".join(rng.choices(words, k=3)) for _ in range(3)]
        answers = tuple(Answer(text, 5) for text in texts) if i % 2 else ()
        examples.append(Example(f"{i}", "What is it?", contexts[i % len(contexts)], answers))
        text = texts[0] if rng.random() < 0.6 else " ".join(rng.choices(words, k=3))
        odds = rng.gauss(0.0, 5.0)
        found.append(
            ReadQuestion(f"{i}", text, 5, 5 + len(text), odds, odds <= 0.0, rng.random(), rng.random())
        )
    return examples, found


def timed(taken: dict[str, float], name: str, work: Callable[[], T]) -> T:
    """What the work gives; its seconds go into `taken`."""
    began = time.perf_counter()
    result = work()
    taken[name] = round(time.perf_counter() - began, 3)
    return result


if __name__ == "__main__":
    main()
