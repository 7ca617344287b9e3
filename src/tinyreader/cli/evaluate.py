"""`tinyreader evaluate`: a reader's scores, their intervals, its mistakes and its speed, as a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tinyreader.cli.options import (
    EngineOption,
    ModelArgument,
    OnBadOption,
    PrecisionOption,
    QuietOption,
    SplitOption,
    ThreadsOption,
    data_argument,
    out_option,
)
from tinyreader.errors import DataError, SettingsError
from tinyreader.model_files import own_directory

if TYPE_CHECKING:
    from tinyreader.data import Example
    from tinyreader.metrics import Version


def evaluate(
    model: ModelArgument,
    data: Annotated[str, data_argument("Questions with gold answers")],
    out: Annotated[Path, out_option("Directory of the report.", "DIR")],
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The teacher's predictions on the same data: a file, or a report or run that holds them.",
        ),
    ] = None,
    teacher_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The teacher itself, for token views: a directory or a Hub id."),
    ] = None,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers", help="Compare attention and hidden states per layer with the teacher (torch)."
        ),
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run that trained the model (default: the one that contains it)."),
    ] = None,
    squad_version: Annotated[
        Literal["auto", "1.1", "2.0"], typer.Option(help="Official SQuAD script to follow.")
    ] = "auto",
    normalise: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="How answers are compared: squad-en (official), en, de, fr, es, it, nl, pt or none.",
        ),
    ] = "squad-en",
    samples: Annotated[int, typer.Option(help="Number of bootstrap samples.")] = 1000,
    latency_questions: Annotated[
        int, typer.Option(help="Number of questions asked one at a time, to measure latency.")
    ] = 200,
    shown: Annotated[int, typer.Option(help="Number of worst examples on the page.")] = 40,
    token_views: Annotated[int, typer.Option(help="Number of examples shown token by token.")] = 8,
    plots: Annotated[bool, typer.Option(help="Draw plots (needs the report extra).")] = True,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Evaluate a reader, and write a report.

    The report has a page, plots, scores with intervals, the worst examples, speed and predictions.
    """
    from tinyreader.data import ReadReport, load_examples
    from tinyreader.model_files import model_directory
    from tinyreader.progress import Progress, StopSwitch, stop_signals
    from tinyreader.reader import Reader
    from tinyreader.report.evaluate import EvaluateOptions, Subject
    from tinyreader.report.evaluate import evaluate as make_report
    from tinyreader.report.record import check_output, teacher_answers
    from tinyreader.report.training import run_directory

    check_output(out)
    if layers and teacher_model is None:
        raise SettingsError("--layers compares with a teacher; give it with --teacher-model DIR")
    rejected = ReadReport()
    examples = load_examples(data, split=split, on_bad=on_bad, rejected=rejected)
    options = EvaluateOptions(
        script=_script(squad_version, data, examples),
        normalisation=normalise,
        samples=samples,
        latency_questions=latency_questions,
        shown=shown,
        token_views=token_views,
        layers=layers,
        plots=plots,
    )
    answers = None if teacher is None else teacher_answers(teacher, examples)
    directory = model_directory(model)
    given: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads}
    teaching = None if teacher_model is None else model_directory(teacher_model)
    subject = Subject(
        Reader.from_pretrained(directory, **given),
        directory,
        _display_name(model),
        answers,
        None if teaching is None else Reader.from_pretrained(teaching),
        teaching,
        run or run_directory(directory),
    )
    progress, stop = Progress(quiet=quiet), StopSwitch()
    if rejected.skipped or rejected.repaired:
        progress.say(f"{rejected}; what and why: tinyreader data check {data}")
    with stop_signals(
        stop, lambda reason: progress.say(f"{reason}: stopping (press Ctrl-C again to stop at once)")
    ):
        report = make_report(
            subject,
            Path(data).name if Path(data).exists() else data,
            examples,
            out,
            options,
            split=split,
            left_out=rejected.n_skipped + rejected.n_unread,
            progress=progress,
            stop=stop,
        )
    spread, scores = report.intervals, report.scores
    typer.echo(
        json.dumps(
            {
                "report": str(out),
                "page": str(out / "index.html"),
                "questions": len(examples),
                "exact": scores["exact"],
                "exact_interval": spread["exact"],
                "f1": scores["f1"],
                "f1_interval": spread["f1"],
                "calibration_error": report.calibration["ece"],
                "calibration_error_f1": report.calibration["ece_f1"],
                "questions_per_second": report.speed["questions_per_second"],
            }
        )
    )


def _display_name(model: str) -> str:
    """The Hub id, or the directory's last two names, because every student is called `student`."""
    directory = own_directory(model)
    return model if directory is None else "/".join(directory.resolve().parts[-2:])


def _script(choice: Literal["auto", "1.1", "2.0"], data: str, examples: Sequence[Example]) -> Version:
    """The chosen script; for auto, the one a SQuAD file names, else 2.0 if a question has no answer, else 1.1."""
    from tinyreader.metrics import squad_version

    if choice != "auto":
        return choice
    path = Path(data)
    if path.is_file() and path.name.removesuffix(".gz").endswith(".json"):
        from tinyreader.data.parse import read_json

        with suppress(DataError):  # rows and other shapes name no script
            return squad_version(read_json(path))
    return "2.0" if any(e.is_impossible for e in examples) else "1.1"
