"""The table of readers: scores with bootstrap intervals, parameters, size, speed, and what is kept of the first one's scores.

    python benchmarks/reader_table.py --dev squad2-dev-a.json --work runs/starter \\
        teacher=DIR six-labels six-prediction starter int8=starter@int8

A word is a row that experiments.py has finished in WORK, a reader (directory or Hub id), or NAME=READER; @int8, @bf16 or @fp32
sets the precision of its arithmetic. The first is the one that others are compared with, in general their teacher. F1 is at the
best threshold for each reader on this data, which is no threshold anybody knows beforehand but the same favour to all;
"answerable" is that of answerable questions with no-answer off. Time is that of the same questions in bulk, as a user reads
them, in rounds that take turns, as a share of the first reader's: the median of the rounds. Below the table stand differences
to the second reader.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from safetensors.numpy import load_file

from command import require_files
from real_students import interval
from scored import Scored, differences, minutes, read_json, scored
from tinyreader import Reader
from tinyreader.data import Example, load_examples
from tinyreader.model_files import model_directory
from tinyreader.report.reading import read_examples

WARM_UP = 64


@dataclass(frozen=True)
class Subject:
    """A reader of the table: the name it has there, where it is, its arithmetic, and the row that made it, if one did."""

    name: str
    model: str
    precision: str
    row: Path | None

    @property
    def record(self) -> dict[str, Any]:
        """The record of the run that made it; empty where there is none."""
        path = model_directory(self.model) / "run.json"
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}

    @property
    def weights(self) -> list[Path]:
        """The files of its weights."""
        return sorted(model_directory(self.model).glob("*.safetensors"))

    def open(self) -> Reader:
        """The reader, ready to read."""
        return Reader.from_pretrained(self.model, precision=self.precision)  # type: ignore[arg-type]


def main() -> None:
    options = arguments()
    dev = load_examples(options.dev)
    subjects = [subject(word, options.work) for word in options.readers]
    kept = {each.name: read_or_found(each, dev) for each in subjects}
    shares = time_shares(subjects, dev, options.questions, options.rounds) if options.rounds else {}
    students = {each.name: kept[each.name] for each in subjects[1:]}
    print("\n".join([*table(subjects, kept, shares), "", *differences(students, subjects[min(1, len(subjects) - 1)].name)]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="+", metavar="ROW|[NAME=]READER[@PRECISION]")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/starter"))
    parser.add_argument("--questions", type=int, default=400, help="so many questions of the data are timed")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of timing; 0 for none")
    options = parser.parse_args()
    require_files(parser, options.dev, options.work)
    return options


def subject(word: str, work: Path) -> Subject:
    """The reader that a word of the command line names."""
    name, _, model = word.rpartition("=")
    model, _, precision = model.partition("@")
    row = work / model
    made_here = (row / "student" / "run.json").exists()
    return Subject(name or word, str(row / "student") if made_here else model, precision or "auto", row if made_here else None)


def read_or_found(each: Subject, dev: list[Example]) -> Scored:
    """What the reader scores: by the predictions that its run left for this data, else by reading all of it now."""
    if each.row is not None:
        answers, odds = read_json(each.row / "predictions.json", each.row / "null_odds.json")
        if answers.keys() == {example.id for example in dev}:
            return scored(dev, answers, odds)
    found = read_examples(each.open(), dev)
    return scored(dev, {read.id: read.text for read in found}, {read.id: read.null_odds for read in found})


def time_shares(subjects: list[Subject], dev: list[Example], n: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Questions a second, and the time for a question as a share of the first reader's: medians of the rounds."""
    n = min(n, len(dev))
    some = [dev[i * len(dev) // n] for i in range(n)]
    readers = {each.name: each.open() for each in subjects}
    for reader in readers.values():
        read_examples(reader, some[:WARM_UP])
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            began = time.perf_counter()
            read_examples(reader, some)
            taken[name].append(time.perf_counter() - began)
    first = taken[subjects[0].name]
    return {
        name: (n / median(seconds), median(mine / theirs for mine, theirs in zip(seconds, first, strict=True)))
        for name, seconds in taken.items()
    }


def table(subjects: list[Subject], kept: dict[str, Scored], shares: dict[str, tuple[float, float]]) -> list[str]:
    """The lines of a Markdown table."""
    whole, found = (values.mean() for values in kept[subjects[0].name].two_ways().values())
    lines = [
        "| reader | parameters | weights, MB | questions/s | time, share | EM | F1 (95 %) | kept "
        "| answerable F1, no-answer off (95 %) | kept | windows | minutes | teacher's |",
        "|---" * 13 + "|",
    ]
    for each in subjects:
        mine, record = kept[each.name], each.record
        f1, answerable = mine.two_ways().values()
        speed = shares.get(each.name)
        size = sum(path.stat().st_size for path in each.weights) / 1e6
        timed = "| " if speed is None else f"{speed[0]:.0f} | {speed[1]:.3f}"
        lines.append(
            f"| {each.name} | {parameters(each)} | {size:.1f} | {timed} "
            f"| {100 * mine.at_best(mine.exact).mean():.1f} | {100 * f1.mean():.1f} {interval(f1)} | {f1.mean() / whole:.1%} "
            f"| {100 * answerable.mean():.1f} {interval(answerable)} | {answerable.mean() / found:.1%} | {effort(record)} |"
        )
    return lines


def parameters(each: Subject) -> str:
    """Millions of parameters, as the run counted them; where no run did, of all that is in the files of weights."""
    n = each.record.get("student", {}).get("parameters")
    if n is None:
        n = sum(tensor.size for path in each.weights for tensor in load_file(path).values())
    return f"{n / 1e6:.1f} M"


def effort(record: dict[str, Any]) -> str:
    """Windows seen in all, minutes of training, and minutes that teachers took for them, whoever asked them."""
    if "stages" not in record:
        return "| | "
    windows = sum(stage["windows"] for stage in record["stages"])
    training, teachers = minutes(record)
    return f"{windows:,} | {training:.1f} | {teachers:.1f}"


if __name__ == "__main__":
    main()
