"""The table of readers: scores with bootstrap intervals, parameters, size, speed, and what is kept of the
first one's scores.

    python benchmarks/reader_table.py --dev squad2-dev-a.json --work runs/starter \\
        teacher=DIR six-labels six-prediction starter int8=starter@int8

A word is a row that experiments.py has finished in WORK, a reader (directory or Hub id), or NAME=READER;
@int8, @bf16 or @fp32 behind it sets the precision of its arithmetic. The first is the one that others are
compared with, in general their teacher. Rows are scored by the predictions that their runs left; other
readers, and rows with a precision, read the data once, and what they said is kept in WORK/read. F1 is at the
best threshold for each reader on this data, which nobody knows beforehand; "answerable" is that of answerable
questions with no-answer off. Time is that of the same questions in bulk, as a user reads them, in rounds that
take turns, as a share of the first reader's: the median of the rounds. The teacher's minutes are those of the
passes that made what a row reads of it; what an intermediate stage asks it is among the minutes of training.
Below the table stand differences to the second reader.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from command import require_files
from real_students import interval
from scored import Scored, differences, minutes, read_json, scored
from tinyreader import Reader
from tinyreader.data import Example, fingerprint, load_examples
from tinyreader.errors import TinyreaderError
from tinyreader.model_files import STARTER, model_directory
from tinyreader.report.machine import parameters
from tinyreader.report.reading import read_examples
from tinyreader.storage import atomic_path

WARM_UP = 64
WORD = re.compile(r"(?:(?P<name>[^=/]+)=)?(?P<model>.+?)(?:@(?P<precision>int8|bf16|fp32))?")


@dataclass(frozen=True)
class Subject:
    """A reader of the table: the name it has there, its directory, its arithmetic, and the row that made it,
    if one did.
    """

    name: str
    directory: Path
    precision: str
    row: Path | None

    @property
    def record(self) -> dict[str, Any]:
        """The record of the run that made it; empty where there is none."""
        path = self.directory / "run.json"
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}

    @property
    def parameters(self) -> str:
        """Millions of parameters; empty where its weights are in other files than safetensors."""
        n = parameters(self.directory)
        return f"{n / 1e6:.1f} M" if n else ""

    @property
    def size(self) -> str:
        """Megabytes of its weights; empty where they are in other files than safetensors."""
        n = sum(path.stat().st_size for path in self.directory.glob("*.safetensors"))
        return f"{n / 1e6:.1f}" if n else ""

    def open(self) -> Reader:
        """The reader, ready to read."""
        return Reader.from_pretrained(self.directory, precision=self.precision)  # type: ignore[arg-type]


def main() -> None:
    options = arguments()
    dev, subjects = load_examples(options.dev), options.subjects
    facts = {each.name: (each.parameters, each.size) for each in subjects}
    kept = {each.name: read_or_found(each, dev, options.work / "read") for each in subjects}
    shares = time_shares(subjects, dev, options.questions, options.rounds) if options.rounds else {}
    students = {each.name: kept[each.name] for each in subjects[1:]}
    baseline = subjects[min(1, len(subjects) - 1)].name
    print("\n".join([*table(subjects, facts, kept, shares), "", *differences(students, baseline)]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="+", metavar="ROW|[NAME=]READER[@PRECISION]")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/starter"))
    parser.add_argument("--questions", type=int, default=400, help="so many questions of the data are timed")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of timing; 0 for none")
    options = parser.parse_args()
    require_files(parser, options.dev)
    if options.questions < 1 or options.rounds < 0:
        parser.error("--questions is 1 or more, --rounds 0 or more")
    try:
        options.subjects = [subject(word, options.work) for word in options.readers]
    except TinyreaderError as error:
        parser.error(f"{error} (rows that are finished lie in --work, which is {options.work})")
    names = [each.name for each in options.subjects]
    if len(set(names)) < len(names):
        parser.error(f"two readers have one name: {', '.join(names)}; give each its own, as NAME=READER")
    return options


def subject(word: str, work: Path) -> Subject:
    """The reader that a word of the command line names; raises `ModelError` where there is none."""
    if Path(word).is_dir():
        return Subject(word, Path(word), "auto", None)
    parts = WORD.fullmatch(word)
    name, model, precision = parts.group("name", "model", "precision") if parts else (None, word, None)
    row = work / model if model != STARTER and (work / model / "student" / "run.json").exists() else None
    return Subject(name or word, row / "student" if row else model_directory(model), precision or "auto", row)


def read_or_found(each: Subject, dev: list[Example], folder: Path) -> Scored:
    """What the reader scores: by predictions of its run for this data, or of an earlier call in `folder`;
    else by reading.
    """
    if each.row is not None and each.precision == "auto":
        answers, odds = read_json(each.row / "predictions.json", each.row / "null_odds.json")
        if answers.keys() == {example.id for example in dev}:
            return scored(dev, answers, odds)
    reader = each.open()
    path = folder / f"{key_of(each, reader.precision, dev)}.json"
    if not path.exists():
        found = read_examples(reader, dev)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps({read.id: [read.text, read.null_odds] for read in found}), "utf-8")
    said = read_json(path)[0]
    return scored(
        dev,
        {name: text for name, (text, _) in said.items()},
        {name: odds for name, (_, odds) in said.items()},
    )


def key_of(each: Subject, precision: str, dev: list[Example]) -> str:
    """What fixes a reader's answers: its files, the precision that was picked here, the data."""
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(each.directory.iterdir())
    ]
    parts = [str(each.directory.resolve()), files, precision, fingerprint(dev)]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def time_shares(
    subjects: list[Subject], dev: list[Example], n: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Questions a second, and the time for a question as a share of the first reader's: medians of the
    rounds.
    """
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
        name: (
            n / median(seconds),
            median(mine / theirs for mine, theirs in zip(seconds, first, strict=True)),
        )
        for name, seconds in taken.items()
    }


def table(
    subjects: list[Subject],
    facts: dict[str, tuple[str, str]],
    kept: dict[str, Scored],
    shares: dict[str, tuple[float, float]],
) -> list[str]:
    """The lines of a Markdown table; `facts` are parameters and size."""
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
        timed = "| " if speed is None else f"{speed[0]:.0f} | {speed[1]:.3f}"
        lines.append(
            f"| {each.name} | {' | '.join(facts[each.name])} | {timed} "
            f"| {100 * mine.at_best(mine.exact).mean():.1f} | {100 * f1.mean():.1f} {interval(f1)} | "
            f"{f1.mean() / whole:.1%} "
            f"| {100 * answerable.mean():.1f} {interval(answerable)} | {answerable.mean() / found:.1%} | "
            f"{effort(record)} |"
        )
    return lines


def effort(record: dict[str, Any]) -> str:
    """Windows seen in all, minutes of training, and minutes of the teachers' passes over the data, whoever
    asked for them.
    """
    if "stages" not in record:
        return "| | "
    windows = sum(stage["windows"] for stage in record["stages"])
    training, teachers = minutes(record)
    return f"{windows:,} | {training:.1f} | {teachers:.1f}"


if __name__ == "__main__":
    main()
