"""Evaluate what ships: a reader through the engine a user runs, and everything a report says about it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tinyreader.data import Example, fingerprint
from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import Version
from tinyreader.progress import Progress, StopSwitch
from tinyreader.reader import Reader
from tinyreader.report import layers, measure, slices, token_view
from tinyreader.report.figures import NAMES, figures
from tinyreader.report.languages import OFFICIAL, language_of
from tinyreader.report.machine import (
    ENGINE_PACKAGES,
    PACKAGES,
    machine,
    model_facts,
    peak_memory_bytes,
    versions,
)
from tinyreader.report.page import Shown, page
from tinyreader.report.plots import require_matplotlib, save
from tinyreader.report.reading import ReadQuestion, answer_threshold, latencies, percentiles, read_examples
from tinyreader.report.record import PAGE, Question, Report, check_output, remove_old_plots, save_report
from tinyreader.report.training import run_record, training
from tinyreader.storage import atomic_text
from tinyreader.windows import Windower

ATTENTION_EXAMPLES = 4
"""Number of examples whose attention is shown: a megabyte each, for a reader of 6 layers with 12 heads and its
teacher.
"""

NOTHING_SAVED = "Nothing was written; the same command starts again."


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How a report is made.

    `script`: the official script to follow. `samples`: of the bootstrap. `latency_questions`: number of
    questions read one at a time. `shown`: number of worst mistakes on the page; `token_views`: of examples
    shown token by token. `layers`: compare hidden states and attention with the teacher's, by torch. `plots`:
    False needs no matplotlib.
    """

    script: Version = "2.0"
    normalisation: str = OFFICIAL
    samples: int = 1000
    latency_questions: int = 200
    shown: int = 40
    token_views: int = 8
    layers: bool = False
    plots: bool = True

    def __post_init__(self) -> None:
        language_of(self.normalisation)
        if self.samples < 1:
            raise SettingsError(f"samples is {self.samples}; it must be at least 1.")
        for name in ("latency_questions", "shown", "token_views"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 0.")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: the reader and its directory. Beside it, where there are any: the teacher's answers by
    question id, the teacher as a reader and its directory, and the directory of the run that made the reader.
    """

    reader: Reader
    directory: Path
    name: str
    teacher_answers: Mapping[str, str] | None = None
    teacher: Reader | None = None
    teacher_directory: Path | None = None
    run: Path | None = None


@dataclass(frozen=True, slots=True)
class _Timed:
    """What the reader found for each question, and how fast: `speed` as the report has it."""

    found: list[ReadQuestion]
    speed: dict[str, Any]


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
    """The report on the reader, which is also written to the directory `out`, with its page and its plots.

    `data` names the examples, and `split` the part of a Hub data set that they are. Raises `DataError` for
    data that cannot be evaluated, `MissingExtraError` and `SettingsError` before work is spent, and
    `Interrupted` after `stop` was requested; nothing is written then.
    """
    options, progress, stop = (
        options or EvaluateOptions(),
        progress or Progress(quiet=True),
        stop or StopSwitch(),
    )
    began = time.perf_counter()
    _check(subject, examples, out, options)
    trained = None if subject.run is None else training(subject.run)
    checked = time.perf_counter()
    timed = _read(subject.reader, examples, options, progress, stop)
    seconds_apart = time.perf_counter() - checked  # of reading, which the report's own time leaves out

    questions = measure.score(
        examples,
        timed.found,
        measure.measure_texts(examples, subject.reader.tokenizer, subject.reader.settings.windows),
        options.normalisation,
        always_answers=options.script == "1.1",
        teacher=subject.teacher_answers,
    )
    shown = _shown(subject, examples, questions, options)
    stop.check(NOTHING_SAVED)
    report = _report(
        subject,
        _data_facts(data, split, examples, left_out),
        examples,
        questions,
        timed,
        options,
        training=trained,
        layers=_layers(subject, examples, progress, stop) if options.layers else None,
    )
    stop.check(NOTHING_SAVED)
    out.mkdir(parents=True, exist_ok=True)
    drawn = save(list(figures(report)), out) if options.plots else {}
    report_seconds = round(time.perf_counter() - began - seconds_apart, 3)
    report = replace(report, speed=report.speed | {"report_seconds": report_seconds})
    with atomic_text(out / PAGE) as file:
        file.write(page(report, shown, drawn))
    remove_old_plots(out, NAMES, drawn)
    save_report(report, questions, out)
    return report


def _check(subject: Subject, examples: Sequence[Example], out: Path, options: EvaluateOptions) -> None:
    """Raises what can be known before work is spent."""
    check_output(out)
    if not examples:
        raise DataError("there are no questions to evaluate on.")
    if options.script == "1.1" and any(e.is_impossible for e in examples):
        raise DataError(
            "there are unanswerable questions, which SQuAD 1.1 does not have; evaluate by version 2.0."
        )
    if options.plots:
        require_matplotlib()
    if options.layers:
        layers.require_torch()
    windower = Windower(subject.reader.tokenizer, subject.reader.settings.windows)
    for example in examples:
        windower.check_question(example)


def _read(
    reader: Reader,
    examples: Sequence[Example],
    options: EvaluateOptions,
    progress: Progress,
    stop: StopSwitch,
) -> _Timed:
    """Reads everything in one stream, then some questions one at a time for their latency."""

    def show(done: int) -> None:
        stop.check(NOTHING_SAVED)
        progress.show(f"{done:,}/{len(examples):,} questions", force=done == len(examples))

    began = time.perf_counter()
    found = read_examples(reader, examples, show)
    seconds = time.perf_counter() - began
    progress.say(f"read {len(examples):,} questions, {len(examples) / seconds:.1f} per second")
    taken = latencies(reader, examples, options.latency_questions, check=lambda: stop.check(NOTHING_SAVED))
    speed = {
        "questions_per_second": round(len(examples) / seconds, 3),
        "latency_ms": percentiles(taken),
        "latency_questions": len(taken),
        "latency_seconds": round(sum(taken) / 1000.0, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "reading_seconds": round(seconds, 3),
        "report_seconds": 0.0,
    }
    return _Timed(found, speed)


def _data_facts(data: str, split: str | None, examples: Sequence[Example], left_out: int) -> dict[str, Any]:
    return {
        "name": data,
        "split": split,
        "fingerprint": fingerprint(examples),
        "questions": len(examples),
        "answerable": sum(not e.is_impossible for e in examples),
        "left_out": left_out,
    }


def _report(
    subject: Subject,
    data: dict[str, Any],
    examples: Sequence[Example],
    questions: Sequence[Question],
    timed: _Timed,
    options: EvaluateOptions,
    **inside: Any,
) -> Report:
    """The report, all of it computed; `inside` are its parts on the training and the layers."""
    reader = subject.reader
    # SQuAD 1.1 knows no "no answer", so its scores have no threshold
    threshold = math.inf if options.script == "1.1" else answer_threshold(reader.settings)
    return Report(
        model=model_facts(subject.directory, subject.name) | {"run": run_record(subject.directory)},
        reader={"engine": reader.engine, "precision": reader.precision, "settings": asdict(reader.settings)},
        data=data,
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
        speed=timed.speed,
        machine=machine(),
        versions=versions([*PACKAGES, *ENGINE_PACKAGES.get(reader.engine, ())]),
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        teacher=measure.teacher_scores(questions),
        **inside,
    )


def _shown(
    subject: Subject, examples: Sequence[Example], questions: Sequence[Question], options: EvaluateOptions
) -> Shown:
    """What the page shows of single questions."""
    worst, lost = slices.failures(questions, options.shown), slices.lost(questions, options.shown)
    rows = token_view.chosen_rows(questions, worst, lost, options.token_views)
    return Shown(
        examples,
        questions,
        [(f.row, f.kind) for f in worst],
        [(f.row, f.kind) for f in lost],
        slices.mistakes(questions),
        slices.with_teacher(questions),
        _token_views(subject, examples, questions, rows, options),
    )


def _token_views(
    subject: Subject,
    examples: Sequence[Example],
    questions: Sequence[Question],
    rows: Sequence[int],
    options: EvaluateOptions,
) -> list[dict[str, Any]]:
    """The token views of the chosen rows, of the reader and the teacher, with attention where it is wanted."""
    if not rows:
        return []
    chosen = [examples[n] for n in rows]
    items = [_view_item(examples[n], questions[n]) for n in rows]
    readers = {"this reader": (subject.reader, subject.directory)}
    if subject.teacher is not None and subject.teacher_directory is not None:
        readers["the teacher"] = (subject.teacher, subject.teacher_directory)
    for who, (reader, directory) in readers.items():
        found = read_examples(reader, chosen)
        for item, read, view in zip(items, found, token_view.probabilities(reader, chosen), strict=True):
            item["views"].append({"who": who, "answer": read.text if read.answered else "", **view})
        if options.layers:
            inside = layers.Inside(directory)
            for item, n in zip(items[:ATTENTION_EXAMPLES], rows, strict=False):
                around = _around(examples[n], questions[n])
                shown = layers.attention_view(inside, examples[n], reader.settings.windows, around)
                if shown is not None:
                    item["attention"].append({"who": who, **shown})
    return items


def _view_item(example: Example, question: Question) -> dict[str, Any]:
    outcome = "right" if question.exact == 1.0 else slices.mistake(question)
    return {
        "label": f"{example.question[:90]} ({outcome})",
        "question": example.question,
        "context": example.context,
        "gold": list(dict.fromkeys(a.text for a in example.answers)),
        "views": [],
        "attention": [],
    }


def _around(example: Example, question: Question) -> tuple[int, int]:
    """The code points to look at: the first gold answer's, else the reader's best span."""
    answer = example.answers[0] if example.answers else None
    return (question.start, question.end) if answer is None else (answer.start, answer.end)


def _layers(
    subject: Subject, examples: Sequence[Example], progress: Progress, stop: StopSwitch
) -> dict[str, Any] | None:
    """The distance of reader and teacher per layer, and after each stage of the run that has its weights."""
    settings = subject.reader.settings.windows
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
