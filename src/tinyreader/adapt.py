"""A reader adapted to questions of your own, and whether that helped.

The reader is trained on most of the questions, together with everyday questions of the package so that nothing else is
forgotten. A fifth of the questions is held out, whole documents where there are enough; on these, and on everyday documents
that no reader was trained on, it is scored before and after, and its no-answer threshold is learned.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.data import Example, load_examples, remove_answers, sample, split_by_article, write_squad
from tinyreader.data.split import group_articles
from tinyreader.distil.recipe import load_recipe
from tinyreader.distil.run import run_recipe
from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import Difference, paired_bootstrap
from tinyreader.model_files import STARTER
from tinyreader.progress import Progress
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.reader.settings import write_settings
from tinyreader.report.calibrate import learn, score
from tinyreader.report.calibration import Scored, decisions, pooled
from tinyreader.storage import write_json

MIN_QUESTIONS = 20
"""Fewer questions than this cannot be split into a part to learn from and a part to score on."""

REPORT_FILE = "adapt.json"
TRAINING = "training"

_MIN_DOCUMENTS = 5  # with fewer, a fifth of the documents is none, or too much
_MIN_EVERYDAY = 600
_ENOUGH_TO_CALIBRATE = 400  # questions; a threshold learned on few follows their noise


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """How a reader is adapted.

    `held_out` is the share of the questions to score on, `everyday` the number of everyday questions mixed in (None: as
    many as there are own ones, 600 or more), `epochs` the passes over both.
    """

    model: str = STARTER
    held_out: float = 0.2
    everyday: int | None = None
    epochs: float = 3.0
    learning_rate: float = 1e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Mean F1 in percent on questions held out, each reader with its own threshold, and the paired difference."""

    questions: int
    before: float
    after: float
    difference: Difference

    @property
    def is_gain(self) -> bool:
        """Whether the 95 % interval of the difference lies above 0."""
        return self.difference.low > 0

    @property
    def is_loss(self) -> bool:
        """Whether the 95 % interval of the difference lies below 0."""
        return self.difference.high < 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What adapting did, on your own questions and on everyday ones.

    `by_document` says whether the own questions held out are of documents that no training question is on,
    `is_calibrated` whether a threshold could be learned; otherwise that of the reader before is kept.
    """

    directory: Path
    own: Change
    everyday: Change
    n_trained: int
    by_document: bool
    is_calibrated: bool
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data, without the directory."""
        content = asdict(self)
        del content["directory"]
        return content | {"helped": self.own.is_gain}


def adapt(
    examples: Sequence[Example],
    out: Path,
    settings: AdaptSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Adapt a reader to the examples and leave it in `out`, with its threshold and a report.

    Run again after a stop, it resumes. Raises `DataError` for fewer than `MIN_QUESTIONS` examples, and `SettingsError`
    where `out` holds something else than an adapted reader.
    """
    settings, progress = settings or AdaptSettings(), progress or Progress(quiet=True)
    began = time.monotonic()
    if len(examples) < MIN_QUESTIONS:
        raise DataError(
            f"{len(examples)} questions are too few to adapt a reader to; give at least {MIN_QUESTIONS}"
        )
    _check_out(out)
    train, own, by_document = _split(examples, settings)
    everyday = load_examples(everyday_file("held-out"))
    mixture = mix(train, load_examples(everyday_file("train")), settings)
    training = out / TRAINING
    training.mkdir(parents=True, exist_ok=True)
    write_squad(mixture, training / "data.json")
    before = _Side.of(settings.model, (own, everyday), progress)
    recipe = load_recipe("adapt", _overrides(training / "data.json", settings, before.settings))
    student = run_recipe(recipe, training, progress).student
    after = _Side.of(str(student), (own, everyday), progress)
    learned = _learned(after.parts)
    changed = before.settings.changed(learned)
    own_change, everyday_change = (
        _change(theirs, before.settings, ours, changed)
        for theirs, ours in zip(before.parts, after.parts, strict=True)
    )
    seconds = round(time.monotonic() - began, 1)
    outcome = Outcome(out, own_change, everyday_change, len(mixture), by_document, bool(learned), seconds)
    for file in student.iterdir():
        shutil.copy2(file, out / file.name)
    write_settings(changed, out)  # not beside the student, which a second run reads as it was trained
    write_json(out / REPORT_FILE, outcome.as_dict() | {"settings": asdict(settings)})
    return outcome


def mix(own: Sequence[Example], everyday: Sequence[Example], settings: AdaptSettings) -> list[Example]:
    """The own questions, the suitable ones of them also with their answer removed, and everyday ones of the same kinds.

    Where there are few own questions they are repeated, up to four times, to weigh as much as the everyday ones.
    """
    removed = list(remove_answers(own, None, settings.seed).examples)
    mine = [*own, *_unanswerable_as_often(own, removed, settings.seed)]
    n_everyday = max(_MIN_EVERYDAY, len(mine)) if settings.everyday is None else settings.everyday
    repeats = min(4, max(1, round(n_everyday / len(mine))))
    copies = [
        Example(f"{one.id}#{n}" if n else one.id, one.question, one.context, one.answers, title=one.title)
        for n in range(repeats)
        for one in mine
    ]
    others = [*everyday, *remove_answers(everyday, None, settings.seed).examples]
    n_others = min(n_everyday, 2 * sum(not one.is_impossible for one in everyday))
    drawn = sample(others, n_questions=n_others, unanswerable=0.5, seed=settings.seed) if n_others else []
    taken = {one.id for one in copies}
    return [*copies, *(one for one in drawn if one.id not in taken)]


def everyday_file(part: str) -> Path:
    """The everyday set's `train` or `held-out` part, in the package or in the checkout that it runs from."""
    installed = Path(str(files("tinyreader"))) / "everyday" / f"{part}.json.gz"
    checkout = Path(__file__).parents[2] / "data" / "everyday" / f"{part}.json.gz"
    return installed if installed.exists() else checkout


def _unanswerable_as_often(own: Sequence[Example], removed: Sequence[Example], seed: int) -> list[Example]:
    """As many of the removed ones as are lacking for half of the questions to have no answer."""
    n_without = sum(one.is_impossible for one in own)
    lacking = min(len(removed), len(own) - 2 * n_without)
    return sample(removed, n_questions=lacking, seed=seed) if lacking > 0 else []


def _split(examples: Sequence[Example], settings: AdaptSettings) -> tuple[list[Example], list[Example], bool]:
    """Questions to train on, questions to score on, and whether whole documents were held out."""
    by_document = len(set(group_articles(examples))) >= _MIN_DOCUMENTS
    if by_document:
        return *split_by_article(examples, settings.held_out, settings.seed), True
    n_held_out = math.ceil(settings.held_out * len(examples))
    held_out = sample(examples, n_questions=n_held_out, seed=settings.seed)
    ids = {one.id for one in held_out}
    return [one for one in examples if one.id not in ids], held_out, False


def _overrides(data: Path, settings: AdaptSettings, reader: ReaderSettings) -> list[str]:
    given = {
        "student.model": settings.model,
        "data.train": str(data),
        "data.max_seq_len": reader.max_seq_len,
        "data.doc_stride": reader.doc_stride,
        "stages.labels.epochs": settings.epochs,
        "stages.labels.learning_rate": settings.learning_rate,
        "training.seed": settings.seed,
    }
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]


@dataclass(frozen=True, slots=True)
class _Side:
    """A reader's settings, and its best answers to each part of the questions."""

    settings: ReaderSettings
    parts: tuple[Scored, ...]

    @classmethod
    def of(cls, model: str, parts: Sequence[Sequence[Example]], progress: Progress) -> _Side:
        reader = Reader.from_pretrained(model)
        return cls(
            reader.settings, tuple(score(reader, part, _show(progress, len(part)))[0] for part in parts)
        )


def _learned(parts: Sequence[Scored]) -> dict[str, float]:
    """What own and everyday questions held out teach about threshold and scores; nothing where the odds say nothing.

    The own ones count as much as the everyday ones where there are enough of them, and less where chance rules them.
    """
    share = min(0.5, len(parts[0]) / _ENOUGH_TO_CALIBRATE)
    try:
        return learn(pooled(parts, (share, 1 - share))).calibration.changes()
    except DataError:  # the odds say nothing about these questions
        return {}


def _show(progress: Progress, n: int) -> Callable[[int], None]:
    return lambda done: progress.show(f"scoring {done}/{n}", force=done == n)


def _change(
    before: Scored, before_settings: ReaderSettings, after: Scored, after_settings: ReaderSettings
) -> Change:
    theirs, ours = decisions(before, before_settings)[2], decisions(after, after_settings)[2]
    difference = paired_bootstrap(100 * ours, 100 * theirs)
    return Change(len(theirs), 100 * float(np.mean(theirs)), 100 * float(np.mean(ours)), difference)


def _check_out(out: Path) -> None:
    """Raise `SettingsError` for a place that holds something else, before work is spent."""
    if out.is_dir() and any(out.iterdir()) and not (out / TRAINING).is_dir():
        raise SettingsError(
            f"{out} holds something else than an adapted reader; give another --out, or remove it"
        )
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file; give a directory for the adapted reader")
