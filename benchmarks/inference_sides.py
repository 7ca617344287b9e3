"""The sides of inference.py: which library, how it is set, what it needs beforehand; and a process that
measures one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_work import Work
from sides import build_environment
from tinyreader.model_files import model_fingerprint

HERE = Path(__file__).parent
TIMEOUT_S = 900
FIRST = ("latency", "bulk")
ALL = (*FIRST, "book", "documents")
BATCH_SIZES = [4, 8, 16]


class MissingSideError(Exception):
    """A side cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Library:
    """A peer's packages, pinned in a file beside this one and installed into an environment of their own."""

    name: str
    pins: str
    module: str


PIPELINE = Library("Transformers 4.57.6 pipeline", "transformers4", "transformers")
HAYSTACK = Library("transformers-haystack 2.0.0", "haystack", "haystack")
OPTIMUM = Library("optimum-onnx pipeline", "optimum", "optimum")
OURS = Library("Tinyreader", "", "ours")


@dataclass(frozen=True, slots=True)
class Side:
    """A library in one setting. `documented` is what its documentation shows, nothing tuned; `needs` a kind
    of model.
    """

    key: str
    library: Library
    setting: str
    precision: str
    settings: dict[str, Any] = field(default_factory=dict)
    documented: bool = False
    needs: str = ""
    measures: tuple[str, ...] = ALL

    @property
    def name(self) -> str:
        """How the side is called in tables."""
        return f"{self.library.name}, {self.setting}"


BEST: dict[str, Any] = {"by_length": True, "batch_sizes": BATCH_SIZES}
SIDES = (
    Side("pipeline", PIPELINE, "as documented", "fp32", documented=True),
    Side("haystack", HAYSTACK, "as documented", "fp32", documented=True),
    Side(
        "optimum-fp32",
        OPTIMUM,
        "fp32 as documented",
        "fp32",
        {"precision": "fp32"},
        documented=True,
        needs="optimum",
    ),
    Side(
        "optimum-int8",
        OPTIMUM,
        "int8 as documented",
        "int8",
        {"precision": "int8"},
        documented=True,
        needs="optimum",
    ),
    Side("ours", OURS, "as documented", "auto", documented=True),
    Side("pipeline-fp32-best", PIPELINE, "fp32, sorted, batches", "fp32", BEST, measures=FIRST),
    Side("pipeline-bf16-best", PIPELINE, "bf16, sorted, batches", "bf16", {**BEST, "dtype": "bfloat16"}),
    Side(
        "haystack-bf16-best",
        HAYSTACK,
        "bf16, batches",
        "bf16",
        {"dtype": "bfloat16", "batch_sizes": BATCH_SIZES, "tuned_on": "documents"},
    ),
    Side(
        "optimum-fp32-best",
        OPTIMUM,
        "fp32, sorted, batches",
        "fp32",
        {**BEST, "precision": "fp32"},
        needs="optimum",
        measures=FIRST,
    ),
    Side(
        "optimum-int8-best",
        OPTIMUM,
        "int8, sorted, batches",
        "int8",
        {**BEST, "precision": "int8"},
        needs="optimum",
    ),
    Side("ours-fp32", OURS, "fp32", "fp32", {"precision": "fp32"}, measures=FIRST),
    Side("ours-bf16", OURS, "bf16", "bf16", {"precision": "bf16"}),
    Side("ours-int8", OURS, "int8", "int8", {"precision": "int8"}, needs="int8"),
    Side(
        "ours-onnx-fp32",
        OURS,
        "ONNX Runtime fp32",
        "fp32",
        {"engine": "onnx", "precision": "fp32"},
        needs="onnx",
        measures=FIRST,
    ),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and with how much of it."""

    model: Path
    work: Work
    env_dir: Path
    scratch: Path
    threads: int
    rounds: int
    full: bool
    tries: bool
    is_random: bool

    def pairs(self, round_: int) -> list[tuple[str, str]]:
        """The pairs of a round: each round has its own, all rounds together have all."""
        return list(self.work.pairs[round_ :: self.rounds])


def prepare(side: Side, plan: Plan) -> tuple[Path, Path]:
    """The Python and the model directory of a side, made where they are not there yet; raises
    `MissingSideError`.
    """
    if side.library is OURS:
        python = Path(sys.executable)
    else:
        pins = HERE / "peers" / f"{side.library.pins}.txt"
        python = build_environment(plan.env_dir, side.library.pins, pins, side.library.name)
    if not side.needs or (side.needs == "int8" and has_int8(plan.model)):
        return python, plan.model
    make = {"optimum": _export_optimum, "int8": _calibrate, "onnx": _export_onnx}[side.needs]
    home = plan.env_dir / "models" / model_fingerprint(plan.model) / side.needs
    return python, _made(home, lambda out: make(python, out, plan))


def _made(home: Path, make: Callable[[Path], None]) -> Path:
    """The directory, made under another name first so that it is there whole or not at all."""
    if not home.exists():
        partial = home.with_name(f"{home.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            make(partial)
            partial.rename(home)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return home


def _export_optimum(python: Path, out: Path, plan: Plan) -> None:
    call([str(python), str(HERE / "inference_optimum.py"), str(plan.model), str(out)], plan)


def has_int8(model: Path) -> bool:
    """Whether int8 ranges lie beside the model already."""
    path = model / "reader.json"
    return path.is_file() and "int8" in json.loads(path.read_text("utf-8"))


def _calibrate(python: Path, out: Path, plan: Plan) -> None:
    """The model with int8 ranges measured on questions of the same data, stored beside it.

    Random weights answer nothing, so no loss is too large for them, and none of their products is kept out of
    int8.
    """
    shutil.copytree(plan.model, out, dirs_exist_ok=True)
    command = [
        str(python.with_name("tinyreader")),
        "export",
        str(out),
        "-o",
        str(plan.scratch / "int8-files"),
    ]
    command += [
        "--engine",
        "openvino",
        "--precision",
        "int8",
        "--calibrate",
        str(plan.scratch / "calibration.json"),
    ]
    call([*command, *(["--tolerance", "100", "--least-equal", "0"] if plan.is_random else [])], plan)


def _export_onnx(python: Path, out: Path, plan: Plan) -> None:
    command = [str(python.with_name("tinyreader")), "export", str(plan.model), "-o", str(out)]
    call([*command, "--engine", "onnx", "--precision", "fp32"], plan)


def run_side(
    side: Side, python: Path, model: Path, plan: Plan, round_: int, batch_size: int | None
) -> dict[str, Any]:
    """What a fresh process of the side measured in a round; raises `MissingSideError` where it fails.

    The long measures are taken in the first round only. A batch size that an earlier round found is kept.
    """
    measures = [name for name in (ALL if plan.full else side.measures) if round_ == 0 or name in FIRST]
    settings = dict(side.settings)
    if "batch_sizes" in settings and batch_size is not None:
        settings["batch_sizes"] = [batch_size]
    elif "batch_sizes" in settings and not plan.tries:
        settings["batch_sizes"] = settings["batch_sizes"][:1]
    path = plan.scratch / "job.json"
    job = {
        "library": side.library.module,
        "model": str(model),
        "settings": settings,
        "threads": plan.threads,
        "measures": measures + ["profile"] * (round_ == 0),
        "pairs": plan.pairs(round_),
        "question": plan.work.question,
        "book": plan.work.book,
        "documents": plan.work.documents,
        "singles": plan.work.singles,
        "started": 0.0,
    }
    job["started"] = time.clock_gettime(time.CLOCK_MONOTONIC)
    path.write_text(json.dumps(job), "utf-8")
    result: dict[str, Any] = json.loads(
        call([str(python), str(HERE / "inference_side.py"), str(path)], plan).splitlines()[-1]
    )
    return result


def call(command: Sequence[str], plan: Plan) -> str:
    """What the command printed, run on as many processors as there are to be threads; `MissingSideError`
    where it fails.
    """
    log = plan.scratch / "stderr.txt"
    cores = sorted(os.sched_getaffinity(0))[: plan.threads]
    fixed = {
        "OMP_NUM_THREADS": str(plan.threads),
        "RAYON_NUM_THREADS": str(plan.threads),
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("w") as stderr:
        try:
            result = subprocess.run(
                command,
                env={**os.environ, **fixed, "HAYSTACK_TELEMETRY_ENABLED": "False"},
                cwd=plan.scratch,
                stdout=subprocess.PIPE,
                stderr=stderr,
                timeout=TIMEOUT_S,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        except subprocess.TimeoutExpired:
            raise MissingSideError(f"took longer than {TIMEOUT_S} s") from None
        except OSError as error:
            raise MissingSideError(str(error)) from None
    if result.returncode:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip(" │╭╰─╮╯")]
        raise MissingSideError(said[-1].strip(" │") if said else f"ended with {result.returncode}")
    return result.stdout.decode()
