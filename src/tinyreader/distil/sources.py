"""A run's data: read once and checked, rewritten where a stage asks for it, cut into windows on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tinyreader.augment.job import Input, Scan, augment_file
from tinyreader.augment.paragraphs import paragraphs_of
from tinyreader.augment.proposer import AugmentOptions, Proposer
from tinyreader.augment.proposers import fingerprints
from tinyreader.data import Example, Fingerprint, ReadReport, iter_examples, load_examples, require_rereadable
from tinyreader.distil import alignment
from tinyreader.distil.features import FeatureStore, read_counts, write_counts, write_features
from tinyreader.distil.pairs import Pair, Pairer, PairStore, write_pairs
from tinyreader.distil.session import Session
from tinyreader.distil.settings import (
    AugmentSettings,
    DataSettings,
    EvaluationSettings,
    StageSettings,
    TrainingSettings,
)
from tinyreader.errors import SettingsError
from tinyreader.progress import Progress, stoppable
from tinyreader.storage import text_hash
from tinyreader.windows import WindowCounts, Windower, WindowSettings


@dataclass(frozen=True, slots=True)
class Source:
    """A data set by name: a file or a Hub id, and its split."""

    name: str
    split: str | None = None

    @property
    def label(self) -> str:
        """The name, and the split where there is one."""
        return f"{self.name} {self.split or ''}".strip()

    @classmethod
    def of_stage(cls, stage: StageSettings, data: DataSettings) -> Source:
        """The stage's own data, or the recipe's training data."""
        return cls(data.train, data.train_split) if stage.data is None else cls(stage.data, stage.data_split)


@dataclass(frozen=True, slots=True)
class Scanned:
    """A data set that has been read once from end to end: nothing in it will stop the run later.

    `n_paragraphs` are those that a rewriting takes; 0 where the data is not to be rewritten.
    """

    source: Source
    fingerprint: str
    report: ReadReport
    n_paragraphs: int = 0

    def facts(self) -> dict[str, Any]:
        """What a run's record says of it."""
        r = self.report
        counts = {
            "questions": r.n_kept,
            "repaired": r.n_repaired,
            "skipped": r.n_skipped,
            "unread": r.n_unread,
        }
        return {"fingerprint": self.fingerprint, **counts}


def window_settings(data: DataSettings) -> WindowSettings:
    """How the recipe cuts texts into windows."""
    return WindowSettings(data.max_seq_len, data.doc_stride, data.max_question_tokens, data.on_long_question)


def scan(
    source: Source, data: DataSettings, rejects: Path, session: Session, *, to_rewrite: bool = False
) -> Scanned:
    """Reads the whole of `source`; what was left out or repaired is reported, and written to `rejects` with its
    reasons.

    Data that is `to_rewrite` is taken as the rewriting takes it, so that what it would refuse is refused now.
    """
    require_rereadable(source.name)
    report, running, n_paragraphs = ReadReport(), Fingerprint(), 0
    examples = stoppable(
        iter_examples(source.name, split=source.split, on_bad=data.on_bad, rejected=report), session.stop
    )
    if to_rewrite:
        for paragraph in paragraphs_of(examples):
            n_paragraphs += 1
            for example in paragraph:
                running.update(example)
    else:
        for example in examples:
            running.update(example)
    _report_rejected(source.name, report, rejects, session.progress)
    if not report.n_kept:
        raise SettingsError(f"{source.name} has no usable example to train on.")
    return Scanned(source, running.hexdigest(), report, n_paragraphs)


def features(scanned: Scanned, data: DataSettings, tokenizer: Tokenizer, session: Session) -> FeatureStore:
    """The data set's windows, made on the first call with these texts, tokenizer and settings."""
    settings = window_settings(data)
    key = {
        "data": scanned.fingerprint,
        "tokenizer": text_hash(tokenizer.to_str()),
        "windows": asdict(settings),
    }
    fingerprint = text_hash(json.dumps(key, sort_keys=True))
    target = session.out / "features" / fingerprint
    if (counts := read_counts(target)) is None:
        session.progress.say(
            f"{scanned.source.name}: {scanned.report.n_kept:,} questions; cutting them into windows"
        )
        windower = Windower(tokenizer, settings)
        examples = iter_examples(scanned.source.name, split=scanned.source.split, on_bad=data.on_bad)
        write_features(
            stoppable(windower.windows(examples), session.stop),
            target,
            vocab_size=max(tokenizer.get_vocab().values()) + 1,
            fingerprint=fingerprint,
        )
        write_counts(windower.counts, target)
        counts = windower.counts
    store = FeatureStore(target)
    _report_losses(counts, session.progress)
    return store


def teacher_windows(
    scanned: Scanned,
    store: FeatureStore,
    data: DataSettings,
    student: Tokenizer,
    teacher: Tokenizer,
    max_tokens: int | None,
    session: Session,
) -> PairStore:
    """The windows that a teacher with another tokenizer reads for those of the store; made on the first call.

    `max_tokens` is the longest input that the teacher takes; None where it has no limit.
    """
    key = {
        "windows": store.fingerprint,
        "teacher": text_hash(teacher.to_str()),
        "max_tokens": max_tokens,
        "overlap": data.doc_stride,
        "alignment": alignment.VERSION,
    }
    fingerprint = text_hash(json.dumps(key, sort_keys=True))
    target = session.out / "pairs" / fingerprint
    if not target.exists():
        session.progress.say(
            f"{scanned.source.name}: cutting {len(store):,} windows for a teacher with another tokenizer"
        )
        pairer = Pairer(student, teacher, window_settings(data), max_tokens)

        def pairs() -> Iterator[Pair]:
            examples = iter_examples(scanned.source.name, split=scanned.source.split, on_bad=data.on_bad)
            return pairer.pairs(stoppable(examples, session.stop))

        vocab_size = max(teacher.get_vocab().values()) + 1
        write_pairs(pairs, target, vocab_size=vocab_size, fingerprint=fingerprint)
    return PairStore(target, store)


def development_examples(
    data: DataSettings, evaluation: EvaluationSettings, seed: int, session: Session
) -> list[Example]:
    """The examples to measure on: all, or a seeded choice of `max_questions`, in their order; none without
    data.dev.
    """
    if data.dev is None:
        return []
    report, rejects = ReadReport(), session.out / "rejected-dev.jsonl"
    examples = load_examples(data.dev, split=data.dev_split, on_bad=data.on_bad, rejected=report)
    _report_rejected(data.dev, report, rejects, session.progress)
    limit = evaluation.max_questions
    if limit is None or limit >= len(examples):
        return examples
    chosen = np.random.default_rng([seed, 2]).permutation(len(examples))[:limit]
    return [examples[i] for i in sorted(chosen.tolist())]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What is rewritten, how and by whom; `key` stands for all of that, and so for what comes out."""

    plain: Scanned
    on_bad: Any
    options: AugmentOptions
    proposers: Sequence[Proposer]

    @property
    def key(self) -> str:
        """32 hexadecimal digits."""
        parts = [self.plain.fingerprint, self.options.as_dict(), fingerprints(self.proposers)]
        return text_hash(json.dumps(parts, sort_keys=True))


def plan_rewriting(
    plain: Scanned,
    settings: AugmentSettings,
    data: DataSettings,
    training: TrainingSettings,
    session: Session,
) -> Rewriting:
    """The rewriting that a stage on the data `plain` asks for, its proposers loaded and checked."""
    proposers = settings.proposers(training.precision).open(settings.candidates, session.progress.say)
    return Rewriting(plain, data.on_bad, settings.options(training.seed), proposers)


def rewrite(rewriting: Rewriting, session: Session) -> tuple[Scanned, dict[str, Any]]:
    """The rewritten data, made on the first call, and what making it counted."""
    target, plain = session.out / "augmented" / f"{rewriting.key}.jsonl.gz", rewriting.plain
    source, times = plain.source, rewriting.options.times
    session.progress.say(f"{source.name}: rewriting {plain.n_paragraphs:,} paragraphs {times} times")
    report = augment_file(
        Input(source.name, source.split, rewriting.on_bad),
        target,
        rewriting.proposers,
        rewriting.options,
        Scan(plain.fingerprint, plain.n_paragraphs, plain.report),
        session.progress,
        session.stop,
    )
    session.progress.say(f"{target.name}: {report}")
    facts = report.as_dict()
    made = facts["copied_examples"] + _kept_as_they_were(rewriting.options, facts)
    return Scanned(Source(str(target)), rewriting.key, ReadReport(n_kept=made), facts["paragraphs"]), facts


def _kept_as_they_were(options: AugmentOptions, facts: dict[str, Any]) -> int:
    return int(facts["examples"] if options.keep_original else facts["unchanged_examples"])


def _report_rejected(name: str, report: ReadReport, rejects: Path, progress: Progress) -> None:
    if report.skipped or report.repaired:
        report.write(rejects)
        progress.say(f"{name}: {report}; the reasons are in {rejects}")


def _report_losses(counts: WindowCounts, progress: Progress) -> None:
    progress.say(
        f"{counts.windows:,} windows of {counts.examples:,} questions, {counts.answerable_windows:,} with "
        "their answer inside"
    )
    reasons = {
        "truncated_questions": "questions were cut to fit",
        "answers_outside_every_window": "answers lie whole in no window and count as no answer",
        "answers_without_tokens": "answers have no token and count as no answer",
    }
    for name, reason in reasons.items():
        if n := getattr(counts, name):
            progress.say(f"  {n:,} {reason}")
