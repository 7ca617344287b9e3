"""`tinyreader read`: a file of questions answered, each from its own documents."""

from __future__ import annotations

import json
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

from tinyreader.cli.options import (
    EngineOption,
    ModelArgument,
    NoAnswerThresholdOption,
    PassagesOption,
    PrecisionOption,
    QuietOption,
    ScoreThresholdOption,
    ThreadsOption,
    TopKOption,
    TruncateQuestionsOption,
    out_option,
    question_length_advice,
)
from tinyreader.errors import DataError
from tinyreader.storage import require_output

if TYPE_CHECKING:
    from tinyreader.reader import Reader
    from tinyreader.reader.questions import QuestionFile

_MAX_BATCH = 256  # lines of standard input that are answered together, if that many are waiting


def read(
    model: ModelArgument,
    questions: Annotated[
        Path,
        typer.Argument(
            metavar="QUESTIONS",
            help="Questions with their documents: JSON Lines or SQuAD JSON (also .gz); - is standard input.",
        ),
    ],
    out: Annotated[Path, out_option("Answers as JSON Lines (also .gz); - is standard output.")],
    top_k: TopKOption = None,
    passages: PassagesOption = None,
    score_threshold: ScoreThresholdOption = None,
    no_answer_threshold: NoAnswerThresholdOption = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Maximum answer length, in tokens.")] = None,
    truncate_questions: TruncateQuestionsOption = False,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Answer a file of questions, each from its own documents.

    An interrupted run resumes with the same command and gives the same file.
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
    with question_length_advice("Shorten it, or give --truncate-questions."):
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
    """Answer lines as they come, waiting lines together: a program may ask its questions one by one."""
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
    """Yield batches of the non-blank lines, numbered: at least one, and whatever else has arrived by then."""
    arrived: Queue[tuple[int, str] | BaseException | None] = Queue(_MAX_BATCH)

    def take() -> None:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    arrived.put((number, line))
            arrived.put(None)
        except Exception as error:  # invalid UTF-8, for example: raised in the thread that reads the batches
            arrived.put(error)

    Thread(target=take, daemon=True).start()
    is_open = True
    while is_open:
        batch = [arrived.get()]
        while isinstance(batch[-1], tuple) and len(batch) < _MAX_BATCH:
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
    """The file, or standard input copied to one, because it is read twice; its paths are relative to the working
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
    """Raise, before any work, if there are no questions, or if `out` cannot be written or would replace them."""
    if str(questions) != "-" and not questions.is_file() and (questions.is_dir() or not questions.exists()):
        raise DataError(f"{questions}: no such file of questions")
    if str(out) != "-":
        require_output(out, "--out", {"the file of questions": questions})
