"""Answering questions beside those who did it before: same machine, weights and inputs, one run, all sides in
one table.

    python benchmarks/inference.py                       # some fifteen minutes on two cores
    python benchmarks/inference.py --quick --pairs 20    # does every side work? No figures to quote
    python benchmarks/inference.py --model DIR --sides pipeline,ours,ours-bf16

A 6-layer, 768 wide BERT with random weights, written on first use, or a trained one of yours; questions of a
SQuAD file, each on its paragraph; one question on some fifty pages and on 200 documents. Peers are used as
their documentation shows them and at the best setting found, each in an environment of its own, built on
first use (gigabytes, minutes).

Each round starts a fresh process per side, so sides alternate and drift shows; the rounds share the pairs
among them. The table is Markdown; the last line is the result as JSON. Exit code 1: a side or a goal was
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from inference_report import Report, Row
from inference_sides import SIDES, MissingSideError, Plan, Side, prepare, run_side
from inference_work import make_work, random_reader, shape_of, window_lengths, write_sample
from machine import ceiling, cpu_name, has_amx, has_bf16, int8_ceiling
from workload import Shape

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data" / "squad2-dev-a.json"
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
N_CALIBRATION = 300
SINGLES = {
    False: 32,
    True: 8,
}  # questions asked one at a time, and batch sizes tried on them; by whether it has to be quick


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="SQuAD file; default: the development data, else our sample articles"
    )
    parser.add_argument("--model", type=Path, help="a reader's directory; default: random weights of --shape")
    parser.add_argument("--shape", type=Shape.parse, default=Shape(6, 768), help="such as 6l-768d")
    parser.add_argument("--sides", default=",".join(side.key for side in SIDES), help="of %(default)s")
    parser.add_argument("--pairs", type=int, default=400, help="questions, each with its paragraph")
    parser.add_argument("--pages", type=int, default=46)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument(
        "--full", action="store_true", help="long texts for the tuned fp32 sides too (minutes more)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round, 3 pages, 10 documents, no batch sizes tried"
    )
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.pages, args.documents = 1, min(args.pages, 3), min(args.documents, 10)
    known = {side.key for side in SIDES}
    if unknown := [key for key in args.sides.split(",") if key not in known]:
        parser.error(f"no such side: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if args.rounds < 1 or args.pairs < 5 * args.rounds:
        parser.error("give at least 5 --pairs for each of the --rounds")
    return args


def make_plan(args: argparse.Namespace, scratch: Path) -> Plan:
    """What is measured: data, model, amounts."""
    data = args.data or DEFAULT_DATA
    if args.data is None and not data.exists():
        data = scratch / "sample.json"
        write_sample(data)
    work = make_work(
        data,
        n_pairs=args.pairs,
        n_singles=SINGLES[args.quick],
        n_pages=args.pages,
        n_documents=args.documents,
        seed=args.seed,
    )
    write_calibration(scratch / "calibration.json", data, args.seed + 1)
    model = args.model
    if model is None:
        name = f"random-{args.shape.layers}l-{args.shape.width}d-{args.seed}-{data.stem}"
        model = random_reader(args.env_dir / "models" / name, args.shape, data, seed=args.seed)
    return Plan(
        model=model.resolve(),
        work=work,
        env_dir=args.env_dir,
        scratch=scratch,
        threads=args.threads,
        rounds=args.rounds,
        full=args.full,
        tries=not args.quick,
        is_random=args.model is None,
    )


def write_calibration(path: Path, data: Path, seed: int) -> None:
    """Write questions of the data, drawn apart from those that are timed, for measuring int8 ranges."""
    from random import Random

    from tinyreader.data import load_examples
    from tinyreader.data.write import write_squad

    examples = list(load_examples(str(data)))
    write_squad(Random(seed).sample(examples, min(N_CALIBRATION, len(examples))), path)


def measure(sides: list[Side], plan: Plan) -> tuple[list[Row], list[dict[str, float]]]:
    """A row per side, and the machine's ceilings before, between and after the rounds."""
    rows = {side.key: Row(side) for side in sides}
    ready = {}
    for side in sides:
        say(f"preparing {side.name}")
        try:
            if side.precision == "bf16" and not has_bf16():
                raise MissingSideError("this processor does not compute in bf16")
            ready[side.key] = prepare(side, plan)
        except MissingSideError as error:
            rows[side.key].missing = str(error)
    ceilings = [ceilings_now(plan.threads)]
    for round_ in range(plan.rounds):
        for side in sides if round_ % 2 == 0 else reversed(sides):
            row = rows[side.key]
            if row.missing:
                continue
            say(f"round {round_ + 1} of {plan.rounds}: {side.name}")
            try:
                row.results.append(run_side(side, *ready[side.key], plan, round_, row.batch_size))
            except MissingSideError as error:
                row.missing = str(error)
        ceilings.append(ceilings_now(plan.threads))
    return list(rows.values()), ceilings


def ceilings_now(threads: int) -> dict[str, float]:
    """The matrix-product ceilings (1e12 operations per second) by precision."""
    return {**ceiling(threads), "int8": int8_ceiling(threads)}


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text} ...\n")


def main() -> int:
    """Measure, report, judge."""
    args = parse_arguments()
    keys = args.sides.split(",")
    sides = [side for side in SIDES if side.key in keys]
    with tempfile.TemporaryDirectory(prefix="inference-") as scratch:
        plan = make_plan(args, Path(scratch))
        rows, ceilings = measure(sides, plan)
        lengths = [window_lengths(plan.model, tuple(plan.pairs(round_))) for round_ in range(plan.rounds)]
        report = Report(tuple(rows), tuple(ceilings), shape_of(plan.model), lengths, plan.work, has_amx())
    print(
        f"{cpu_name()}, {'with' if has_amx() else 'without'} AMX, {args.threads} threads; "
        f"{report.workload()}\n"
    )
    print(report.table())
    print()
    for line in report.notes():
        print(line)
    if waiting := [name for name in WAITING if name in os.environ]:
        print(
            f"{', '.join(waiting)} set in the environment: that changes how the peers wait. Unset it for "
            "figures to quote."
        )
    if args.quick:
        print("--quick: this shows that the sides work, not how fast they are.")
    else:
        print("\n" + report.goals_table())
    document: dict[str, Any] = {
        "cpu": cpu_name(),
        "amx": has_amx(),
        "threads": args.threads,
        "quick": args.quick,
        **report.as_json(),
    }
    print(json.dumps(document))
    failed = any(row.missing for row in rows)
    return int(
        failed if args.quick else failed or not all(goal.reached for goal in report.goals() if goal.applies)
    )


if __name__ == "__main__":
    sys.exit(main())
