"""Haystack 1's side of distil_throughput.py: runs inside its own environment and prints the time of each step
as JSON.

The library is not changed: its training step and its teacher pass are wrapped in a clock, and its documented
`FARMReader.distil_intermediate_layers_from` and `FARMReader.distil_prediction_layer_from` are called.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from haystack.modeling.data_handler.data_silo import DistillationDataSilo
from haystack.modeling.training import DistillationTrainer, TinyBERTDistillationTrainer
from haystack.nodes import FARMReader

Step = tuple[int, float]


def clock(owner: type, method: str, count: Callable[[tuple[Any, ...], dict[str, Any]], int]) -> list[Step]:
    """The list that gets (features, seconds) of each call of the method from now on."""
    steps: list[Step] = []
    original = getattr(owner, method)

    def timed(*args: Any, **kwargs: Any) -> Any:
        n_features = count(args, kwargs)
        started = time.perf_counter()
        result = original(*args, **kwargs)
        steps.append((n_features, time.perf_counter() - started))
        return result

    setattr(owner, method, timed)
    return steps


def in_batch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Features in the batch that a trainer's `compute_loss(self, batch, step)` gets."""
    return len((args[1] if len(args) > 1 else kwargs["batch"])["input_ids"])


def in_teacher_batch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Features in the batch that the data silo's `_pass_batches(self, batch, ...)` gets."""
    return len(args[1] if len(args) > 1 else kwargs["batch"])


def read(path: Path, max_seq_len: int) -> FARMReader:
    """The model as haystack's reader, on the CPU."""
    return FARMReader(str(path), use_gpu=False, max_seq_len=max_seq_len, num_processes=1, progress_bar=False)


def run(stage: str, args: argparse.Namespace, scratch: Path) -> dict[str, list[Step]]:
    """The steps of each phase of the stage, over the data once."""
    phases = {}
    if stage == "intermediate":
        phases["intermediate"] = clock(TinyBERTDistillationTrainer, "compute_loss", in_batch)
    else:
        phases["teacher"] = clock(DistillationDataSilo, "_pass_batches", in_teacher_batch)
        phases["prediction"] = clock(DistillationTrainer, "compute_loss", in_batch)
    student, teacher = read(args.student, args.max_seq_len), read(args.teacher, args.max_seq_len)
    common = {
        "data_dir": str(args.data.parent),
        "train_filename": args.data.name,
        "use_gpu": False,
        "batch_size": args.batch_size,
        "n_epochs": 1,
        "max_seq_len": args.max_seq_len,
        "evaluate_every": 0,
        "num_processes": 1,
        "save_dir": str(scratch / "student"),
        "checkpoint_root_dir": scratch / "checkpoints",
    }
    if stage == "intermediate":
        student.distil_intermediate_layers_from(teacher, learning_rate=5e-5, **common)
    else:
        student.distil_prediction_layer_from(
            teacher, learning_rate=3e-5, distillation_loss_weight=1.0, **common
        )
    return phases


def main() -> None:
    """Print {"threads": n, "phases": {phase: [[features, seconds], ...]}} as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["intermediate", "prediction"])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--max-seq-len", type=int, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        phases = run(args.stage, args, Path(scratch))
    print(json.dumps({"threads": torch.get_num_threads(), "phases": phases}))


if __name__ == "__main__":
    main()
