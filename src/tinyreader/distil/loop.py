"""The training loop: one stage, one optimiser step after the other, where everything that happens can be read
in order.

A step is a batch of windows, computed in as many parts as memory wants and on as many processes as Accelerate
was started with; gradients are summed, so neither number changes what is learned. The state at a step
boundary (weights, moments, position) determines everything after it: batches and dropout are drawn from
(seed, stage, epoch or step), so a run that was killed ends with the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tinyreader.arrays import Rows
from tinyreader.distil.checkpoint import Checkpoint, CheckpointFolder, save_tensors
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.features import FeatureStore, training_batches
from tinyreader.distil.network import Network
from tinyreader.distil.objectives import Objective, Totals
from tinyreader.distil.optimiser import MasterAdamW, OptimiserSettings, learning_rate_at
from tinyreader.distil.runlog import RunLog
from tinyreader.distil.settings import StageSettings, TrainingSettings
from tinyreader.errors import RunError
from tinyreader.progress import Progress, StopSwitch, duration
from tinyreader.storage import file_hash


@dataclass(frozen=True, slots=True)
class StageJob:
    """All that a stage of training needs: what to learn, from which windows, with which settings, and where
    to keep it.
    """

    number: int
    settings: StageSettings
    training: TrainingSettings
    student: Network
    objective: Objective
    store: FeatureStore
    rows: Rows
    pad_id: int
    random: StepRandom
    folder: Path
    evaluate: Callable[[], dict[str, float]] | None = None
    evaluate_every: int | None = None
    choose_best: str = "none"


@dataclass(slots=True)
class _Position:
    """Where a stage is, besides its tensors; saved with each checkpoint."""

    step: int = 0
    seconds: float = 0.0
    windows: int = 0
    skipped: int = 0
    bad_in_a_row: int = 0
    best_score: float | None = None
    best_step: int | None = None
    best_digest: str | None = None


@dataclass(slots=True)
class _Meter:
    """Sums between two log lines."""

    steps: int = 0
    windows: int = 0
    tokens: int = 0
    norm: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    loss: float = 0.0
    seconds: float = 0.0


class StageTrainer:
    """Carries one `StageJob` through, from the start or from its newest whole checkpoint."""

    def __init__(
        self, job: StageJob, accelerator: Accelerator, log: RunLog, progress: Progress, stop: StopSwitch
    ) -> None:
        self.job, self.accelerator, self.log, self.progress, self.stop = job, accelerator, log, progress, stop
        s = job.settings
        named = {f"student.{n}": p for n, p in job.student.model.named_parameters()}
        self.optimiser = MasterAdamW(
            {**named, **job.objective.learned()},
            OptimiserSettings(
                s.learning_rate, s.weight_decay, (s.adam_beta1, s.adam_beta2), s.adam_epsilon, s.max_grad_norm
            ),
            {f"student.{n}": t for n, t in job.student.unrounded.items()},
        )
        self.per_epoch = math.ceil(len(job.rows) / s.batch_size)
        self.total = n_steps(s, len(job.rows))
        self.checkpoints = CheckpointFolder(job.folder / "checkpoints", job.training.keep_checkpoints)
        self.position = _Position()
        self._epoch: tuple[int, list[Rows]] = (-1, [])

    def run(self) -> dict[str, Any]:
        """Trains to the last step; returns steps, seconds, windows and skipped steps of the stage."""
        self._resume()
        model, position, meter = self.job.student.model.train(), self.position, _Meter()
        last_save = time.monotonic()
        while position.step < self.total:
            began = time.perf_counter()
            self._update(self._batch(position.step), meter)
            position.step += 1
            seconds = time.perf_counter() - began
            position.seconds += seconds
            meter.seconds += seconds
            if position.step % self.job.training.log_every_steps == 0 or position.step == self.total:
                meter = self._report(meter)
            if self._measures(position.step):
                self._evaluate()
                model.train()
            if position.step == self.total:
                break
            stop, due = self._agree(bool(self.stop.reason), self._due(last_save))
            if stop or due:
                self._save()
                last_save = time.monotonic()
            if stop:
                self.stop.check(
                    f"Stage {self.job.settings.name!r} is saved at step {position.step} of {self.total}; "
                    "the same command resumes there."
                )
        self._keep_best()
        return {
            "steps": position.step,
            "seconds": round(position.seconds, 3),
            "windows": position.windows,
            "skipped_steps": position.skipped,
            "best_step": position.best_step,
        }

    def weights(self) -> dict[str, Tensor]:
        """The student's weights in fp32, and those of learned projections, by name."""
        return {n: t.detach().cpu().clone() for n, t in self.optimiser.masters.items()}

    def _batch(self, step: int) -> Rows:
        epoch, place = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            key = (self.job.training.seed, self.job.number, epoch)
            batches = training_batches(
                self.job.rows, self.job.store.lengths, self.job.settings.batch_size, key
            )
            self._epoch = (epoch, batches)
        return self._epoch[1][place]

    def _update(self, rows: Rows, meter: _Meter) -> None:
        """One optimiser step on the windows `rows`; a step whose gradient is not finite is skipped and
        counted.
        """
        job, s, step = self.job, self.job.settings, self.position.step
        totals = Totals.of(job.store.lengths[rows].tolist())
        mine = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        share = 1.0
        if not len(mine):  # a process without a window takes part in the sums with zeros
            mine, share = rows[:1], 0.0
        part_size = s.micro_batch_size or s.batch_size
        terms: dict[str, float] = {}
        loss_sum = 0.0
        for part, begin in enumerate(range(0, len(mine), part_size)):
            batch = job.store.batch(mine[begin : begin + part_size], job.pad_id).to(self.accelerator.device)
            job.random.reseed(job.training.seed, job.number, step, part, self.accelerator.process_index)
            loss = torch.zeros((), device=self.accelerator.device)
            for name, term in job.objective.terms(batch, totals).items():
                loss = loss + share * term.weight * term.value
                terms[name] = terms.get(name, 0.0) + share * float(term.value.detach())
            loss.backward()  # type: ignore[no-untyped-call]
            loss_sum += float(loss.detach())
            self.optimiser.accumulate()
        if self.accelerator.num_processes > 1:
            self.optimiser.reduce(self._add_up)
        norm = self.optimiser.gradient_norm()
        self.position.windows += len(rows)
        meter.windows += totals.windows
        meter.tokens += totals.tokens
        if not math.isfinite(norm):
            self._skip(rows, terms)
            return
        rate = learning_rate_at(step, self.total, s.learning_rate, s.schedule, s.warmup_share)
        self.optimiser.step(rate, norm)
        self.position.bad_in_a_row = 0
        meter.steps += 1
        meter.norm += norm
        meter.loss += loss_sum
        for name, value in terms.items():
            meter.terms[name] = meter.terms.get(name, 0.0) + value

    def _skip(self, rows: Rows, terms: dict[str, float]) -> None:
        """Leaves the weights alone and says where; too many such steps in a row end the run."""
        position, limit = self.position, self.job.training.max_bad_steps
        self.optimiser.clear()
        position.skipped += 1
        position.bad_in_a_row += 1
        bad = [n for n, v in terms.items() if not math.isfinite(v)] or ["gradient"]
        self.log.write(
            "skipped",
            stage=self.job.settings.name,
            step=position.step + 1,
            not_finite=bad,
            rows=rows.tolist(),
        )
        self.progress.say(f"step {position.step + 1}: {', '.join(bad)} not finite; the step is skipped")
        if position.bad_in_a_row >= limit:
            raise RunError(
                f"stage {self.job.settings.name!r}: {limit} steps in a row, up to step {position.step + 1}, "
                "had a loss or "
                f"gradient that is not finite ({', '.join(bad)}). Lower the learning rate or set "
                "training.precision = "
                '"fp32"; the windows are named in log.jsonl, and the last checkpoint is kept.'
            )

    def _add_up(self, gradient: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(gradient, reduction="sum")
        return summed

    def _agree(self, stop: bool, due: bool) -> tuple[bool, bool]:
        """Whether any process was asked to stop, and whether for any a checkpoint is due: all do the same
        thing.
        """
        if self.accelerator.num_processes == 1:
            return stop, due
        wishes = torch.tensor([stop, due], dtype=torch.float32, device=self.accelerator.device)
        any_stop, any_due = (n > 0 for n in self._add_up(wishes).tolist())
        if any_stop and not self.stop.reason:
            self.stop.reason = "a signal to another process of the run"
        return any_stop, any_due

    def _report(self, meter: _Meter) -> _Meter:
        """Writes the means since the last report, and gives an empty meter; skipped steps are not in the
        means.
        """
        if not meter.steps:
            return meter
        position, s = self.position, self.job.settings
        seconds = max(meter.seconds, 1e-9)
        rate = learning_rate_at(position.step - 1, self.total, s.learning_rate, s.schedule, s.warmup_share)
        terms = {n: v / meter.steps for n, v in meter.terms.items()}
        if self.accelerator.num_processes > 1:
            values = torch.tensor([*terms.values(), meter.loss / meter.steps], device=self.accelerator.device)
            summed = self._add_up(values).tolist()
            terms, loss = dict(zip(terms, summed[:-1], strict=True)), summed[-1]
        else:
            loss = meter.loss / meter.steps
        speed = meter.windows / seconds
        self.log.write(
            "step",
            stage=s.name,
            step=position.step,
            of=self.total,
            epoch=round(position.step / self.per_epoch, 4),
            loss=loss,
            terms=terms,
            learning_rate=rate,
            gradient_norm=meter.norm / meter.steps,
            windows_per_second=round(speed, 3),
            tokens_per_second=round(meter.tokens / seconds, 1),
            seconds=round(position.seconds, 3),
        )
        self.accelerator.log(
            {f"{s.name}/{k}": v for k, v in {"loss": loss, "learning_rate": rate, **terms}.items()},
            step=position.step,
        )
        left = (self.total - position.step) * seconds / meter.steps
        self.progress.show(
            f"{s.name} {position.step}/{self.total}  loss {loss:.4f}  {_summary(terms)}  "
            f"{speed:.1f} windows/s  {duration(left)} left",
            force=position.step == self.total,
        )
        return _Meter()

    def _measures(self, step: int) -> bool:
        """Whether the student is measured after `step`: now and then, and at the end where the best is
        chosen.
        """
        every = self.job.evaluate_every
        is_candidate = step == self.total and self.job.choose_best != "none"
        return every is not None and (step % every == 0 or is_candidate)

    def _evaluate(self) -> None:
        if self.job.evaluate is None or not self.accelerator.is_main_process:
            return
        scores = self.job.evaluate()
        position, s = self.position, self.job.settings
        self.log.write("evaluation", stage=s.name, step=position.step, scores=scores)
        self.accelerator.log({f"{s.name}/dev_{k}": v for k, v in scores.items()}, step=position.step)
        shown = "  ".join(f"{k} {v:.2f}" for k, v in scores.items())
        self.progress.say(f"{s.name} {position.step}/{self.total}  {shown}")
        if self.job.choose_best == "none":
            return
        score = scores[self.job.choose_best]
        if position.best_score is None or score > position.best_score:
            position.best_score, position.best_step = score, position.step
            save_tensors(self.weights(), self._best_path)
            position.best_digest = file_hash(self._best_path)

    @property
    def _best_path(self) -> Path:
        return self.job.folder / "best.safetensors"

    def _keep_best(self) -> None:
        """Puts the best weights measured in place of the last, where the recipe asks for it."""
        if self.position.best_step is None or self.position.best_step == self.position.step:
            return
        try:
            if self.position.best_digest not in (None, file_hash(self._best_path)):
                raise ValueError("they are not what was written")
            best = load_file(self._best_path)
        except (OSError, SafetensorError, ValueError) as error:
            raise RunError(
                f"the best weights in {self._best_path} cannot be read ({error}). Delete {self.job.folder} "
                "to have stage "
                f"{self.job.settings.name!r} done again."
            ) from None
        with torch.no_grad():
            for name, master in self.optimiser.masters.items():
                master.copy_(best[name])

    def _due(self, last_save: float) -> bool:
        t = self.job.training
        by_step = t.checkpoint_every_steps is not None and self.position.step % t.checkpoint_every_steps == 0
        return by_step or time.monotonic() - last_save > 60 * t.checkpoint_every_minutes

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            state = {name: getattr(self.position, name) for name in self.position.__slots__}
            state["random"] = {"seed": self.job.training.seed, "stage": self.job.number}
            self.checkpoints.save(Checkpoint(self.position.step, self.optimiser.state(), state))
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        checkpoint = self.checkpoints.newest(self.progress.say)
        step = 0
        if checkpoint is not None:
            self.optimiser.load_state(checkpoint.tensors)
            for name in self.position.__slots__:
                if name in checkpoint.state:  # not in one of an earlier version
                    setattr(self.position, name, checkpoint.state[name])
            step = checkpoint.step
            self.progress.say(f"{self.job.settings.name}: resuming from step {step} of {self.total}")
        self.log.rewind(self.job.settings.name, step)


def n_steps(stage: StageSettings, n_rows: int) -> int:
    """The optimiser steps of a stage over `n_rows` windows, at least one."""
    steps = stage.epochs * math.ceil(n_rows / stage.batch_size)
    return stage.max_steps or max(
        1, math.ceil(round(steps, 6))
    )  # 1.1 epochs of 50 batches are 55.00000000000001 steps


def _summary(terms: dict[str, float]) -> str:
    """The terms in a few words: layers of one kind added up."""
    sums: dict[str, float] = {}
    for name, value in terms.items():
        kind = name.split(".")[0]
        sums[kind] = sums.get(kind, 0.0) + value
    return "  ".join(f"{kind} {value:.4f}" for kind, value in sums.items())
