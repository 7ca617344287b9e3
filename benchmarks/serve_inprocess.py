"""The reader itself, for serve_load.py: what it does in a process of its own, without a server around it.

python serve_inprocess.py JOB.json        prints {"rate": ..., "found": [...], "alone": [...], "precision":
...}
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from machine import CpuWatch
from tinyreader import Reader

WARM_UP = 3


def main() -> None:
    """Measure as the job says."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    reader = Reader.from_pretrained(job["model"], threads=job["threads"], precision=job["precision"])
    pairs = [(question, context) for question, context in job["pairs"]]
    singles = [(question, context) for question, context in job["singles"]]
    list(reader.read_many(pairs[:64]))
    with CpuWatch() as watch:
        started = time.perf_counter()
        found = [best(reading.as_dict()) for reading in reader.read_many(pairs)]
        seconds = time.perf_counter() - started
    for question, context in singles[:WARM_UP]:
        reader.read(question, context)
    alone = []
    for question, context in singles[WARM_UP:]:
        started = time.perf_counter()
        reader.read(question, context)
        alone.append(time.perf_counter() - started)
    engine = f"{reader.engine} {reader.precision}"
    print(
        json.dumps(
            {
                "rate": len(pairs) / seconds,
                "found": found,
                "alone": alone,
                "engine": engine,
                "foreign_share": watch.foreign_share,
            }
        )
    )


def best(reading: dict[str, Any]) -> list[Any]:
    """A reading's best answer as start and end, and whether the reader gives it."""
    first = reading["answers"][0] if reading["answers"] else {"start": -1, "end": -1}
    return [first["start"], first["end"], reading["has_answer"]]


if __name__ == "__main__":
    main()
