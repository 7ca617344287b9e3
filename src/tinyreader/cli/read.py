"""`tinyreader read`: a file of questions answered, each from its own documents."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyreader.cli.ask import ENGINE_HELP, PRECISION_HELP, advising
from tinyreader.errors import DataError, SettingsError

if TYPE_CHECKING:
    from tinyreader.reader import Reader
    from tinyreader.reader.questions import QuestionFile

_READY = 256  # lines of standard input that are answered together, if they are there


def read(
    model: Annotated[str, typer.Argument(help="Reader: a directory or a Hub id.")],
    questions: Annotated[
        Path,
        typer.Argument(
            help="Questions with their documents: JSON Lines or SQuAD JSON, .gz too; - is standard input."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Where the answers go: JSON Lines, .gz too; - is standard output."),
    ],
    top_k: Annotated[
        int | None, typer.Option(help="So many answers at most (3, unless the model says).")
    ] = None,
    score_threshold: Annotated[
        float | None, typer.Option(help="Leave out answers with a lower score, 0 to 1.")
    ] = None,
    no_answer_threshold: Annotated[
        float | None, typer.Option(help="Largest null odds of an answer, in logits; inf: always an answer.")
    ] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    passages: Annotated[
        int | None,
        typer.Option(help="Read only so many passages, those that share most with the question; 0: all."),
    ] = None,
    truncate_questions: Annotated[
        bool, typer.Option("--truncate-questions", help="Cut questions that do not fit.")
    ] = False,
    engine: Annotated[str, typer.Option(help=ENGINE_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help=PRECISION_HELP)] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads to compute with (all cores).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Answer a file of questions; stopped at any moment, the same command goes on and ends in the same
    file.
    """
    from tinyreader.reader import Reader

    _check_paths(questions, out)
    given: dict[str, Any] = {
        "top_k": top_k,
        "score_threshold": score_threshold,
        "no_answer_threshold": no_answer_threshold,
        "max_answer_tokens": max_answer_tokens,
        "passages": passages,
        "engine": engine,
        "precision": precision,
        "threads": threads,
        "on_long_question": "truncate" if truncate_questions else None,
    }
    reader = Reader.from_pretrained(
        model, **{name: value for name, value in given.items() if value is not None}
    )
    with advising("Shorten it, or cut such questions with --truncate-questions."):
        if str(out) != "-":
            with _as_file(questions) as source:
                _answer_file(reader, model, source, out, quiet=quiet)
        elif str(questions) == "-":
            _answer_stream(reader)
        else:
            _print_all(reader, questions)


def _answer_file(reader: Reader, model: str, source: QuestionFile, out: Path, *, quiet: bool) -> None:
    from tinyreader.model_files import model_directory, model_fingerprint
    from tinyreader.progress import Progress, StopSwitch, stop_signals
    from tinyreader.reader.batch import answer_file, scan

    progress, stop = Progress(quiet=quiet), StopSwitch()
    with stop_signals(stop, lambda reason: progress.say(f"{reason}: stopping")):
        scanned = scan(source, reader, stop)
        fingerprint = model_fingerprint(model_directory(model))
        counts = answer_file(source, out, reader, fingerprint, scanned, progress, stop)
    summary = {
        "answers": str(out),
        "questions": counts.questions,
        "answered": counts.answered,
        "unanswered": counts.questions - counts.answered,
    }
    typer.echo(json.dumps(summary))


def _print_all(reader: Reader, path: Path) -> None:
    from tinyreader.progress import StopSwitch
    from tinyreader.reader.batch import line_of, scan
    from tinyreader.reader.questions import QuestionFile

    source = QuestionFile.at(path)
    scan(source, reader, StopSwitch())
    for reading in reader.read_many(source.questions()):
        sys.stdout.write(line_of(reading))


def _answer_stream(reader: Reader) -> None:
    """Answers lines as they come: those that are there already together, so that a program may ask one by
    one.
    """
    from tinyreader.reader.batch import line_of
    from tinyreader.reader.questions import Library, question_of

    library = Library(Path())
    for batch in _ready(sys.stdin):
        asked = []
        for number, line in batch:
            try:
                asked.append(question_of(json.loads(line), library))
            except (ValueError, DataError) as error:
                raise DataError(f"standard input, line {number}: {error}") from None
        for reading in reader.read_many(asked):
            sys.stdout.write(line_of(reading))
        sys.stdout.flush()


def _ready(lines: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """Yield the lines that are not blank, with their numbers: always at least one, and whatever else has come
    by then.
    """
    arrived: Queue[tuple[int, str] | BaseException | None] = Queue(_READY)

    def take() -> None:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    arrived.put((number, line))
            arrived.put(None)
        except Exception as error:  # bytes that are no UTF-8: raised where the lines are wanted
            arrived.put(error)

    Thread(target=take, daemon=True).start()
    is_open = True
    while is_open:
        batch = [arrived.get()]
        while isinstance(batch[-1], tuple) and len(batch) < _READY:
            try:
                batch.append(arrived.get_nowait())
            except Empty:
                break
        if full := [item for item in batch if isinstance(item, tuple)]:
            yield full
        if isinstance(batch[-1], BaseException):
            raise DataError(f"standard input cannot be read: {batch[-1]}")
        is_open = batch[-1] is not None


@contextmanager
def _as_file(questions: Path) -> Iterator[QuestionFile]:
    """The file, or what standard input holds as a file: it is read twice. Its paths count from the working
    directory.
    """
    from tinyreader.reader.questions import QuestionFile

    if str(questions) != "-":
        yield QuestionFile.at(questions)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "questions.jsonl")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield QuestionFile(path, Path())


def _check_paths(questions: Path, out: Path) -> None:
    """Raises, before work is spent, where there is nothing to read, or `out` cannot be written or would
    replace it.
    """
    if str(questions) != "-" and not questions.is_file() and (questions.is_dir() or not questions.exists()):
        raise DataError(f"{questions}: no such file of questions")
    if str(out) == "-":
        return
    if out.is_dir():
        raise SettingsError(f"--out {out} is a directory; give the name of a file")
    if out.resolve() == questions.resolve():
        raise SettingsError(f"--out {out} is the file of questions and would replace it; give another name")
    there = next(directory for directory in out.absolute().parents if directory.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise SettingsError(
            f"--out {out} cannot be written: {there} is not a directory that can be written to"
        )


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(read)
