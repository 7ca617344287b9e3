"""Distillation on real data: a teacher, and students of half its layers at equal budget, with bootstrap
intervals.

    python benchmarks/real_students.py --encoder DIR --train squad2-train.json --dev squad2-dev-a.json --work
    runs/real

A pretrained 6-layer encoder is fine-tuned on a fixed part of the training data; students of 3 of its layers
then learn from labels alone, from stage 2 alone, and from stages 1 and 2. Equal budget: the same first
weights, the same windows, the same number of optimiser steps summed over the stages. The labels-only student
gets the best of three learning rates, chosen on runs of a quarter of the length, and the others take the rate
it found: the comparison leans towards labels.

Every row is a `tinyreader` command, printed before it runs and resumable: run this script again after a stop.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.data import Example, load_examples
from tinyreader.metrics import bootstrap_interval, paired_bootstrap, question_scores

RATES = (2e-4, 4e-4, 8e-4)
FOLDERS = ("teacher", "labels", "stage2", "stages12")


def main() -> None:
    options = arguments()
    work, dev = options.work, load_examples(options.dev)
    steps = -(-options.student_windows * options.student_epochs // 32)
    first = round(steps * options.stage1_share)
    saving = ["--set", "training.checkpoint_every_minutes=5"]
    data = ["--set", f"data.train={options.train}", "--set", f"data.dev={options.dev}"]

    teacher = run(
        work / "teacher",
        [
            "finetune",
            options.encoder,
            options.train,
            "--dev",
            options.dev,
            "--epochs",
            str(options.teacher_epochs),
            "--batch-size",
            "32",
            "--learning-rate",
            "1e-4",
            "--max-windows",
            str(options.windows),
            "--set",
            "stages.labels.dropout=0",
            *saving,
        ],
    )
    recipe = str(Path(__file__).parent / "recipes" / "students-3l.toml")
    taught = [
        *data,
        "--set",
        f"teacher.model={work / 'teacher' / 'student'}",
        "--set",
        f"data.max_windows={options.student_windows}",
        *saving,
    ]

    tries = {
        rate: run(
            work / f"labels-short-{rate:g}",
            [
                "distil",
                recipe,
                *taught,
                *only("labels", steps // 4, rate),
                "--set",
                "evaluation.max_questions=2000",
            ],
        )
        for rate in RATES
    }
    rate = max(RATES, key=lambda r: tries[r]["scores"]["best_f1"])
    rows = {
        "teacher, 6 layers": teacher,
        "student, labels alone": run(
            work / "labels", ["distil", recipe, *taught, *only("labels", steps, rate)]
        ),
        "student, stage 2 alone": run(
            work / "stage2", ["distil", recipe, *taught, *only("prediction", steps, rate)]
        ),
        "student, stages 1 + 2": run(
            work / "stages12",
            [
                "distil",
                recipe,
                *taught,
                "--set",
                "stages.labels=",
                "--set",
                f"stages.intermediate.max_steps={first}",
                "--set",
                f"stages.prediction.max_steps={steps - first}",
                "--set",
                f"stages.prediction.learning_rate={rate}",
            ],
        ),
    }
    print(
        f"\nlearning rate of the students: {rate:g} (short runs, F1: "
        + ", ".join(f"{r:g} {t['scores']['best_f1']:.1f}" for r, t in tries.items())
        + ")\n"
    )
    print(table(rows, dev, work))
    print(separation(rows, dev, work))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder", required=True, help="pretrained encoder of 6 layers: directory or Hub id"
    )
    parser.add_argument("--train", default="rajpurkar/squad_v2")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/real"))
    parser.add_argument("--windows", type=int, default=30_000, help="windows the teacher learns from")
    parser.add_argument(
        "--teacher-epochs", type=int, default=3, help="passes of the teacher over its windows"
    )
    parser.add_argument(
        "--student-windows", type=int, default=30_000, help="of these, windows the students learn from"
    )
    parser.add_argument(
        "--student-epochs", type=int, default=1, help="passes of the students over theirs, all stages summed"
    )
    parser.add_argument(
        "--stage1-share", type=float, default=0.5, help="share of the steps for stage 1, where there is one"
    )
    return parser.parse_args()


def only(stage: str, steps: int, rate: float) -> list[str]:
    """Options that leave one stage of the recipe, of so many steps at that rate."""
    others = [name for name in ("labels", "intermediate", "prediction") if name != stage]
    settings = [f"stages.{other}=" for other in others]
    settings += [f"stages.{stage}.max_steps={steps}", f"stages.{stage}.learning_rate={rate}"]
    return [part for setting in settings for part in ("--set", setting)]


def run(out: Path, command: list[str]) -> dict[str, Any]:
    """The record of the run in `out`, which the command makes, goes on with, or finds done."""
    record = out / "student" / "run.json"
    if not record.exists():
        full = ["tinyreader", *command, "--out", str(out)]
        print(shlex.join(full), flush=True)
        subprocess.run([sys.executable, "-m", "tinyreader", *full[1:]], check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(record.read_text()))


def table(rows: dict[str, dict[str, Any]], dev: list[Example], work: Path) -> str:
    """A Markdown table: F1 at the best threshold, and of answerable questions with no-answer off, with
    intervals.
    """
    folders = dict(zip(rows, FOLDERS, strict=True))
    lines = [
        "| reader | EM | F1 (95 %) | answerable F1, no-answer off (95 %) | steps | minutes, teacher pass "
        "included |",
        "|---|---|---|---|---|---|",
    ]
    kept = {}
    for name, record in rows.items():
        scores = record["scores"]
        f1, answered = per_question(dev, work / folders[name], scores["best_f1_thresh"])
        kept[name] = (f1, answered)
        minutes = (sum(s["seconds"] for s in record["stages"]) + record["teacher_pass_seconds"]) / 60
        lines.append(
            f"| {name} | {scores['best_exact']:.1f} | {scores['best_f1']:.1f} {interval(f1)} "
            f"| {scores['answered_f1']:.1f} {interval(answered)} | "
            f"{sum(s['steps'] for s in record['stages'])} "
            f"| {minutes:.1f} |"
        )
    lines.append("")
    baseline = "student, labels alone"
    for name in list(rows)[2:]:
        for what, which in (("F1", 0), ("answerable F1", 1)):
            gain = paired_bootstrap(kept[name][which], kept[baseline][which])
            span = f"[{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"
            lines.append(f"{name} - labels alone, {what}: {100 * gain.mean:+.2f} {span}")
    return "\n".join(lines)


def separation(rows: dict[str, dict[str, Any]], dev: list[Example], work: Path) -> str:
    """How well each reader's null odds tell unanswerable from answerable questions: the area under the ROC
    curve.
    """
    lines = ["", "null odds of an unanswerable question above those of an answerable one (1/2: by chance):"]
    for name, folder in zip(rows, FOLDERS, strict=True):
        odds = json.loads((work / folder / "null_odds.json").read_text())
        values = np.array([odds[e.id] for e in dev])
        impossible = np.array([e.is_impossible for e in dev])
        ranks = np.empty(len(values))
        ranks[np.argsort(values)] = np.arange(1, len(values) + 1)
        n = impossible.sum()
        area = (ranks[impossible].sum() - n * (n + 1) / 2) / (n * (len(values) - n))
        lines.append(f"{name}: {area:.3f}")
    return "\n".join(lines)


def per_question(dev: list[Example], folder: Path, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """F1 per question at the null threshold, and per answerable question with no-answer off; 0 to 1."""
    answers, odds = (json.loads((folder / n).read_text()) for n in ("predictions.json", "null_odds.json"))
    f1 = [question_scores(e, "" if odds[e.id] > threshold else answers[e.id])[1] for e in dev]
    answered = [question_scores(e, answers[e.id])[1] for e in dev if not e.is_impossible]
    return np.array(f1), np.array(answered)


def interval(values: np.ndarray) -> str:
    low, high = bootstrap_interval(values)
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
