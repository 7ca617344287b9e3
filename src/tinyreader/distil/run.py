"""A whole run: prepare, train each stage, finish. `run_recipe` takes names, `distil` takes loaded models.

Everything lies under the run's directory, and each part appears there only when it is whole. The same call after a
kill finds what is done and resumes with the rest.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from tinyreader.data import Example, write_jsonl
from tinyreader.distil.checkpoint import save_tensors
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.evaluate import Evaluation, evaluate
from tinyreader.distil.features import visited_rows
from tinyreader.distil.loop import StageJob, StageTrainer, n_steps
from tinyreader.distil.network import Network
from tinyreader.distil.objectives import Compared, Intermediate, Labels, Objective, Prediction
from tinyreader.distil.prepare import InMemory, Prepared, layer_map, prepare, relations
from tinyreader.distil.provenance import (
    environment,
    keep_predictions,
    require_trackers,
    save_student,
    teacher_seconds,
)
from tinyreader.distil.recipe import Recipe, explain
from tinyreader.distil.session import open_session
from tinyreader.distil.settings import (
    DataSettings,
    EvaluationSettings,
    IntermediateStage,
    LabelsStage,
    PredictionStage,
    RandomStudent,
    Stage,
    StudentFromCheckpoint,
    StudentFromTeacher,
    StudentSettings,
    TeacherSettings,
    TrainingSettings,
)
from tinyreader.errors import RunError, SettingsError
from tinyreader.models import LoadedReader, save_reader
from tinyreader.models.reader import check_vocabulary
from tinyreader.progress import Progress, StopSwitch, duration, stop_signals
from tinyreader.storage import directory_lock, file_hash, read_object, without_directories, write_json
from tinyreader.windows import WindowSettings

_RESUMES = "The same command resumes there."


@dataclass(frozen=True, slots=True)
class RunResult:
    """The student's directory, what it scores on data.dev (empty without), the run's record, and the student itself,
    in fp32 on the CPU.
    """

    student: Path
    scores: dict[str, float]
    record: dict[str, Any]
    reader: LoadedReader


def run_recipe(recipe: Recipe, out: Path, progress: Progress | None = None) -> RunResult:
    """Carries out `recipe` in the directory `out`, resuming where an earlier call stopped.

    Raises `SettingsError`, `DataError` or `ModelError` before work is spent, `RunError` where training cannot
    continue, and `Interrupted` after Ctrl-C or SIGTERM, with everything saved.
    """
    return _carry_out(recipe, out, progress or Progress())


def _carry_out(recipe: Recipe, out: Path, progress: Progress, given: InMemory | None = None) -> RunResult:
    require_trackers(recipe.training.trackers)
    with _run_directory(out, progress) as stop:
        session = open_session(recipe.training, out, progress, stop)
        prepared = prepare(recipe, session, given)
        session.accelerator.init_trackers("tracking")
        try:
            weights, outcomes = None, []
            for number, stage in enumerate(recipe.stages, start=1):
                stop.check(_RESUMES)
                weights, outcome = train_stage(prepared, number, stage, weights)
                outcomes.append(outcome)
            return finish(prepared, weights, outcomes)
        finally:
            # closes trackers, and the connection between processes: the last thing
            session.accelerator.end_training()


@contextmanager
def _run_directory(out: Path, progress: Progress) -> Iterator[StopSwitch]:
    """Keeps `out` for this run alone, with signals turned into the switch; a run that left nothing in it leaves no
    directory either.
    """
    stop = StopSwitch()
    advice = (
        "finishing the current step, then saving (Ctrl-C again: stop at once, back to the last checkpoint)"
    )
    made = [directory for directory in (out, *out.parents) if not directory.exists()]
    with directory_lock(out), stop_signals(stop, lambda reason: progress.say(f"{reason}: {advice}")):
        try:
            yield stop
        except BaseException:
            with suppress(OSError):
                if made and {entry.name for entry in out.iterdir()} <= {".lock"}:
                    (out / ".lock").unlink(missing_ok=True)
                    for directory in made:  # innermost first
                        directory.rmdir()
            raise


def train_stage(
    prepared: Prepared, number: int, stage: Stage, weights: Path | None
) -> tuple[Path, dict[str, Any]]:
    """The file of weights after stage `number`, which starts from the file `weights`, and what the stage took."""
    session = prepared.session
    folder = session.out / "stages" / f"{number}-{stage.name}"
    folder.mkdir(parents=True, exist_ok=True)
    final, done = folder / "weights.safetensors", folder / "done.json"
    if done.exists():
        try:
            outcome = read_object(done)
        except RunError:
            outcome = {}
        if final.exists() and file_hash(final) == outcome.get("digest"):
            session.progress.say(f"stage {stage.name!r} is done already ({outcome['steps']:,} steps)")
            return final, outcome
        damaged = final if "digest" in outcome else done
        raise RunError(
            f"{damaged} is missing or damaged. Delete {folder} to have stage {stage.name!r} done again."
        )
    trainer = _trainer(prepared, number, stage, weights, folder)
    outcome = {"name": stage.name, "kind": stage.kind, **trainer.run()}
    if (compared := relations(stage, prepared.models)) is not None:
        outcome |= {"relation_layer": compared.layer, "relation_heads": compared.heads}
    if session.is_main:
        save_tensors(trainer.weights(), final)
    session.accelerator.wait_for_everyone()
    kept = {**outcome, "digest": file_hash(final)}
    if session.is_main:
        write_json(done, kept)
    session.progress.say(
        f"stage {stage.name!r}: {outcome['steps']:,} steps in {duration(outcome['seconds'])}"
    )
    session.log.write("stage", stage=stage.name, step=outcome["steps"], outcome=outcome)
    return final, kept


def _trainer(
    prepared: Prepared, number: int, stage: Stage, weights: Path | None, folder: Path
) -> StageTrainer:
    recipe, session, random = prepared.recipe, prepared.session, StepRandom()
    is_intermediate = isinstance(stage, IntermediateStage)
    student = Network(
        _student_model(prepared, weights),
        precision=session.precision,
        device=session.device,
        random=random,
        embeds_dropout=0.0 if isinstance(stage, IntermediateStage) else stage.embeds_dropout,
        dropout=stage.dropout,
    )
    return StageTrainer(
        StageJob(
            number=number,
            settings=stage,
            training=recipe.training,
            student=student,
            objective=_objective(prepared, number, stage, student),
            store=prepared.stores[stage.name],
            rows=prepared.rows(stage),
            pad_id=prepared.pad_id,
            random=random,
            folder=folder,
            evaluate=(lambda: _evaluate(prepared, student).scores) if prepared.dev else None,
            evaluate_every=recipe.evaluation.every_steps,
            # an intermediate stage does not train the answer head, so its scores choose nothing
            choose_best="none" if is_intermediate else recipe.evaluation.choose_best,
        ),
        session.accelerator,
        session.log,
        session.progress,
        session.stop,
    )


def _objective(prepared: Prepared, number: int, stage: Stage, student: Network) -> Objective:
    store, seed = prepared.stores[stage.name], prepared.recipe.training.seed
    if isinstance(stage, LabelsStage):
        return Labels(student)
    if isinstance(stage, PredictionStage):
        rows = prepared.rows(stage)
        visited = visited_rows(
            rows, store.lengths, stage.batch_size, n_steps(stage, len(rows)), (seed, number)
        )
        labels = prepared.teaching.labels(store, visited)
        return Prediction(student, labels, temperature=stage.temperature, weight=stage.distillation_weight)
    compared = Compared(
        layer_map(stage, prepared.models),
        embedding_weight=stage.embedding_weight,
        hidden_weight=stage.hidden_weight,
        attention_weight=stage.attention_weight,
        attention=stage.attention,
        relations=relations(stage, prepared.models),
    )
    return Intermediate(
        student,
        prepared.teaching.network(),
        compared,
        seed=seed + number,
        cross_tokenizer=prepared.teaching.cross_tokenizer(store),
    )


def _student_model(prepared: Prepared, weights: Path | None) -> PreTrainedModel:
    """The student with the weights that a stage left; its first weights without."""
    model = copy.deepcopy(prepared.models.student.model)
    if weights is None:
        return model
    tensors = {
        n.removeprefix("student."): t for n, t in load_file(weights).items() if n.startswith("student.")
    }
    if tensors.keys() != dict(model.named_parameters()).keys():
        raise RunError(
            f"{weights} does not hold the weights of this student. Delete its folder to have the stage done "
            "again."
        )
    model.load_state_dict(tensors, strict=False)  # buffers are the model's own
    return model


def _evaluate(prepared: Prepared, network: Network) -> Evaluation:
    return evaluate(
        network,
        prepared.dev,
        prepared.windower,
        prepared.pad_id,
        prepared.session.device,
        max_answer_tokens=prepared.recipe.evaluation.max_answer_tokens,
    )


def finish(prepared: Prepared, weights: Path | None, outcomes: list[dict[str, Any]]) -> RunResult:
    """Saves the student with its record, measured once more as it will be read from disk."""
    recipe, session = prepared.recipe, prepared.session
    model = _student_model(prepared, weights)
    scores: dict[str, float] = {}
    if prepared.dev and recipe.evaluation.at_end:
        session.progress.say(f"measuring the student on {len(prepared.dev):,} questions")
        network = Network(copy.deepcopy(model), precision=session.precision, device=session.device)
        measured = _evaluate(prepared, network)
        scores = measured.scores
        if session.is_main:
            keep_predictions(measured, session.out)
    own, others = teacher_seconds(session.log.read())
    record = {
        "recipe": recipe.resolved(),
        "identity": asdict(prepared.identity),
        "environment": environment(session.device),
        "data": prepared.data_facts,
        "student": {"parameters": sum(p.numel() for p in model.parameters())},
        "stages": outcomes,
        "teacher_pass_seconds": own,
        "scores": scores,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if others:
        record["teacher_pass_seconds_of_others"] = others
    target, tokenizer = session.out / "student", prepared.models.student.tokenizer
    if session.is_main:
        save_student(model, tokenizer, target, without_directories(record))
        session.log.write("done", scores=scores)
    session.accelerator.wait_for_everyone()
    return RunResult(target, scores, record, LoadedReader(model.eval(), tokenizer, target))


GivenReader = str | Path | LoadedReader | tuple[PreTrainedModel, Any]
"""A directory or Hub id, or a Transformers question-answering model with its fast tokenizer."""


@dataclass(frozen=True, slots=True)
class Distilled:
    """What `distil` made: the student in fp32 on the CPU with its tokenizer, its scores on `dev` (empty without), and
    the log, one dictionary for each event.
    """

    student: LoadedReader
    scores: dict[str, float]
    log: tuple[dict[str, Any], ...]

    def save(self, directory: str | Path) -> None:
        """Writes a directory that `Reader.from_pretrained` and Transformers open."""
        save_reader(self.student.model, self.student.tokenizer, directory)


def distil(
    teacher: GivenReader | None,
    student: GivenReader | StudentSettings,
    examples: Iterable[Example],
    stages: Sequence[Stage],
    *,
    dev: Iterable[Example] = (),
    windows: WindowSettings | None = None,
    training: TrainingSettings | None = None,
    evaluation: EvaluationSettings | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Distilled:
    """Trains a student on examples: from a teacher, or, with stages of labels alone, without one.

    `student` is a reader or encoder to start from, or settings that take it from the teacher or draw it at random.
    Models that are given stay as they are. Windows and the teacher's outputs are kept in a temporary directory, or
    in `out`, where the same call resumes after a kill. On a CPU with glibc the process keeps its freed memory from
    then on (`malloc.py`). Raises what `run_recipe` raises.
    """
    teacher_name, teacher_reader = _given(teacher) if teacher is not None else (None, None)
    if isinstance(student, StudentFromTeacher | StudentFromCheckpoint | RandomStudent):
        start, student_reader = student, None
    else:
        name, student_reader = _given(student)
        start = StudentFromCheckpoint(init="checkpoint", model=name)
    cut = windows or WindowSettings()
    with tempfile.TemporaryDirectory(prefix="tinyreader-") as temporary:
        place = out or Path(temporary)
        files = {name: place / "given" / f"{name}.jsonl" for name in ("train", "dev")}
        for name, part in (("train", examples), ("dev", dev)):
            write_jsonl(part, files[name])
        try:
            recipe = Recipe(
                name="distil",
                teacher=None if teacher_name is None else TeacherSettings(model=teacher_name),
                student=start,
                data=DataSettings(
                    train=str(files["train"]),
                    dev=str(files["dev"]) if files["dev"].stat().st_size else None,
                    max_seq_len=cut.max_seq_len,
                    doc_stride=cut.doc_stride,
                    max_question_tokens=cut.max_question_tokens,
                    on_long_question=cut.on_long_question,
                ),
                evaluation=evaluation or EvaluationSettings(),
                training=training or TrainingSettings(trackers=()),
                stages=tuple(stages),
            )
        except ValidationError as error:
            raise SettingsError(explain(error, Recipe, {})) from None
        given = InMemory(teacher_reader, student_reader)
        result = _carry_out(recipe, place, progress or Progress(quiet=True), given)
        log = tuple(json.loads(line) for line in (place / "log.jsonl").read_text("utf-8").splitlines())
        return Distilled(result.reader, result.scores, log)


def _given(reader: GivenReader) -> tuple[str, LoadedReader | None]:
    """The reader's name, and the reader itself, in fp32 on the CPU, where it is in memory."""
    if isinstance(reader, str | Path):
        return str(reader), None
    model, tokenizer = (reader.model, reader.tokenizer) if isinstance(reader, LoadedReader) else reader
    tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)  # of a Transformers tokenizer
    name = f"{type(model).__name__} in memory"
    if not isinstance(tokenizer, Tokenizer):
        raise SettingsError(
            f"the tokenizer of {name} is a {type(tokenizer).__name__}; give a fast tokenizer: a tokenizers.Tokenizer "
            "or a PreTrainedTokenizerFast"
        )
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in model.parameters()):
        model = copy.deepcopy(model).float().cpu()
    check_vocabulary(model, tokenizer, Path(name))
    return name, LoadedReader(model, tokenizer, Path(name))
