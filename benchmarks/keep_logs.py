"""Copies the logs of rows that experiments.py has run to benchmarks/logs, where they are committed;
checkpoints are not.

    python benchmarks/keep_logs.py labels-1e-4 prediction-150k --work runs/starter

A row's file has JSON lines: its record (settings, data, versions, timings, scores), what its run noted on the
way, and its F1 on the questions that choose between rows. Of the notes on steps at most about 200 are kept,
evenly spaced; names of files stand in place of absolute paths.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command import require_files
from experiments import JUDGE, held_out_f1, judged_file, odds_file
from tinyreader.data import load_examples
from tinyreader.distil.runlog import RunLog
from tinyreader.storage import without_directories

LOGS = Path(__file__).parent / "logs"
STEPS_KEPT = 200


def main() -> None:
    options = arguments()
    options.logs.mkdir(exist_ok=True)
    questions = load_examples(options.work / JUDGE)
    for row in options.rows:
        record = json.loads((options.work / row / "student" / "run.json").read_text("utf-8"))
        chosen = {
            "event": "held_out",
            "questions": len(questions),
            "best_f1": held_out_f1(options.work, row, questions),
        }
        notes = [record, *thinned(RunLog(options.work / row / "log.jsonl").read()), chosen]
        kept = options.logs / f"{row}.jsonl"
        told = [json.dumps(short(without_directories(note)), ensure_ascii=False) for note in notes]
        kept.write_text("\n".join(told) + "\n", "utf-8")
        print(kept, kept.stat().st_size)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+", help="rows that are finished")
    parser.add_argument("--work", type=Path, default=Path("runs/starter"))
    parser.add_argument("--logs", type=Path, default=LOGS)
    options = parser.parse_args()
    for row in options.rows:
        judged = judged_file(options.work, row)
        require_files(
            parser,
            *(options.work / row / name for name in ("student/run.json", "log.jsonl")),
            odds_file(judged),
        )
    require_files(parser, options.work / JUDGE)
    return options


def thinned(notes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All notes but those on steps, of which at most about `STEPS_KEPT` stay, each stage's last among
    them.
    """
    every = max(1, -(-sum(note["event"] == "step" for note in notes) // STEPS_KEPT))
    seen = 0
    for note in notes:
        if note["event"] == "step":
            seen += 1
            if seen % every and note["step"] != note["of"]:
                continue
        yield note


def short(value: Any) -> Any:
    """The same with measured numbers to six digits; times stay whole."""
    if isinstance(value, dict):
        return {key: each if key == "time" else short(each) for key, each in value.items()}
    if isinstance(value, list):
        return [short(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
