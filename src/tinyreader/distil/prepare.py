"""What a run needs before its first step: data cut into windows, teachers and student, all checked before work
is spent.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from tinyreader.arrays import Rows
from tinyreader.data import Example, fingerprint
from tinyreader.distil.evaluate import pad_token
from tinyreader.distil.features import FeatureStore, choose_rows, read_counts
from tinyreader.distil.objectives import Relations, check_attention, check_relations
from tinyreader.distil.provenance import Identity, note_run, require_same_run
from tinyreader.distil.recipe import Recipe
from tinyreader.distil.session import Session
from tinyreader.distil.settings import IntermediateStage, RandomStudent, Stage, StudentFromCheckpoint
from tinyreader.distil.sources import (
    Rewriting,
    Scanned,
    Source,
    development_examples,
    features,
    plan_rewriting,
    rewrite,
    scan,
    window_settings,
)
from tinyreader.distil.students import build_student, resolve_layer_map
from tinyreader.distil.teachers import Teaching, check_engine, check_windows, open_teachers
from tinyreader.errors import SettingsError
from tinyreader.model_files import hash_of
from tinyreader.models import LoadedReader, load_reader, max_tokens, model_fingerprint
from tinyreader.storage import text_hash
from tinyreader.windows import Windower


@dataclass(frozen=True, slots=True)
class Models:
    """A teacher and a student before training.

    `teacher_hash` is that of a teacher that was handed over in memory. `student_hash` is that of the first weights
    where they come neither from the teacher nor from the seed.
    """

    teacher: LoadedReader | None
    student: LoadedReader
    teacher_hash: str | None
    student_hash: str | None


@dataclass(frozen=True, slots=True)
class InMemory:
    """Models that stand in for those that a recipe names."""

    teacher: LoadedReader | None = None
    student: LoadedReader | None = None


def load_models(recipe: Recipe, given: InMemory) -> Models:
    """The models that the recipe names, except those given."""
    teacher, named = given.teacher, recipe.teacher
    if teacher is None and named is not None:
        teacher = load_reader(named.model, revision=named.revision)
    student = given.student or build_student(recipe.student, teacher, recipe.training.seed)
    return Models(
        teacher,
        student,
        _weights_hash(given.teacher) if given.teacher else None,
        _weights_hash(given.student) if given.student else _first_weights(recipe, student),
    )


def _weights_hash(reader: LoadedReader) -> str:
    """Hash of the configuration and weights of a model in memory."""
    mixed = hashlib.blake2b(reader.config.to_json_string().encode(), digest_size=16)
    for name, tensor in sorted(reader.model.state_dict().items()):
        mixed.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return mixed.hexdigest()


def _first_weights(recipe: Recipe, student: LoadedReader) -> str | None:
    """Hash of the files that the student's first weights come from, besides the teacher's and the recipe."""
    settings = recipe.student
    if isinstance(settings, StudentFromCheckpoint):
        return model_fingerprint(student.source)
    is_patterned = isinstance(settings, RandomStudent) and settings.model is not None
    return hash_of([student.source / "config.json"]) if is_patterned else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that the stages of a run share; `stores` are their windows, by stage."""

    recipe: Recipe
    session: Session
    identity: Identity
    models: Models
    teaching: Teaching
    stores: dict[str, FeatureStore]
    dev: tuple[Example, ...]
    windower: Windower
    data_facts: dict[str, Any]

    @property
    def pad_id(self) -> int:
        return pad_token(self.models.student.config)

    def rows(self, stage: Stage) -> Rows:
        """The windows that a stage learns from."""
        return _chosen_rows(self.recipe, stage, self.stores[stage.name])


def prepare(recipe: Recipe, session: Session, given: InMemory | None = None) -> Prepared:
    """Reads, checks and cuts all that the stages need; models that are `given` are not loaded by name.

    Raises `SettingsError`, `DataError` or `ModelError` for what is wrong with the recipe's data and models, and
    `RunError` where the session's directory holds another run.
    """
    sources = {stage.name: Source.of_stage(stage, recipe.data) for stage in recipe.stages}
    scanned = _scan(recipe, sources, session)
    rewritings = {
        stage.name: plan_rewriting(
            scanned[sources[stage.name]], stage.augment, recipe.data, recipe.training, session
        )
        for stage in recipe.stages
        if stage.augment is not None
    }
    dev = tuple(development_examples(recipe.data, recipe.evaluation, recipe.training.seed, session))
    models = load_models(recipe, given or InMemory())
    student = models.student
    teachers = open_teachers(recipe, models.teacher, student.tokenizer, models.teacher_hash)
    _check_length(recipe, student)
    check_windows(teachers, recipe.data.max_seq_len)
    check_engine(recipe, teachers, session)
    identity = Identity(
        recipe=recipe.fingerprint(),
        data={source.label: each.fingerprint for source, each in scanned.items()}
        | {f"rewritten for stage {name}": rewriting.key for name, rewriting in rewritings.items()},
        dev=fingerprint(dev) if dev and recipe.evaluation.choose_best != "none" else None,
        teacher=" ".join(teacher.fingerprint for teacher in teachers) or None,
        student=models.student_hash,
        tokenizer=text_hash(student.tokenizer.to_str()),
        precision=session.precision,
        processes=session.accelerator.num_processes,
    )
    require_same_run(identity, recipe.determining(), session.out)
    for stage in recipe.stages:
        if isinstance(stage, IntermediateStage):
            _check_comparison(stage, models)
    windower = Windower(student.tokenizer, window_settings(recipe.data))
    for example in dev:
        windower.check_question(example)
    teaching = Teaching(recipe, teachers, models.teacher, student, session)
    with session.accelerator.main_process_first():
        learned, rewritten = _rewrite(
            rewritings, {n: scanned[source] for n, source in sources.items()}, session
        )
        del rewritings  # and the models that proposed
        made = {
            source: features(each, recipe.data, student.tokenizer, session)
            for source, each in {each.source: each for each in learned.values()}.items()
        }
        stores = {name: made[each.source] for name, each in learned.items()}
        for stage in recipe.stages:
            store = stores[stage.name]
            teaching.cut_windows(stage, learned[stage.name], store, _chosen_rows(recipe, stage, store))
    note_run(identity, recipe.determining(), session.out)
    facts = {
        "training": {s.label: each.facts() | _window_facts(made.get(s)) for s, each in scanned.items()},
        "rewritten": {name: each | _window_facts(stores[name]) for name, each in rewritten.items()},
        "dev": _dev_facts(recipe, dev) if dev else None,
    }
    return Prepared(recipe, session, identity, models, teaching, stores, dev, windower, facts)


def _scan(recipe: Recipe, sources: dict[str, Source], session: Session) -> dict[Source, Scanned]:
    to_rewrite = {sources[stage.name] for stage in recipe.stages if stage.augment is not None}
    return {
        source: scan(
            source,
            recipe.data,
            session.out / f"rejected-{number}.jsonl",
            session,
            to_rewrite=source in to_rewrite,
        )
        for number, source in enumerate(dict.fromkeys(sources.values()), start=1)
    }


def _rewrite(
    rewritings: dict[str, Rewriting], scanned: dict[str, Scanned], session: Session
) -> tuple[dict[str, Scanned], dict[str, dict[str, Any]]]:
    """What each stage learns from, rewritten where it asks for that, and what the rewriting counted, by stage."""
    facts: dict[str, dict[str, Any]] = {}
    for name, rewriting in rewritings.items():
        made, counts = rewrite(rewriting, session)
        scanned = scanned | {name: made}
        facts[name] = {"fingerprint": rewriting.key, **counts}
        session.log.write("augment", stage=name, counts=counts)
    return scanned, facts


def _chosen_rows(recipe: Recipe, stage: Stage, store: FeatureStore) -> Rows:
    return choose_rows(len(store), stage.max_windows or recipe.data.max_windows, recipe.training.seed)


def _check_length(recipe: Recipe, student: LoadedReader) -> None:
    wanted, limit = recipe.data.max_seq_len, max_tokens(student.model)
    if limit is not None and wanted > limit:
        raise SettingsError(
            f"data.max_seq_len is {wanted}, but the student takes at most {limit} tokens at once."
        )


def _check_comparison(stage: IntermediateStage, models: Models) -> None:
    """Raises `SettingsError` where what the stage compares cannot be compared between these models."""
    assert models.teacher is not None  # the recipe's own check
    layer_map(stage, models)
    if stage.compares_attention():
        check_attention(models.student.model, models.teacher.model, stage.attention)
    if (compared := relations(stage, models)) is not None:
        check_relations(models.student.model, models.teacher.model, compared)


def layer_map(stage: IntermediateStage, models: Models) -> tuple[int, ...]:
    """The teacher's layer, from 1, for each of the student's; empty where the stage compares no layers."""
    assert models.teacher is not None  # the recipe's own check
    if "layer_map" in stage.idle_fields():
        return ()
    n_student, n_teacher = (each.config.num_hidden_layers for each in (models.student, models.teacher))
    return resolve_layer_map(stage.layer_map, n_student, n_teacher)


def relations(stage: Stage, models: Models) -> Relations | None:
    """The relations that a stage learns, with what the recipe leaves open taken from the teacher."""
    if not isinstance(stage, IntermediateStage) or not stage.relation_weight:
        return None
    assert models.teacher is not None  # the recipe's own check
    config = models.teacher.config
    layer = stage.relation_layer or config.num_hidden_layers
    return Relations(layer, stage.relation_heads or config.num_attention_heads, stage.relation_weight)


def _window_facts(store: FeatureStore | None) -> dict[str, Any]:
    """What became of the examples on their way to windows; nothing for data that was only rewritten."""
    counts = read_counts(store.folder) if store else None
    return {"windows": asdict(counts)} if counts else {}


def _dev_facts(recipe: Recipe, dev: tuple[Example, ...]) -> dict[str, Any]:
    data = recipe.data
    return {"name": data.dev, "split": data.dev_split, "questions": len(dev), "fingerprint": fingerprint(dev)}
