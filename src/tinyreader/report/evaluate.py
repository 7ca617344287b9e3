"""Evaluate what ships: a reader through the engine a user runs, and everything a report says about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tinyreader.data import Example, fingerprint
from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import Version
from tinyreader.progress import Progress, StopSwitch
from tinyreader.reader import Reader
from tinyreader.report import eye, layers, measure, slices
from tinyreader.report.figures import NAMES, figures
from tinyreader.report.languages import OFFICIAL, language_of
from tinyreader.report.machine import (
    ENGINE_PACKAGES,
    PACKAGES,
    machine,
    parameters,
    peak_memory_bytes,
    size_on_disk,
    versions,
    weights_fingerprint,
)
from tinyreader.report.output import check_output, remove_old_plots
from tinyreader.report.page import Shown, page
from tinyreader.report.plots import require_matplotlib, save
from tinyreader.report.reading import answer_threshold, latencies, percentiles, read_examples
from tinyreader.report.record import PAGE, Question, Report, save_report
from tinyreader.report.training import run_record, training
from tinyreader.storage import atomic_text
from tinyreader.windows import Windower, WindowSettings

ATTENTION_EXAMPLES = 4
"""Of so many examples the attention is shown: of a reader with 6 layers of 12 heads and its teacher, a
megabyte each.
"""

NOTHING_SAVED = "Nothing was written; the same command starts again."


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How a report is made. `script`: the official script to follow. `samples`: bootstrap samples.
    `latency_questions`: so many are asked alone, for their latency. `shown`: worst examples; `eye`: examples
    whose probabilities are shown. `layers` looks inside with torch. `plots`: False needs no matplotlib.
    """

    script: Version = "2.0"
    normalisation: str = OFFICIAL
    samples: int = 1000
    latency_questions: int = 200
    shown: int = 40
    eye: int = 8
    layers: bool = False
    plots: bool = True

    def __post_init__(self) -> None:
        language_of(self.normalisation)
        if self.samples < 1:
            raise SettingsError(f"samples is {self.samples}; it must be at least 1.")
        for name in ("latency_questions", "shown", "eye"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 0.")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated, and what stands beside it: the reader and its directory, the teacher's answers by
    question, the teacher as a reader with its directory, and the directory of the run that made the reader;
    None for what is not there.
    """

    reader: Reader
    directory: Path
    name: str
    teacher_answers: Mapping[str, str] | None = None
    teacher: Reader | None = None
    teacher_directory: Path | None = None
    run: Path | None = None


@dataclass(slots=True)
class _Clock:
    """Seconds since it began."""

    began: float = field(default_factory=time.perf_counter)

    def __call__(self) -> float:
        return time.perf_counter() - self.began


def evaluate(
    subject: Subject,
    data: str,
    examples: Sequence[Example],
    out: Path,
    options: EvaluateOptions | None = None,
    *,
    split: str | None = None,
    left_out: int = 0,
    progress: Progress | None = None,
    stop: StopSwitch | None = None,
) -> Report:
    """The report on the reader, written to the directory `out` as well, with its page and its plots.

    `data` names the examples, and `split` the part of a Hub data set that they are. Raises `DataError` for
    data that cannot be evaluated, `MissingExtraError` and `SettingsError` before work is spent, and
    `Interrupted` where `stop` was asked for; nothing is written then.
    """
    options, progress, stop = (
        options or EvaluateOptions(),
        progress or Progress(quiet=True),
        stop or StopSwitch(),
    )
    clock = _Clock()
    _check(subject, examples, out, options)
    trained = None if subject.run is None else training(subject.run)
    checking_seconds = clock()

    def tick(done: int) -> None:
        stop.check(NOTHING_SAVED)
        progress.show(f"{done:,}/{len(examples):,} questions", force=done == len(examples))

    clock = _Clock()
    found = read_examples(subject.reader, examples, tick)
    reading_seconds = clock()
    taken = latencies(
        subject.reader, examples, options.latency_questions, check=lambda: stop.check(NOTHING_SAVED)
    )
    peak = peak_memory_bytes()
    progress.say(f"read {len(examples):,} questions, {len(examples) / reading_seconds:.1f} a second")

    clock = _Clock(time.perf_counter() - checking_seconds)
    settings = subject.reader.settings.windows
    texts = measure.measure_texts(examples, subject.reader.tokenizer, settings)
    questions = measure.judge(
        examples,
        found,
        texts,
        options.normalisation,
        always_answers=options.script == "1.1",
        teacher=subject.teacher_answers,
    )
    shown = _shown(subject, examples, questions, options)
    stop.check(NOTHING_SAVED)
    threshold = measure.shipped_threshold(options.script, answer_threshold(subject.reader.settings))
    report = Report(
        model={
            "name": subject.name,
            "parameters": parameters(subject.directory),
            "size_bytes": size_on_disk(subject.directory),
            "weights": weights_fingerprint(subject.directory),
            "run": run_record(subject.directory),
        },
        reader={
            "engine": subject.reader.engine,
            "precision": subject.reader.precision,
            "settings": asdict(subject.reader.settings),
        },
        data={
            "name": data,
            "split": split,
            "fingerprint": fingerprint(examples),
            "questions": len(examples),
            "answerable": sum(not e.is_impossible for e in examples),
            "left_out": left_out,
        },
        normalisation=options.normalisation,
        official={
            "script": options.script,
            "na_prob_thresh": threshold if math.isfinite(threshold) else None,
        },
        scores=measure.official_scores(examples, questions, options.script, threshold, options.normalisation),
        answered=measure.answered_scores(questions),
        intervals=measure.intervals(questions, options.samples),
        calibration=measure.calibration(questions),
        curves=measure.all_curves(questions),
        slices=slices.by_slices(questions, options.samples),
        speed={
            "questions_per_second": round(len(examples) / reading_seconds, 3),
            "latency_ms": percentiles(taken),
            "latency_questions": len(taken),
            "latency_seconds": round(sum(taken) / 1000.0, 3),
            "peak_memory_bytes": peak,
            "reading_seconds": round(reading_seconds, 3),
            "report_seconds": 0.0,
        },
        machine=machine(),
        versions=versions([*PACKAGES, *ENGINE_PACKAGES.get(subject.reader.engine, ())]),
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        teacher=_teacher_scores(questions),
        training=trained,
        layers=_layers(subject, examples, settings, progress, stop) if options.layers else None,
    )
    stop.check(NOTHING_SAVED)
    return _write(report, questions, shown, out, options, clock)


def _check(subject: Subject, examples: Sequence[Example], out: Path, options: EvaluateOptions) -> None:
    """What can be known before work is spent."""
    check_output(out)
    if not examples:
        raise DataError("there are no questions to evaluate on.")
    if options.script == "1.1" and any(e.is_impossible for e in examples):
        raise DataError(
            "there are questions without answer, which SQuAD 1.1 does not have; evaluate by version 2.0."
        )
    if options.plots:
        require_matplotlib()
    if options.layers:
        layers.require_torch()
    windower = Windower(subject.reader.tokenizer, subject.reader.settings.windows)
    for example in examples:
        windower.check_question(example)


def _shown(
    subject: Subject, examples: Sequence[Example], questions: Sequence[Question], options: EvaluateOptions
) -> Shown:
    """What the page shows of single questions."""
    worst, lost = slices.failures(questions, options.shown), slices.lost(questions, options.shown)
    rows = eye.chosen_rows(questions, worst, lost, options.eye)
    return Shown(
        examples,
        questions,
        [(f.row, f.kind) for f in worst],
        [(f.row, f.kind) for f in lost],
        slices.mistakes(questions),
        slices.with_teacher(questions),
        _eye(subject, examples, questions, rows, options),
    )


def _eye(
    subject: Subject,
    examples: Sequence[Example],
    questions: Sequence[Question],
    rows: Sequence[int],
    options: EvaluateOptions,
) -> list[dict[str, Any]]:
    """The views of the chosen questions: reader, teacher where it is there, and their attention where that
    was asked for.
    """
    if not rows:
        return []
    chosen = [examples[n] for n in rows]
    views = {"this reader": (subject.reader, subject.directory)}
    if subject.teacher is not None and subject.teacher_directory is not None:
        views["the teacher"] = (subject.teacher, subject.teacher_directory)
    items: list[dict[str, Any]] = [
        {
            "label": f"{e.question[:90]} ({'right' if questions[n].exact == 1.0 else slices.mistake(questions[n])})",
            "question": e.question,
            "context": e.context,
            "gold": list(dict.fromkeys(a.text for a in e.answers)),
            "views": [],
            "attention": [],
        }
        for n, e in zip(rows, chosen, strict=True)
    ]
    for who, (reader, directory) in views.items():
        found = read_examples(reader, chosen)
        for item, read, view in zip(items, found, eye.probabilities(reader, chosen), strict=True):
            item["views"].append({"who": who, "said": read.text if read.answered else "", **view})
        if options.layers:
            inside = layers.Inside(directory)
            for item, example, n in islice(zip(items, chosen, rows, strict=True), ATTENTION_EXAMPLES):
                shown = layers.attention_view(
                    inside, example, reader.settings.windows, _around(example, questions[n])
                )
                if shown is not None:
                    item["attention"].append({"who": who, **shown})
    return items


def _around(example: Example, question: Question) -> tuple[int, int]:
    """The code points to look at: the first gold answer's, else the reader's best span."""
    answer = example.answers[0] if example.answers else None
    return (question.start, question.end) if answer is None else (answer.start, answer.end)


def _layers(
    subject: Subject,
    examples: Sequence[Example],
    settings: WindowSettings,
    progress: Progress,
    stop: StopSwitch,
) -> dict[str, Any] | None:
    """How far reader and teacher are apart per layer, and after each stage of the run whose weights are
    there.
    """
    if subject.teacher_directory is None:
        return None
    progress.say("comparing layers with the teacher's")
    teacher = layers.Inside(subject.teacher_directory)
    try:
        measured = layers.agreement(layers.Inside(subject.directory), teacher, examples, settings)
    except SettingsError as error:
        return {"note": str(error)}
    stages = [] if subject.run is None else list(layers.stages_of(subject.run))
    measured["stages"] = []
    for name, weights in stages:
        stop.check(NOTHING_SAVED)
        after = layers.agreement(layers.Inside(subject.directory, weights), teacher, examples, settings)
        measured["stages"].append({"name": name, "hidden": [min(row) for row in after["hidden"]]})
    return measured


def _write(
    report: Report,
    questions: Sequence[Question],
    shown: Shown,
    out: Path,
    options: EvaluateOptions,
    clock: Callable[[], float],
) -> Report:
    """Writes everything and returns the report, which then says how long all but its own writing took."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = save(list(figures(report)), out) if options.plots else {}
    report = replace(report, speed=report.speed | {"report_seconds": round(clock(), 3)})
    with atomic_text(out / PAGE) as file:
        file.write(page(report, shown, drawn))
    remove_old_plots(out, NAMES, drawn)
    save_report(report, questions, out)
    return report


def _teacher_scores(questions: Sequence[Question]) -> dict[str, Any] | None:
    """The teacher's exact match and F1 in percent, None without its answers."""
    exact = [q.teacher_exact for q in questions if q.teacher_exact is not None]
    f1 = [q.teacher_f1 for q in questions if q.teacher_f1 is not None]
    if not exact:
        return None
    return {"exact": 100.0 * sum(exact) / len(exact), "f1": 100.0 * sum(f1) / len(f1)}
