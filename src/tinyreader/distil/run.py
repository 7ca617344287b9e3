"""A whole run: data, teacher and student made ready, the stages in order, the student saved and measured.

Everything lies under the run's directory, and each part appears there only when it is whole; the same command
after a kill finds what is done and goes on with the rest.
"""

from __future__ import annotations

import copy
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from tinyreader.data import fingerprint
from tinyreader.distil import augmented
from tinyreader.distil.checkpoint import save_tensors
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.evaluate import Evaluation, evaluate, pad_token
from tinyreader.distil.features import FeatureStore, choose_rows, read_counts, visited_rows
from tinyreader.distil.loop import StageJob, StageTrainer, n_steps
from tinyreader.distil.network import Network, Precision, best_precision
from tinyreader.distil.objectives import (
    Compared,
    Intermediate,
    Labels,
    Objective,
    Prediction,
    Relations,
    check_attention,
    check_relations,
)
from tinyreader.distil.prepare import Source, development_examples, features, scan, window_settings
from tinyreader.distil.provenance import Identity, environment, note_run, require_same_run, require_trackers
from tinyreader.distil.recipe import Recipe
from tinyreader.distil.record import keep_predictions, save_student, teacher_seconds
from tinyreader.distil.runlog import RunLog
from tinyreader.distil.settings import (
    IntermediateStage,
    LabelsStage,
    PredictionStage,
    RandomStudent,
    Stage,
    StageSettings,
    StudentFromCheckpoint,
)
from tinyreader.distil.students import build_student, resolve_layer_map
from tinyreader.distil.teachers import (
    Teaching,
    Work,
    check_engine,
    check_windows,
    hash_of_text,
    load_teachers,
)
from tinyreader.errors import RunError, SettingsError
from tinyreader.malloc import keep_freed_memory
from tinyreader.model_files import hash_of
from tinyreader.models import load_reader, max_tokens, model_fingerprint
from tinyreader.progress import Progress, StopSwitch, duration, stop_signals
from tinyreader.storage import atomic_path, directory_lock, file_hash, read_object
from tinyreader.windows import Windower

Rows = npt.NDArray[np.int64]

_AGAIN = "The same command goes on from there."


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where the student is, what it scores on data.dev (empty without), and what the run says of itself."""

    student: Path
    scores: dict[str, float]
    record: dict[str, Any]


def run_recipe(recipe: Recipe, out: Path, progress: Progress | None = None) -> RunResult:
    """Carries out `recipe` in the directory `out`, going on where an earlier call stopped.

    Raises `SettingsError`, `DataError` or `ModelError` before work is spent, `RunError` where training cannot
    go on, and `Interrupted` after Ctrl-C or SIGTERM, with everything saved.
    """
    progress = progress or Progress()
    stop = StopSwitch()
    advice = (
        "finishing what is under way, then saving (Ctrl-C again: stop at once, back to the last checkpoint)"
    )
    require_trackers(recipe.training.trackers)
    made = [directory for directory in (out, *out.parents) if not directory.exists()]
    with directory_lock(out), stop_signals(stop, lambda reason: progress.say(f"{reason}: {advice}")):
        try:
            return _Run(recipe, out, progress, stop).carry_out()
        except BaseException:
            _withdraw(made)
            raise


def _withdraw(made: list[Path]) -> None:
    """Removes the directories made for a run that ended before it left anything in them but its lock;
    innermost first.
    """
    with suppress(OSError):
        if made and {entry.name for entry in made[0].iterdir()} <= {".lock"}:
            (made[0] / ".lock").unlink(missing_ok=True)
            for directory in made:
                directory.rmdir()


class _Run:
    def __init__(self, recipe: Recipe, out: Path, progress: Progress, stop: StopSwitch) -> None:
        self.recipe, self.out, self.progress, self.stop = recipe, out, progress, stop
        if recipe.training.threads is not None:
            torch.set_num_threads(recipe.training.threads)
        trackers: Any = list(recipe.training.trackers)
        # Without cpu=True Accelerate does not see that torchrun started several processes on a machine
        # without a GPU.
        cpu_only = not torch.accelerator.is_available()
        self.accelerator = Accelerator(cpu=cpu_only, log_with=trackers or None, project_dir=str(out))
        self.device = self.accelerator.device
        if self.device.type == "cpu":
            keep_freed_memory()
        self.random = StepRandom()
        is_main = self.accelerator.is_main_process
        self.log = RunLog(out / "log.jsonl" if is_main else None)
        if not is_main:
            self.progress = Progress(quiet=True)

    def carry_out(self) -> RunResult:
        """The run from its first check to its last measurement."""
        self._prepare()
        self.accelerator.init_trackers("tracking")
        try:
            weights = None
            outcomes = []
            for number, stage in enumerate(self.recipe.stages, start=1):
                self.stop.check(_AGAIN)
                weights, outcome = self._stage(number, stage, weights)
                outcomes.append(outcome)
            return self._finish(weights, outcomes)
        finally:
            # closes trackers, and the connection between processes: the last thing
            self.accelerator.end_training()

    def _prepare(self) -> None:
        """Reads and checks everything the stages will need."""
        r = self.recipe
        sources = list(dict.fromkeys(Source.of_stage(s, r.data) for s in r.stages))
        to_rewrite = {Source.of_stage(s, r.data) for s in r.stages if s.augment is not None}
        scanned = {
            s: scan(
                s,
                r.data,
                self.out / f"rejected-{n}.jsonl",
                self.progress,
                self.stop,
                to_rewrite=s in to_rewrite,
            )
            for n, s in enumerate(sources, start=1)
        }
        self.sources = {stage.name: Source.of_stage(stage, r.data) for stage in r.stages}
        rewritings = {
            s.name: augmented.plan(
                scanned[self.sources[s.name]], s.augment, r.data, r.training, self.progress
            )
            for s in r.stages
            if s.augment is not None
        }
        self.dev = development_examples(
            r.data, r.evaluation, r.training.seed, self.out / "rejected-dev.jsonl", self.progress
        )
        self.teacher = load_reader(r.teacher.model, revision=r.teacher.revision) if r.teacher else None
        self.student = build_student(r.student, self.teacher, r.training.seed)
        self.teachers = load_teachers(r, self.teacher, self.student.tokenizer)
        self.pad_id = pad_token(self.student.config)
        self._check_lengths()
        check_engine(r, self._precision())
        self.identity = Identity(
            recipe=r.fingerprint(),
            data={s.label: scanned[s].fingerprint for s in sources}
            | {f"rewritten for stage {name}": rewriting.key for name, rewriting in rewritings.items()},
            dev=fingerprint(self.dev) if self.dev and r.evaluation.choose_best != "none" else None,
            teacher=" ".join(teacher.fingerprint for teacher in self.teachers) or None,
            student=self._first_weights(),
            tokenizer=hash_of_text(self.student.tokenizer.to_str()),
            precision=self._precision(),
            processes=self.accelerator.num_processes,
        )
        require_same_run(self.identity, r.determining(), self.out)
        for stage in r.stages:
            if isinstance(stage, IntermediateStage):
                self._check_comparison(stage)
        self.teaching = Teaching(
            r,
            self.teachers,
            self.teacher,
            self.student,
            self.identity.precision,
            self.out,
            Work(self.accelerator, self.log, self.progress, self.stop),
        )
        self.windower = Windower(self.student.tokenizer, window_settings(r.data))
        for example in self.dev:
            self.windower.check_question(example)
        self.rewritten: dict[str, dict[str, Any]] = {}
        with self.accelerator.main_process_first():
            for name, rewriting in rewritings.items():
                made, facts = augmented.rewrite(rewriting, self.out / "augmented", self.progress, self.stop)
                self.sources[name], scanned[made.source] = made.source, made
                self.rewritten[name] = {"fingerprint": rewriting.key, **facts}
                self.log.write("augment", stage=name, counts=facts)
            del rewritings  # and the models that proposed
            self.stores = {
                s: features(
                    scanned[s],
                    r.data,
                    self.student.tokenizer,
                    self.out / "features",
                    self.progress,
                    self.stop,
                )
                for s in dict.fromkeys(self.sources.values())
            }
            for stage in r.stages:
                source = self.sources[stage.name]
                store = self.stores[source]
                self.teaching.cut_windows(stage, scanned[source], store, self._rows(stage, store))
        self.plain = {s: scanned[s] for s in sources}
        note_run(self.identity, r.determining(), self.out)

    def _rows(self, stage: StageSettings, store: FeatureStore) -> Rows:
        """The windows that a stage learns from."""
        return choose_rows(
            len(store), stage.max_windows or self.recipe.data.max_windows, self.recipe.training.seed
        )

    def _first_weights(self) -> str | None:
        """Hash of the files that the student's first weights come from, besides the teacher's and the
        recipe.
        """
        settings, source = self.recipe.student, self.student.source
        if isinstance(settings, StudentFromCheckpoint):
            return model_fingerprint(source)
        is_random = isinstance(settings, RandomStudent) and settings.model is not None
        return hash_of([source / "config.json"]) if is_random else None

    def _check_lengths(self) -> None:
        wanted, limit = self.recipe.data.max_seq_len, max_tokens(self.student.model)
        if limit is not None and wanted > limit:
            raise SettingsError(
                f"data.max_seq_len is {wanted}, but the student takes at most {limit} tokens at once."
            )
        check_windows(self.teachers, wanted)

    def _check_comparison(self, stage: IntermediateStage) -> None:
        assert self.teacher is not None  # the recipe's own check
        self._layer_map(stage)
        if stage.compares_attention():
            check_attention(self.student.model, self.teacher.model, stage.attention)
        if (relations := self._relations(stage)) is not None:
            check_relations(self.student.model, self.teacher.model, relations)

    def _precision(self) -> Precision:
        wanted = self.recipe.training.precision
        return best_precision(self.device) if wanted == "auto" else wanted

    def _layer_map(self, stage: IntermediateStage) -> tuple[int, ...]:
        assert self.teacher is not None  # the recipe's own check
        if "layer_map" in stage.idle_fields():
            return ()
        n_student, n_teacher = self.student.config.num_hidden_layers, self.teacher.config.num_hidden_layers
        return resolve_layer_map(stage.layer_map, n_student, n_teacher)

    def _relations(self, stage: Stage) -> Relations | None:
        if not isinstance(stage, IntermediateStage) or not stage.relation_weight:
            return None
        assert self.teacher is not None  # the recipe's own check
        config = self.teacher.config
        layer = stage.relation_layer or config.num_hidden_layers
        return Relations(layer, stage.relation_heads or config.num_attention_heads, stage.relation_weight)

    def _stage(self, number: int, stage: Stage, weights: Path | None) -> tuple[Path, dict[str, Any]]:
        """The file of weights after stage `number`, which starts from the file `weights`, and what the stage
        took.
        """
        folder = self.out / "stages" / f"{number}-{stage.name}"
        folder.mkdir(parents=True, exist_ok=True)
        final, done = folder / "weights.safetensors", folder / "done.json"
        if done.exists():
            try:
                outcome = read_object(done)
            except RunError:
                outcome = {}
            if final.exists() and file_hash(final) == outcome.get("digest"):
                self.progress.say(f"stage {stage.name!r} is done already ({outcome['steps']:,} steps)")
                return final, outcome
            damaged = final if "digest" in outcome else done
            raise RunError(
                f"{damaged} is missing or damaged. Delete {folder} to have stage {stage.name!r} done again."
            )
        trainer = self._trainer(number, stage, weights, folder)
        outcome = {"name": stage.name, "kind": stage.kind, **trainer.run()}
        if (relations := self._relations(stage)) is not None:
            outcome |= {"relation_layer": relations.layer, "relation_heads": relations.heads}
        if self.accelerator.is_main_process:
            save_tensors(trainer.weights(), final)
        self.accelerator.wait_for_everyone()
        kept = {**outcome, "digest": file_hash(final)}
        if self.accelerator.is_main_process:
            with atomic_path(done) as path:
                path.write_text(json.dumps(kept, indent=2))
        self.progress.say(
            f"stage {stage.name!r}: {outcome['steps']:,} steps in {duration(outcome['seconds'])}"
        )
        self.log.write("stage", stage=stage.name, step=outcome["steps"], outcome=outcome)
        return final, kept

    def _trainer(self, number: int, stage: Stage, weights: Path | None, folder: Path) -> StageTrainer:
        r, store = self.recipe, self.stores[self.sources[stage.name]]
        rows = self._rows(stage, store)
        model = copy.deepcopy(self.student.model)
        if weights is not None:
            _load_student(model, weights)
        student = Network(
            model,
            precision=self.identity.precision,
            device=self.device,
            random=self.random,
            embeds_dropout=0.0 if isinstance(stage, IntermediateStage) else stage.embeds_dropout,
            dropout=stage.dropout,
        )
        objective = self._objective(number, stage, student, store, rows)
        chooses = (
            stage.kind != "intermediate"
        )  # there the answer head is not trained, and its scores choose nothing
        return StageTrainer(
            StageJob(
                number=number,
                settings=stage,
                training=r.training,
                student=student,
                objective=objective,
                store=store,
                rows=rows,
                pad_id=self.pad_id,
                random=self.random,
                folder=folder,
                evaluate=(lambda: self._evaluate(student).scores) if self.dev else None,
                evaluate_every=r.evaluation.every_steps,
                choose_best=r.evaluation.choose_best if chooses else "none",
            ),
            self.accelerator,
            self.log,
            self.progress,
            self.stop,
        )

    def _objective(
        self, number: int, stage: Stage, student: Network, store: FeatureStore, rows: Any
    ) -> Objective:
        if isinstance(stage, LabelsStage):
            return Labels(student)
        if isinstance(stage, PredictionStage):
            key = (self.recipe.training.seed, number)
            needed = visited_rows(rows, store.lengths, stage.batch_size, n_steps(stage, len(rows)), key)
            labels = self.teaching.labels(store, needed)
            return Prediction(
                student, labels, temperature=stage.temperature, weight=stage.distillation_weight
            )
        compared = Compared(
            self._layer_map(stage),
            embedding_weight=stage.embedding_weight,
            hidden_weight=stage.hidden_weight,
            attention_weight=stage.attention_weight,
            attention=stage.attention,
            relations=self._relations(stage),
        )
        return Intermediate(
            student,
            self.teaching.network(),
            compared,
            seed=self.recipe.training.seed + number,
            crossing=self.teaching.crossing(store),
        )

    def _evaluate(self, network: Network) -> Evaluation:
        return evaluate(
            network,
            self.dev,
            self.windower,
            self.pad_id,
            self.device,
            max_answer_tokens=self.recipe.evaluation.max_answer_tokens,
        )

    def _finish(self, weights: Path | None, outcomes: list[dict[str, Any]]) -> RunResult:
        """Saves the student with its record, measured once more as it will be read from disk."""
        target = self.out / "student"
        model = copy.deepcopy(self.student.model)
        if weights is not None:
            _load_student(model, weights)
        scores: dict[str, float] = {}
        if self.dev and self.recipe.evaluation.at_end:
            self.progress.say(f"measuring the student on {len(self.dev):,} questions")
            network = Network(copy.deepcopy(model), precision=self.identity.precision, device=self.device)
            measured = self._evaluate(network)
            scores = measured.scores
            if self.accelerator.is_main_process:
                keep_predictions(measured, self.out)
        own, others = teacher_seconds(self.log.read())
        record = {
            "recipe": self.recipe.resolved(),
            "identity": asdict(self.identity),
            "environment": environment(self.device),
            "data": self._data_facts(),
            "student": {"parameters": sum(p.numel() for p in model.parameters())},
            "stages": outcomes,
            "teacher_pass_seconds": own,
            "scores": scores,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if others:
            record["teacher_pass_seconds_of_others"] = others
        if self.accelerator.is_main_process:
            save_student(model, self.student.tokenizer, target, record)
            self.log.write("done", scores=scores)
        self.accelerator.wait_for_everyone()
        return RunResult(target, scores, record)

    def _data_facts(self) -> dict[str, Any]:
        """What was learned from and measured on: fingerprints, and what became of the examples on their way
        to windows.
        """
        r = self.recipe.data
        windows = {
            s: asdict(counts) for s, store in self.stores.items() if (counts := read_counts(store.folder))
        }
        training = {
            s.label: scanned.facts() | ({"windows": windows[s]} if s in windows else {})
            for s, scanned in self.plain.items()
        }
        rewritten = {
            name: facts | {"windows": windows[self.sources[name]]} for name, facts in self.rewritten.items()
        }
        dev = {
            "name": r.dev,
            "split": r.dev_split,
            "questions": len(self.dev),
            "fingerprint": fingerprint(self.dev),
        }
        return {"training": training, "rewritten": rewritten, "dev": dev if self.dev else None}


def _load_student(model: Any, weights: Path) -> None:
    """Puts the student's part of a stage's weights into `model`."""
    tensors = {
        n.removeprefix("student."): t for n, t in load_file(weights).items() if n.startswith("student.")
    }
    if tensors.keys() != dict(model.named_parameters()).keys():
        raise RunError(
            f"{weights} does not hold the weights of this student. Delete its folder to have the stage done "
            "again."
        )
    model.load_state_dict(tensors, strict=False)  # buffers are the model's own
