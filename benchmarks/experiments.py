"""The tries behind the starter reader, each a resumable `tinyreader` command, and their table with bootstrap
intervals.

    python benchmarks/experiments.py labels prediction --teacher DIR --encoder DIR --train squad2-train.json
    \\
        --dev squad2-dev-a.json --work runs/starter --rate 1e-4

Articles of the training set are kept aside first: choices are made by them (F1 at the best threshold, half of
the questions unanswerable), and the development data is only reported. All rows have the same first weights
and, by `windows`, the same number of optimiser steps summed over their stages; what they differ in is in
recipes/starter-rows.toml. The teacher's outputs are computed once for each part of the data and shared by the
rows. Run the script again after a stop: it goes on. Each command is noted in WORK/commands: with other
options the script stops rather than take that for their result.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import require_files, tinyreader
from real_students import interval
from scored import Scored, differences, minutes, read_json, scored
from tinyreader.data import Example, load_examples

HERE = Path(__file__).parent
BATCH = 32
HELD_OUT, SEED = 9000, 11
JUDGE = "judge.json"
"""The questions that choose between rows, in the directory of the work."""

PARTS = {
    "plain": [],
    "mixed": ["--unanswerable", "0.333"],
    "elsewhere": ["--elsewhere", "16000", "--unanswerable", "0.4"],
    "all": ["--elsewhere", "24000"],
    "small": ["--unanswerable", "0.333", "--questions", "30000"],
}
"""How each part of the training data is drawn, as options of `tinyreader data sample`."""

STAGES = ("labels", "intermediate", "prediction")


@dataclass(frozen=True)
class Row:
    """A try: windows seen in all and at a step, the part of the data, the share of the steps by stage, other
    settings.

    The student is the encoder, or with a `shape` made of the teacher's layers; `copies` rewrites the data for
    the first stage.
    """

    name: str
    windows: int
    data: str
    stages: dict[str, float]
    set: list[str]
    batch: int = BATCH
    shape: str | None = None
    copies: int = 0


def main() -> None:
    options = arguments()
    rows = [read_row(name) for name in options.rows]
    if any(row.copies for row in rows) and not (options.masked_lm or options.vectors):
        raise SystemExit("a row rewrites its data: name who proposes words, by --masked-lm or --vectors")
    held_out = prepare(options)
    records = {row.name: run_row(row, options) for row in rows}
    print(table(rows, records, options, held_out))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows", nargs="+", help="rows of recipes/starter-rows.toml; differences are to the first"
    )
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--masked-lm", help="for rows with rewritten data: who proposes words")
    parser.add_argument("--vectors", help="and word vectors, for words that it does not know as one piece")
    parser.add_argument("--train", default="rajpurkar/squad_v2")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/starter"))
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate of rows that set none")
    options = parser.parse_args()
    require_files(parser, options.dev)
    return options


def read_row(name: str) -> Row:
    """The row of that name."""
    known = tomllib.loads((HERE / "recipes" / "starter-rows.toml").read_text("utf-8"))
    if name not in known:
        raise SystemExit(f"there is no row {name!r}; there are: {', '.join(known)}")
    return Row(name, **known[name])


def prepare(options: argparse.Namespace) -> list[Example]:
    """Split the training data once and draw its parts; gives the questions to choose by."""
    split, work = options.work / "split", options.work
    held_out = split / "held-out.json"
    once(
        work,
        held_out,
        "data",
        "split",
        options.train,
        "-o",
        str(split),
        "--held-out",
        str(HELD_OUT),
        "--seed",
        str(SEED),
    )
    for name, how in PARTS.items():
        part = work / f"{name}.json"
        once(work, part, "data", "sample", str(split / "train.json"), "-o", str(part), *how, "--seed", "1")
    judge = work / JUDGE
    once(
        work, judge, "data", "sample", str(held_out), "-o", str(judge), "--unanswerable", "0.5", "--seed", "1"
    )
    return load_examples(judge)


def run_row(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """The record of the row's run, which is made, gone on with, or found done."""
    out = options.work / row.name
    settings = [f"data.train={options.work / row.data}.json", f"data.dev={options.dev}"]
    if row.shape is None:
        settings.append(f"student.model={options.encoder}")
    else:
        settings += ["student.init=teacher", f"student.shape={row.shape}"]
    if row.copies:
        given = {"times": row.copies, "masked_lm": options.masked_lm, "vectors": options.vectors}
        first = next(stage for stage in STAGES if row.stages.get(stage))
        settings += [
            f"stages.{first}.augment.{name}={value}" for name, value in given.items() if value is not None
        ]
    steps = -(-row.windows // row.batch)
    for stage in STAGES:
        share = row.stages.get(stage, 0.0)
        settings.append(
            f"stages.{stage}=" if not share else f"stages.{stage}.max_steps={round(steps * share)}"
        )
        if share and row.batch != BATCH:
            settings.append(f"stages.{stage}.batch_size={row.batch}")
        if share and stage != "intermediate" and not any(f"{stage}.learning_rate" in one for one in row.set):
            settings.append(f"stages.{stage}.learning_rate={options.rate:g}")
    if row.shape is not None or set(row.stages) - {"labels"}:
        settings += [
            f"teacher.model={options.teacher}",
            f"training.teacher_outputs={options.work / 'teacher-outputs'}",
        ]
    else:
        settings.append("training.teacher_engine=torch")
    record, judged = out / "student" / "run.json", judged_file(options.work, row.name)
    odds = odds_file(judged)  # written after the answers, so it says that both are whole
    command = ["distil", str(HERE / "recipes" / "starter.toml"), "-o", str(out)]
    if not record.exists():
        odds.unlink(missing_ok=True)  # of an earlier student in that place
    once(options.work, record, *command, *(part for one in [*settings, *row.set] for part in ("--set", one)))
    once(
        options.work,
        odds,
        "predict",
        str(out / "student"),
        str(options.work / JUDGE),
        "-o",
        str(judged),
        "--null-odds",
        str(odds),
        "--null-threshold",
        "off",
        "--engine",
        "torch",
    )
    return dict(json.loads(record.read_text("utf-8")))


def judged_file(work: Path, row: str) -> Path:
    """Where the row's answers to the questions are that choose between rows."""
    return work / f"{row}.judged.json"


def held_out_f1(work: Path, row: str, questions: list[Example]) -> float:
    """The row's F1 on those questions at the best threshold there, in percent."""
    judged = judged_file(work, row)
    chosen = scored(questions, *read_json(judged, odds_file(judged)))
    return 100 * float(chosen.at_best(chosen.f1).mean())


def odds_file(predictions: Path) -> Path:
    """Where the null odds of those predictions are."""
    return predictions.with_suffix(".odds.json")


def once(work: Path, made: Path, *arguments: str) -> None:
    """Run the command that makes the file, which it writes last, unless it has; stops where another command
    has made it.
    """
    note = work / "commands" / "-".join(made.relative_to(work).parts)
    command = shlex.join(arguments)
    if not made.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(command, "utf-8")
        tinyreader(*arguments)
    elif note.exists() and (earlier := note.read_text("utf-8")) != command:
        raise SystemExit(
            f"{made} was made by another command than would make it now:\n  {earlier}\n  {command}\n"
            f"Give another --work, remove {made} to have it made again, or {note} to take it as it is."
        )


def table(
    rows: list[Row], records: dict[str, dict[str, Any]], options: argparse.Namespace, held_out: list[Example]
) -> str:
    """A Markdown table: held-out F1, and on the development data EM, F1 and that of answerable questions;
    differences.

    The teacher's minutes are those of the pass that made what the run reads of it, whichever run made it.
    """
    dev = load_examples(options.dev)
    lines = [
        "| row | held-out F1 | dev EM | dev F1 (95 %) | answerable F1, no-answer off (95 %) | windows | "
        "minutes | teacher's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    kept: dict[str, Scored] = {}
    for row in rows:
        record, folder = records[row.name], options.work / row.name
        kept[row.name] = mine = scored(
            dev, *read_json(folder / "predictions.json", folder / "null_odds.json")
        )
        f1, answerable = mine.two_ways().values()
        training, teachers = minutes(record)
        lines.append(
            f"| {row.name} | {held_out_f1(options.work, row.name, held_out):.1f} | "
            f"{100 * mine.at_best(mine.exact).mean():.1f} "
            f"| {100 * f1.mean():.1f} {interval(f1)} | {100 * answerable.mean():.1f} {interval(answerable)} "
            f"| {row.windows} "
            f"| {training:.1f} | {teachers:.1f} |"
        )
    return "\n".join(["", *lines, *differences(kept, rows[0].name)])


if __name__ == "__main__":
    main()
