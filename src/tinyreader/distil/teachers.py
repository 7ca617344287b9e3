"""The teachers of a run: loaded and checked, their windows cut, their predictions computed once and kept.

`[teacher]` is the one that intermediate stages learn from and students are made of; `[[more_teachers]]` teach
beside it in prediction stages. Each may have a tokenizer of its own (`alignment.py`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tinyreader.arrays import Rows
from tinyreader.distil import alignment
from tinyreader.distil.cross_tokenizer import CrossTokenizer
from tinyreader.distil.evaluate import pad_token
from tinyreader.distil.features import FeatureStore, sorted_batches
from tinyreader.distil.network import Network
from tinyreader.distil.pairs import PairStore
from tinyreader.distil.recipe import Recipe
from tinyreader.distil.session import Session
from tinyreader.distil.settings import StageSettings
from tinyreader.distil.sources import Scanned, teacher_windows
from tinyreader.distil.teacher_cache import (
    MAX_BATCH_TOKENS,
    Forward,
    MeanLabels,
    Pass,
    PassReport,
    SpanLabels,
    TeacherCache,
    TeacherLabels,
    by_network,
    by_runtime,
    own_key,
    own_windows,
    paired_key,
    paired_windows,
)
from tinyreader.errors import RunError, SettingsError
from tinyreader.models import LoadedReader, load_reader, max_tokens, model_fingerprint
from tinyreader.runtimes.openvino import EngineSettings, open_openvino, resolve_precision
from tinyreader.storage import cache_directory, text_hash
from tinyreader.tokenizer import tokenizer_difference

MAIN = "teacher"
"""What `[teacher]` is called beside the names of others."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher before it is run; `source` is its directory, None where the program handed it over in memory."""

    name: str
    source: Path | None
    tokenizer: Tokenizer
    weight: float
    max_tokens: int | None
    pad_id: int
    other_tokenizer: bool
    fingerprint: str


def open_teacher(
    name: str, weight: float, reader: LoadedReader, student: Tokenizer, weights_hash: str | None = None
) -> Teacher:
    """The `Teacher` that a loaded reader is for a student with that tokenizer.

    Its fingerprint is that of its weights (`weights_hash`, where they have no directory), with its tokenizer and
    the rules of alignment where the student has another.
    """
    other_tokenizer = bool(tokenizer_difference(reader.tokenizer, student))
    return Teacher(
        name,
        None if weights_hash else reader.source,
        reader.tokenizer,
        weight,
        max_tokens(reader.model),
        pad_token(reader.config),
        other_tokenizer,
        _fingerprint(weights_hash or model_fingerprint(reader.source), reader.tokenizer, other_tokenizer),
    )


def _fingerprint(weights: str, tokenizer: Tokenizer, other_tokenizer: bool) -> str:
    return text_hash(f"{weights} {tokenizer.to_str()} {alignment.VERSION}") if other_tokenizer else weights


def check_unchanged(teacher: Teacher) -> None:
    """Raises `RunError` where the teacher's files are others than when the run began.

    Its outputs would be kept, for this and all later runs, as those of the weights that were there then.
    """
    if teacher.source is None:
        return
    weights = model_fingerprint(teacher.source)
    if _fingerprint(weights, teacher.tokenizer, teacher.other_tokenizer) != teacher.fingerprint:
        raise RunError(
            f"the weights of the {describe(teacher)} in {teacher.source} have changed since the run began. "
            "Put the earlier "
            "ones back and run the same command again, or begin another run with another --out."
        )


def open_teachers(
    recipe: Recipe, main: LoadedReader | None, student: Tokenizer, weights_hash: str | None = None
) -> tuple[Teacher, ...]:
    """All teachers of a recipe, the main one first; each is read once, and of the others no weights are
    kept.
    """
    if main is None or recipe.teacher is None:
        return ()
    more = (
        open_teacher(each.name, each.weight, load_reader(each.model, revision=each.revision), student)
        for each in recipe.more_teachers
    )
    return (open_teacher(MAIN, recipe.teacher.weight, main, student, weights_hash), *more)


def check_engine(recipe: Recipe, teachers: Sequence[Teacher], session: Session) -> None:
    """Raises `SettingsError` where the engine that the recipe names cannot run its teachers."""
    if recipe.training.teacher_engine == "openvino":
        resolve_precision(session.precision)
        if any(teacher.source is None for teacher in teachers):
            raise SettingsError(
                "training.teacher_engine = 'openvino' reads the teacher from its directory, but it was given as a "
                "loaded model. Give its directory, or use teacher_engine = 'torch'."
            )


def check_windows(teachers: Sequence[Teacher], max_seq_len: int) -> None:
    """Raises `SettingsError` where a teacher that reads the student's own windows cannot take them whole."""
    for teacher in teachers:
        if (
            teacher.max_tokens is not None
            and not teacher.other_tokenizer
            and max_seq_len > teacher.max_tokens
        ):
            raise SettingsError(
                f"data.max_seq_len is {max_seq_len}, but the {describe(teacher)} takes at most "
                f"{teacher.max_tokens} tokens "
                "at once."
            )


def check_alignable(pairs: PairStore, rows: Rows, teacher: Teacher, stage: str) -> None:
    """Raises `SettingsError` where the teacher cannot read a window in one piece: its states then do not line
    up.
    """
    if n := int(np.count_nonzero(pairs.n_pieces(rows) > 1)):
        raise SettingsError(
            f"stage {stage!r} compares what the teacher computes inside, but {n:,} of its {len(rows):,} "
            "windows have more "
            f"tokens for the {describe(teacher)} than it takes at once ({teacher.max_tokens}). Lower "
            "data.max_seq_len, or "
            "take the stage out: prediction stages may read a window in pieces."
        )


def describe(teacher: Teacher) -> str:
    """The teacher in a sentence: `teacher`, or `teacher 'roberta'`."""
    return "teacher" if teacher.name == MAIN else f"teacher {teacher.name!r}"


def outputs_folder(recipe: Recipe, out: Path) -> Path:
    """The directory of the teachers' outputs."""
    where = recipe.training.teacher_outputs
    return {"run": out / "labels", "cache": cache_directory() / "teacher-outputs"}.get(where) or Path(
        where
    ).expanduser()


def check_outputs(recipe: Recipe, out: Path) -> None:
    """Makes the directory of the teachers' outputs; `SettingsError` where there cannot be one, before a stage
    is trained.
    """
    folder = outputs_folder(recipe, out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"training.teacher_outputs = {recipe.training.teacher_outputs!r}: {folder} cannot be made "
            f"({error.strerror}). "
            "Give a directory that you may write to."
        ) from None


class _Report(PassReport):
    """A pass of a teacher in a run's log and on its progress line; a stop that was asked for ends it."""

    def __init__(self, session: Session, teacher: Teacher, name: str) -> None:
        self.session, self.teacher, self.name = session, describe(teacher), name

    def progress(self, done: int, of: int) -> None:
        self.session.progress.show(f"{self.teacher} {done:,}/{of:,} windows", force=done == of)
        self.session.stop.check(
            f"The teacher's outputs are kept up to window {done:,} of {of:,}. The same command resumes there."
        )

    def computed(self, n_windows: int, seconds: float) -> None:
        self.session.log.write("teacher", windows=n_windows, seconds=round(seconds, 3), outputs=self.name)

    def reused(self, source: str, n_windows: int, seconds: float) -> None:
        self.session.log.write(
            "teacher_taken", windows=n_windows, seconds=round(seconds, 3), outputs=self.name, source=source
        )

    def waiting(self) -> None:
        self.session.progress.show(f"{self.teacher}: another run computes its outputs; waiting")
        self.session.stop.check("Nothing was under way here.")

    def found(self, n_windows: int, seconds: float) -> None:
        if not any(line.get("outputs") == self.name for line in self.session.log.read()):
            self.session.progress.say(f"the teacher's outputs for {n_windows:,} windows are there already")
            self.session.log.write(
                "teacher_found", windows=n_windows, seconds=round(seconds, 3), outputs=self.name
            )


class Teaching:
    """What the teachers of a run give: their windows are cut first, then their outputs computed."""

    def __init__(
        self,
        recipe: Recipe,
        teachers: tuple[Teacher, ...],
        main: LoadedReader | None,
        student: LoadedReader,
        session: Session,
    ) -> None:
        self.recipe, self.teachers, self.main, self.student = recipe, teachers, main, student
        self.session = session
        self._pairs: dict[tuple[str, str], PairStore] = {}
        self._network: Network | None = None

    def cut_windows(self, stage: StageSettings, scanned: Scanned, store: FeatureStore, rows: Rows) -> None:
        """Cuts, under the run's directory, what teachers with other tokenizers read in a stage, and checks
        that they can.
        """
        needed = {"labels": (), "intermediate": self.teachers[:1], "prediction": self.teachers}[stage.kind]
        if stage.kind == "prediction" and self.recipe.training.teacher_outputs != "run":
            check_outputs(self.recipe, self.session.out)
        for teacher in (teacher for teacher in needed if teacher.other_tokenizer):
            key = (teacher.name, store.fingerprint)
            if key not in self._pairs:
                self._pairs[key] = teacher_windows(
                    scanned,
                    store,
                    self.recipe.data,
                    self.student.tokenizer,
                    teacher.tokenizer,
                    teacher.max_tokens,
                    self.session,
                )
            if stage.kind == "intermediate":
                check_alignable(self._pairs[key], rows, teacher, stage.name)

    def network(self) -> Network:
        """The main teacher as a network, in evaluation mode; made once, and again after its predictions were
        asked for.
        """
        assert self.main is not None
        if self._network is None:
            self._network = self._network_of(self.main)
        return self._network

    def cross_tokenizer(self, store: FeatureStore) -> CrossTokenizer | None:
        """Brings the main teacher's states to the student's tokens; None where both have the same tokenizer."""
        main = self.teachers[0]
        return (
            CrossTokenizer(self._pairs[main.name, store.fingerprint], main.pad_id)
            if main.other_tokenizer
            else None
        )

    def labels(self, store: FeatureStore, rows: Rows) -> SpanLabels:
        """What the teachers say of the rows, from disk where an earlier stage, start or run computed it."""
        kept = [self._outputs(teacher, store, rows) for teacher in self.teachers]
        self._network = None  # its outputs are on disk now
        return kept[0] if len(kept) == 1 else MeanLabels(kept, [teacher.weight for teacher in self.teachers])

    def _outputs(self, teacher: Teacher, store: FeatureStore, rows: Rows) -> TeacherLabels:
        engine, precision = self.recipe.training.teacher_engine, self.session.precision
        forward = _on_first_use(lambda: self._forward(teacher))
        parts = [teacher.fingerprint, store.fingerprint, precision, engine]
        if teacher.other_tokenizer:
            pairs = self._pairs[teacher.name, store.fingerprint]
            parts.append(pairs.windows.fingerprint)
            compute, key, lengths = (
                paired_windows(forward, pairs, teacher.pad_id),
                paired_key(pairs),
                pairs.lengths,
            )
        else:
            compute = own_windows(forward, store, pad_token(self.student.config))
            key, lengths = own_key(store), store.lengths
        asked = Pass(
            identity=json.dumps(parts),
            teacher=text_hash(json.dumps([teacher.fingerprint, precision, engine])),
            batches=sorted_batches(rows, lengths, MAX_BATCH_TOKENS),
            compute=compute,
            key=key,
        )
        cache = TeacherCache(outputs_folder(self.recipe, self.session.out))
        with self.session.accelerator.main_process_first():
            return cache.outputs(asked, _Report(self.session, teacher, asked.name))

    def _forward(self, teacher: Teacher) -> Forward:
        """The teacher's forward pass by the engine that the recipe names."""
        if self.recipe.training.teacher_engine == "openvino":
            assert teacher.source is not None  # check_engine
            settings = EngineSettings(self.session.precision, self.recipe.training.threads)
            runtime = open_openvino(teacher.source, settings)
            check_unchanged(teacher)
            return by_runtime(runtime)
        if teacher.name == MAIN:
            return by_network(self.network(), self.session.device)
        assert teacher.source is not None  # only the main teacher can be handed over
        network = self._network_of(load_reader(teacher.source))
        check_unchanged(teacher)
        return by_network(network, self.session.device)

    def _network_of(self, reader: LoadedReader) -> Network:
        model = copy.deepcopy(reader.model).eval()
        return Network(model, precision=self.session.precision, device=self.session.device)


def _on_first_use(make: Callable[[], Forward]) -> Forward:
    """A forward pass that is made ready when it is first run: not where all that was asked for is on disk."""
    made = cache(make)
    return lambda batch: made()(batch)
