"""One side of inference.py, in a process and an environment of its own: what it is asked to measure, as one
line of JSON.

    python inference_side.py JOB.json

The clock of the first answer starts where the parent started this process, so nothing is imported before it
is needed. Each library is used as its documentation shows, through a small class in
`inference_transformers.py`, `inference_haystack.py`, `inference_optimum.py` or `inference_ours.py`.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from machine import CpuWatch

Pair = tuple[str, str]
Found = tuple[int, int, int]
"""An answer: the number of its document, and its first and last-but-one code point; (-1, 0, 0) where there is
none.
"""

WARM_UP = 3  # single questions before the clock of latencies starts


class Side(Protocol):
    """A library that answers questions; `batch_size` is what it is tuned by, None where the library's own
    stays.
    """

    batch_size: int | None

    def one(self, question: str, context: str) -> Found:
        """The answer to one question on one text."""
        ...

    def bulk(self, pairs: list[Pair]) -> list[Found]:
        """The answers to many questions, each on its own text, in order."""
        ...

    def documents(self, question: str, documents: list[str]) -> Found:
        """The best answer to one question in many texts."""
        ...


def main() -> None:
    """Do what the job says and print what was measured."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    module = importlib.import_module(f"inference_{job['library']}")
    side: Side = module.open_side(job["model"], job["settings"], job["threads"])
    side.one(*job["singles"][0])
    result: dict[str, Any] = {"first_answer_s": time.clock_gettime(time.CLOCK_MONOTONIC) - job["started"]}
    tune(side, job, result)
    measure(side, job, result)
    result["peak_mb"] = peak_mb()
    result["versions"] = versions(module.PACKAGES)
    describe = getattr(side, "describe", None)
    if describe is not None:
        result["what"] = describe()
    print(json.dumps(result))


def measure(side: Side, job: dict[str, Any], result: dict[str, Any]) -> None:
    """Adds the measures that the job names, each with its seconds and the share of the CPU that others
    had.
    """
    pairs: list[Pair] = [(question, context) for question, context in job["pairs"]]
    singles: list[Pair] = [(question, context) for question, context in job["singles"]]
    if "latency" in job["measures"]:
        for question, context in singles[:WARM_UP]:
            side.one(question, context)
        seconds = []
        with CpuWatch() as watch:
            for question, context in singles[WARM_UP:]:
                started = time.perf_counter()
                side.one(question, context)
                seconds.append(time.perf_counter() - started)
        result["latency"] = {"seconds": seconds, "foreign_share": watch.foreign_share}
    reset = getattr(side, "reset", lambda: None)
    if "bulk" in job["measures"]:
        side.bulk(singles)  # the same to warm up for every side; its texts do not come again
        reset()
        with CpuWatch() as watch:
            started = time.perf_counter()
            found = side.bulk(pairs)
            seconds_all = time.perf_counter() - started
        result["bulk"] = {"seconds": seconds_all, "foreign_share": watch.foreign_share, "found": found}
        share = getattr(side, "engine_seconds", None)
        if share is not None:
            result["bulk"]["engine_seconds"] = share()
    for name, question, texts in (
        ("book", job["question"], [job["book"]]),
        ("documents", job["question"], job["documents"]),
    ):
        if name in job["measures"]:
            with CpuWatch() as watch:
                started = time.perf_counter()
                one = side.one(question, texts[0]) if name == "book" else side.documents(question, texts)
                seconds_all = time.perf_counter() - started
            result[name] = {"seconds": seconds_all, "foreign_share": watch.foreign_share, "found": [one]}
    if "profile" in job["measures"] and hasattr(side, "profile"):
        result["profile"] = side.profile(pairs)


def tune(side: Side, job: dict[str, Any], result: dict[str, Any]) -> None:
    """Sets the fastest of the batch sizes that the job offers, tried on a few pairs or documents, and notes
    it.
    """
    sizes = job["settings"].get("batch_sizes", [])
    if not sizes:
        return
    singles = [(question, context) for question, context in job["singles"]]
    took = {}
    for size in sizes if len(sizes) > 1 else []:
        side.batch_size = size
        started = time.perf_counter()
        if job["settings"].get("tuned_on") == "documents":
            side.documents(job["question"], job["documents"][: len(singles)])
        else:
            side.bulk(singles)
        took[size] = time.perf_counter() - started
    side.batch_size = min(took, key=lambda size: took[size]) if took else sizes[0]
    result["batch_size"] = side.batch_size


def peak_mb() -> float:
    """The most memory (10^6 bytes) that this process had at any time."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024 / 1e6


def versions(packages: list[str]) -> dict[str, str]:
    """The installed versions of the packages."""
    from importlib.metadata import version

    return {name: version(name) for name in packages}


if __name__ == "__main__":
    main()
