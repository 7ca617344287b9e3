"""`Session`: the processes of a run, its directory, and how it reports and is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from tinyreader.distil.network import Precision, best_precision
from tinyreader.distil.runlog import RunLog
from tinyreader.distil.settings import TrainingSettings
from tinyreader.malloc import keep_freed_memory
from tinyreader.progress import Progress, StopSwitch


@dataclass(frozen=True, slots=True)
class Session:
    """What each part of a run needs besides its input: `out` is the run's directory."""

    out: Path
    accelerator: Accelerator
    precision: Precision
    log: RunLog
    progress: Progress
    stop: StopSwitch

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes, where several share the work."""
        return bool(self.accelerator.is_main_process)


def open_session(training: TrainingSettings, out: Path, progress: Progress, stop: StopSwitch) -> Session:
    """The session of this process, its threads and allocator set up for training."""
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    # Without cpu=True Accelerate does not see that torchrun started several processes on a machine
    # without a GPU.
    cpu_only = not torch.accelerator.is_available()
    trackers: Any = list(training.trackers)
    accelerator = Accelerator(cpu=cpu_only, log_with=trackers or None, project_dir=str(out))
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    precision = best_precision(accelerator.device) if training.precision == "auto" else training.precision
    is_main = accelerator.is_main_process
    log = RunLog(out / "log.jsonl" if is_main else None)
    return Session(out, accelerator, precision, log, progress if is_main else Progress(quiet=True), stop)
