"""`tinyreader evaluate`: what a reader scores, how sure that is, where it fails and what it costs, as a page
to look at.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyreader.errors import SettingsError
from tinyreader.model_files import own_directory

if TYPE_CHECKING:
    from tinyreader.data import Example
    from tinyreader.metrics import Version


class ScriptChoice(enum.StrEnum):
    """What `--squad-version` can be."""

    auto = "auto"
    v1 = "1.1"
    v2 = "2.0"


class BadDataChoice(enum.StrEnum):
    """What `--on-bad` can be."""

    error = "error"
    repair = "repair"
    skip = "skip"


def evaluate(
    model: Annotated[str, typer.Argument(help="Reader: a directory or a Hub id.")],
    data: Annotated[str, typer.Argument(help="Questions with gold answers: SQuAD JSON, JSONL or a Hub id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the report.")],
    split: Annotated[str | None, typer.Option(help="Split of a Hub data set.")] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="A teacher's predictions on the same data: a file, or a report or run that has one."
        ),
    ] = None,
    teacher_model: Annotated[
        str | None,
        typer.Option(help="The teacher itself, to look at beside the reader: a directory or a Hub id."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="The run that made the model (default: the one it lies in); its log is drawn."),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Look inside with torch: attention, distance per layer.")
    ] = False,
    engine: Annotated[
        str, typer.Option(help="What computes: auto, openvino, torch or another that is installed.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="Number format of the arithmetic: auto, fp32, bf16, ...")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads to compute with (all cores).")] = None,
    squad_version: Annotated[
        ScriptChoice, typer.Option(help="The official script to follow.")
    ] = ScriptChoice.auto,
    normalise: Annotated[
        str,
        typer.Option(
            help="How answers are compared: squad-en (official); by language: en, de, fr, es, it, nl, pt, none."
        ),
    ] = "squad-en",
    samples: Annotated[int, typer.Option(help="Bootstrap samples of the intervals.")] = 1000,
    latency_questions: Annotated[
        int, typer.Option(help="So many questions are asked alone, for their latency.")
    ] = 200,
    shown: Annotated[int, typer.Option(help="So many of the worst examples are shown.")] = 40,
    eye: Annotated[int, typer.Option(help="So many examples are shown with their probabilities.")] = 8,
    plots: Annotated[bool, typer.Option(help="Draw plots (needs the report extra).")] = True,
    on_bad: Annotated[
        BadDataChoice, typer.Option(help="What happens to questions that are wrong.")
    ] = BadDataChoice.error,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Read every question of DATA as a user would, and write a report: a page, plots, scores, predictions."""
    from tinyreader.data import ReadReport, load_examples
    from tinyreader.model_files import model_directory
    from tinyreader.progress import Progress, StopSwitch, stop_signals
    from tinyreader.reader import Reader
    from tinyreader.report.evaluate import EvaluateOptions, Subject
    from tinyreader.report.evaluate import evaluate as make_report
    from tinyreader.report.output import check_output
    from tinyreader.report.teacher import teacher_answers
    from tinyreader.report.training import run_directory

    check_output(out)
    if layers and teacher_model is None:
        raise SettingsError("--layers compares with a teacher; say which with --teacher-model DIR")
    rejected = ReadReport()
    examples = load_examples(data, split=split, on_bad=on_bad.value, rejected=rejected)
    options = EvaluateOptions(
        script=_script(squad_version, data, examples),
        normalisation=normalise,
        samples=samples,
        latency_questions=latency_questions,
        shown=shown,
        eye=eye,
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
        _name(model),
        answers,
        None if teaching is None else Reader.from_pretrained(teaching),
        teaching,
        run or run_directory(directory),
    )
    progress, stop = Progress(quiet=quiet), StopSwitch()
    if rejected.skipped or rejected.repaired:
        progress.say(f"{rejected}; what and why: tinyreader data check {data}")
    with stop_signals(stop, lambda reason: progress.say(f"{reason}: stopping (Ctrl-C again: at once)")):
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


def _name(model: str) -> str:
    """A Hub id as it is; of a directory its name and the one above, which together tell students apart."""
    directory = own_directory(model)
    return model if directory is None else "/".join(directory.resolve().parts[-2:])


def _script(choice: ScriptChoice, data: str, examples: Sequence[Example]) -> Version:
    """The script asked for; else the one a SQuAD file names; else 2.0 if a question has no answer."""
    from tinyreader.metrics import squad_version

    if choice != ScriptChoice.auto:
        return "1.1" if choice == ScriptChoice.v1 else "2.0"
    path = Path(data)
    if path.is_file() and path.name.removesuffix(".gz").endswith(".json"):
        from tinyreader.cli.score import read_json

        return squad_version(read_json(path))
    return "2.0" if any(e.is_impossible for e in examples) else "1.1"


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(evaluate)
