"""Distillation throughput of Tinyreader and of Haystack 1, side by side in one run, in features (windows) per
second.

    python benchmarks/distil_throughput.py     # 12 layers teach 6 of the same width; some ten minutes on two
    cores python benchmarks/distil_throughput.py --shape-teacher 4l-64d --shape-student 2l-64d --steps 1
    --our-steps 2

Both sides train on the same windows, cut beforehand, from SQuAD's own mix of lengths, with random weights,
batch 26, max_seq_len 384 and the published recipe's settings. Haystack pads to 384, so few steps tell its
speed; Tinyreader makes batches of like lengths and is timed over all of its sample. Haystack's environment is
built on first use.

The last line is the result as JSON. Exit code 1: at the default shapes, less than what is asked for was
reached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from arithmetic import by_phase
from machine import ceiling, cpu_name, has_amx
from sides import OURS, PEER, Job, Timing, build_peer, run_ours, run_peer
from workload import Shape, make_tokenizer, sample_windows, write_model, write_squad

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data" / "squad2-train.json"
QUIET = 0.05  # of the CPU; two-thread runs beside other work slow down many times over
NEEDED = {True: (10.0, 5.0), False: (4.0, 3.0)}  # stages 1 and 2, by whether the processor has AMX


@dataclass(frozen=True, slots=True)
class Report:
    """All timings of a run, with what is needed to judge them."""

    timings: tuple[Timing, ...]
    operations: dict[str, float]
    ceilings: tuple[dict[str, float], ...]
    lengths: tuple[int, ...]
    epochs: int

    def rate(self, side: str, phase: str) -> float:
        """Features per second of a side in a phase."""
        return next(t.features_per_second for t in self.timings if (t.side, t.phase) == (side, phase))

    def stage_seconds(self, side: str, stage: int) -> float:
        """Seconds per feature: of one step in stage 1; of the teacher's pass and all epochs in stage 2."""
        if stage == 1:
            return 1 / self.rate(side, "intermediate")
        return 1 / self.rate(side, "teacher") + self.epochs / self.rate(side, "prediction")

    def speedup(self, stage: int) -> float:
        """How many times faster Tinyreader is in the stage."""
        return self.stage_seconds(PEER, stage) / self.stage_seconds(OURS, stage)

    def ceiling(self, precision: str) -> float:
        """The highest rate of matrix products measured in this run, in 1e12 operations per second."""
        return max(measured[precision] for measured in self.ceilings)

    def share(self, timing: Timing) -> float:
        """Arithmetic that was needed per second, as a share of the ceiling at that precision."""
        return (
            self.operations[timing.phase] * timing.features_per_second / 1e12 / self.ceiling(timing.precision)
        )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="SQuAD file to sample from")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with a vocab.txt; default: learned from the data"
    )
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    parser.add_argument("--shape-teacher", type=Shape.parse, default=Shape(12, 768), help="such as 12l-768d")
    parser.add_argument("--shape-student", type=Shape.parse, default=Shape(6, 768))
    parser.add_argument("--batch-size", type=int, default=26)
    parser.add_argument("--max-seq-len", type=int, default=384)
    parser.add_argument("--epochs", type=int, default=5, help="epochs of stage 2 after its one teacher pass")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of Haystack, after one to warm up")
    parser.add_argument("--our-steps", type=int, default=20, help="timed steps of Tinyreader")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--side", choices=["both", "peer", "ours"], default="both", help="one side: its times only"
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def measure(args: argparse.Namespace, scratch: Path) -> Report:
    """The timings of the sides asked for, stage by stage, the ceiling measured around them."""
    python = build_peer(args.env_dir) if args.side != "ours" else None
    say("vocabulary, windows, models")
    peer_job, our_job, lengths = prepare(args, scratch)
    ceilings = [ceiling(args.threads)]
    timings: list[Timing] = []
    for stage in ("intermediate", "prediction"):
        if python is not None:
            say(f"{PEER}, {stage}")
            timings += run_peer(python, stage, peer_job)
        if args.side != "peer":
            say(f"{OURS}, {stage}")
            timings += run_ours(stage, our_job)
        ceilings.append(ceiling(args.threads))
    operations = by_phase(args.shape_student, args.shape_teacher, lengths)
    return Report(tuple(timings), operations, tuple(ceilings), lengths, args.epochs)


def prepare(args: argparse.Namespace, scratch: Path) -> tuple[Job, Job, tuple[int, ...]]:
    """The jobs of the peer and of Tinyreader, and the lengths of all windows; the peer gets the first of
    them.
    """
    tokenizer = make_tokenizer(scratch, args.data, args.tokenizer)
    n_peer, n_ours = (args.steps + 1) * args.batch_size, args.our_steps * args.batch_size
    windows = sample_windows(
        args.data, tokenizer, n=max(n_peer, n_ours), max_seq_len=args.max_seq_len, seed=args.seed
    )
    write_squad(scratch / "peer.json", windows[:n_peer])
    write_squad(scratch / "ours.json", windows[:n_ours])
    for name, shape in (("teacher", args.shape_teacher), ("student", args.shape_student)):
        write_model(scratch / name, shape, scratch / "vocab.txt", seed=args.seed)
    peer_job = Job(
        data=scratch / "peer.json",
        n_windows=n_peer,
        teacher=scratch / "teacher",
        student=scratch / "student",
        batch_size=args.batch_size,
        max_seq_len=args.max_seq_len,
        threads=args.threads,
        scratch=scratch,
    )
    our_job = replace(peer_job, data=scratch / "ours.json", n_windows=n_ours)
    return peer_job, our_job, tuple(window.n_tokens for window in windows[:n_ours])


def verdicts(report: Report) -> list[dict[str, Any]]:
    """Per stage: the speed-up, and what is asked for on a machine like this one."""
    return [
        {"stage": stage, "speedup": round(report.speedup(stage), 2), "needed": needed}
        for stage, needed in enumerate(NEEDED[has_amx()], start=1)
    ]


def show(report: Report, args: argparse.Namespace) -> None:
    """Print the report for people."""
    amx = "with AMX" if has_amx() else "without AMX"
    print(f"{cpu_name()}, {amx}, {args.threads} threads")
    for precision in ("fp32", "bf16"):
        measured = ", ".join(f"{c[precision]:.2f}" for c in report.ceilings)
        print(f"matrix-product ceiling, {precision}: {measured} TFLOP/s (before, between, after)")
    print(
        f"{len(report.lengths)} windows of {mean(report.lengths):.0f} tokens, batches of {args.batch_size}\n"
    )
    print(f"{'phase':<14}{'side':<23}{'features':>9}{'seconds':>9}{'per s':>8}  of the ceiling   foreign CPU")
    for timing in report.timings:
        print(
            f"{timing.phase:<14}{timing.side:<23}{timing.features:>9}{timing.seconds:>9.1f}"
            f"{timing.features_per_second:>8.2f}  {report.share(timing):>6.0%} of {timing.precision}"
            f"{timing.foreign_share:>14.0%}"
        )
    if args.side != "both":
        return
    print("\nSeconds per feature, from the rates above:")
    print("stage 1: 1 / intermediate")
    print(
        f"stage 2, {report.epochs} epochs and their one teacher pass: 1 / teacher + {report.epochs} / "
        "prediction"
    )
    for verdict in verdicts(report):
        theirs, ours = (report.stage_seconds(side, verdict["stage"]) for side in (PEER, OURS))
        print(
            f"stage {verdict['stage']}: {theirs:.3f} s against {ours:.3f} s: {verdict['speedup']:.1f} times "
            "as fast"
            f" (asked for on such a machine, at the default shapes: {verdict['needed']:g})"
        )
    if (worst := max(timing.foreign_share for timing in report.timings)) > QUIET:
        print(
            f"Others took up to {worst:.0%} of the CPU meanwhile: these are no figures to quote. Run it "
            "again alone."
        )


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    sys.stderr.write(f"{text} ...\n")


def main() -> int:
    """Measure, report, and judge where the shapes are those the demand is for."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="distil-throughput-") as scratch:
        report = measure(args, Path(scratch))
    show(report, args)
    result: dict[str, Any] = {
        "cpu": cpu_name(),
        "amx": has_amx(),
        "threads": args.threads,
        "ceiling_tflops": [{name: round(rate, 3) for name, rate in c.items()} for c in report.ceilings],
        "mean_tokens": round(mean(report.lengths), 1),
        "timings": [{**t.as_json(), "share_of_ceiling": round(report.share(t), 3)} for t in report.timings],
    }
    reached = True
    if args.side == "both":
        result["verdicts"] = verdicts(report)
        reached = all(verdict["speedup"] >= verdict["needed"] for verdict in result["verdicts"])
    print(json.dumps(result))
    asked = (args.shape_teacher, args.shape_student) == (Shape(12, 768), Shape(6, 768))
    return int(asked and not reached)


if __name__ == "__main__":
    sys.exit(main())
