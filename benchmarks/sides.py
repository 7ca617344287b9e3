"""The two sides of distil_throughput.py, each in a process of its own: what their phases took, step by
step.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import CpuWatch

HERE = Path(__file__).parent
PEER_PINS = HERE / "haystack1.txt"
PEER = "farm-haystack 1.26.4"
OURS = "tinyreader"

Step = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Timing:
    """What one side took for the timed steps of one phase, and what share of the CPU others had meanwhile."""

    side: str
    phase: str
    steps: tuple[Step, ...]
    precision: str
    foreign_share: float

    @property
    def features(self) -> int:
        """Features in the timed steps."""
        return sum(features for features, _ in self.steps)

    @property
    def seconds(self) -> float:
        """Seconds of the timed steps."""
        return sum(seconds for _, seconds in self.steps)

    @property
    def features_per_second(self) -> float:
        """Throughput over the timed steps."""
        return self.features / self.seconds

    def as_json(self) -> dict[str, Any]:
        """The timing as plain data."""
        return {
            "side": self.side,
            "phase": self.phase,
            "features": self.features,
            "seconds": round(self.seconds, 3),
            "features_per_second": round(self.features_per_second, 3),
            "seconds_per_step": [round(seconds, 3) for _, seconds in self.steps],
            "precision": self.precision,
            "foreign_cpu_share": round(self.foreign_share, 3),
        }


@dataclass(frozen=True, slots=True)
class Job:
    """What a side is asked to do."""

    data: Path
    n_windows: int
    teacher: Path
    student: Path
    batch_size: int
    max_seq_len: int
    threads: int
    scratch: Path


def environment(threads: int) -> dict[str, str]:
    """The environment of a side's process: so many threads, no hub, no telemetry."""
    fixed = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**os.environ, **fixed, "HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"}


def build_peer(env_dir: Path) -> Path:
    """The Python of the peer's own environment, built under env_dir the first time (a minute or two)."""
    return build_environment(env_dir, "haystack1", PEER_PINS, PEER)


def build_environment(env_dir: Path, name: str, pinned: Path, what: str) -> Path:
    """The Python of an environment with the packages of a requirements file, built under env_dir the first
    time.
    """
    pins = pinned.read_bytes()
    home = env_dir / f"{name}-{hashlib.sha256(pins + sys.version.encode()).hexdigest()[:10]}"
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        sys.stderr.write(f"Building the environment of {what} in {home} (once)\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = [
            str(python),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            "-r",
            str(pinned),
        ]
        subprocess.run(install, check=True, stdout=sys.stderr)
        ready.touch()
    return python


def run_peer(python: Path, stage: str, job: Job) -> list[Timing]:
    """Haystack's timings of a stage: `intermediate`, or `prediction`, which has a `teacher` pass before it.

    The first step of each phase is warm-up and left out. Its batches are padded to `max_seq_len`, so the step
    time does not depend on which windows are in them.
    """
    command = [str(python), str(HERE / "haystack_side.py"), stage]
    command += ["--teacher", str(job.teacher), "--student", str(job.student), "--data", str(job.data)]
    command += ["--batch-size", str(job.batch_size), "--max-seq-len", str(job.max_seq_len)]
    with CpuWatch() as watch:
        report = json.loads(run(command, job.scratch, job.threads).splitlines()[-1])
    for phase, steps in report["phases"].items():
        same_windows(PEER, phase, sum(n for n, _ in steps), job)
    return [
        Timing(PEER, phase, tuple((int(n), float(s)) for n, s in steps[1:]), "fp32", watch.foreign_share)
        for phase, steps in report["phases"].items()
    ]


def run_ours(stage: str, job: Job) -> list[Timing]:
    """Tinyreader's timings of a stage, from the log that `tinyreader distil` writes.

    Every step of the epoch counts, the first one too: batches differ in length, so leaving one out would bend
    the mean.
    """
    recipe, out = job.scratch / f"{stage}.toml", job.scratch / f"ours-{stage}"
    recipe.write_text(recipe_text(stage, job), "utf-8")
    command = [str(Path(sys.executable).with_name("tinyreader")), "distil", str(recipe), "--out", str(out)]
    with CpuWatch() as watch:
        run(command, job.scratch, job.threads)
    events = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    precision = json.loads((out / "student" / "run.json").read_text("utf-8"))["identity"]["precision"]
    same_windows(
        OURS, stage, sum(event["outcome"]["windows"] for event in events if event["event"] == "stage"), job
    )
    ends = [event["seconds"] for event in events if event["event"] == "step"]
    steps = tuple((job.batch_size, end - begin) for begin, end in zip([0.0, *ends], ends, strict=False))
    timings = [Timing(OURS, stage, steps, precision, watch.foreign_share)]
    if pass_ := tuple(
        (event["windows"], event["seconds"]) for event in events if event["event"] == "teacher"
    ):
        timings.insert(0, Timing(OURS, "teacher", pass_, precision, watch.foreign_share))
    return timings


def same_windows(side: str, phase: str, n_features: int, job: Job) -> None:
    """Stop unless the side trained on the windows it was given, one feature each."""
    if n_features != job.n_windows:
        raise SystemExit(
            f"{side} made {n_features} features of {job.n_windows} windows in phase {phase}: no comparison"
        )


def recipe_text(stage: str, job: Job) -> str:
    """The recipe of one epoch of the stage over the job's data, in TOML, as the published recipe has it."""
    of_stage: dict[str, dict[str, Any]] = {
        "intermediate": {"learning_rate": 5e-5, "attention": "probabilities"},
        "prediction": {"learning_rate": 3e-5, "embeds_dropout": 0.1},
    }
    sections: dict[str, dict[str, Any]] = {
        "[teacher]": {"model": str(job.teacher)},
        "[student]": {"init": "checkpoint", "model": str(job.student)},
        "[data]": {"train": str(job.data), "max_seq_len": job.max_seq_len},
        "[training]": {"log_every_steps": 1, "trackers": [], "threads": job.threads},
        "[[stages]]": {"name": stage, "kind": stage, "batch_size": job.batch_size, **of_stage[stage]},
    }
    lines = []
    for heading, values in sections.items():
        lines += [heading, *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def run(command: Sequence[str], scratch: Path, threads: int) -> str:
    """What the command printed; its progress goes to a file in scratch, whose end is shown if it fails."""
    log = scratch / "stderr.txt"
    with log.open("w") as stderr:
        result = subprocess.run(
            command, env=environment(threads), cwd=scratch, stdout=subprocess.PIPE, stderr=stderr
        )
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {result.returncode}:\n{log.read_text()[-3000:]}")
    return result.stdout.decode()
