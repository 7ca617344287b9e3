"""Answering a file of questions in parts, so that a kill costs one part and the result is the same.

The parts are in a directory beside the file, `NAME.parts`, until the file is complete. What a part contains depends
on the questions alone: each question is batched with the same others however often the work was stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tinyreader.errors import DataError, RunError
from tinyreader.passages import PASSAGE_CHARACTERS
from tinyreader.progress import Progress, StopSwitch, duration, stoppable
from tinyreader.reader.questions import Library, QuestionFile, key_of, paths_of
from tinyreader.reader.reader import Reader
from tinyreader.reader.reading import Question, Reading, documents_of
from tinyreader.runtimes.reading import CHUNK_CHARACTERS
from tinyreader.storage import Parts, atomic_text, file_hash, text_hash

PART_QUESTIONS = 256
"""Maximum number of questions in a part; fewer where their documents are long."""

_FORMAT = 1
_AGAIN = "Finished parts are kept; the same command resumes from there."


@dataclass(frozen=True, slots=True)
class Scan:
    """The number of questions, and a hash of them and of the files that they name."""

    n_questions: int
    fingerprint: str


@dataclass(slots=True)
class Counts:
    """How many questions were read, and how many of them have an answer."""

    questions: int = 0
    answered: int = 0

    def add(self, has_answer: bool) -> None:
        """Counts one question."""
        self.questions += 1
        self.answered += has_answer


def scan(source: QuestionFile, reader: Reader, stop: StopSwitch) -> Scan:
    """Checks all questions before work is spent. Raises `DataError` with the lines that are wrong."""
    digest, library, n = hashlib.blake2b(digest_size=16), Library(source.folder), 0
    files: dict[str, str] = {}
    for question in stoppable(source.questions(library), stop):
        reader.check_question(question.text, str(n) if question.id is None else str(question.id))
        digest.update(key_of(question).encode() + b"\n")
        for name in paths_of(question):
            if name not in files:
                files[name] = _hash_of(library.path(name))
            digest.update(files[name].encode())
        n += 1
    if not n:
        raise DataError(f"{source.path} has no question in it")
    return Scan(n, digest.hexdigest())


def answer_file(
    source: QuestionFile,
    out: Path,
    reader: Reader,
    model: str,
    scanned: Scan,
    progress: Progress,
    stop: StopSwitch,
) -> Counts:
    """Write a reading for each question to `out`, JSON Lines (.gz by its name); resumes an earlier call.

    `model` is the fingerprint of the reader's model. Raises `Interrupted` when a stop is requested (finished
    parts are kept), and `RunError` when `out` was begun with other questions, model, engine or settings.
    """
    parts = Parts(out)
    with parts.claim(_identity(reader, model, scanned)):
        counts, rate = Counts(), _Rate(progress, scanned.n_questions)
        rate.show(0)
        questions, number = source.questions(), 0
        while counts.questions < scanned.n_questions:
            part = parts.path(number, ".jsonl")
            if part.exists():
                done = _answered(part)
                for _ in islice(questions, len(done)):
                    pass
                for has_answer in done:
                    counts.add(has_answer)
            else:
                _write(part, next_part(questions, reader.settings.passages), reader, counts, rate, stop)
            number += 1
            rate.show(counts.questions)
        _join(parts, number, out, stop)
        parts.discard()
    return counts


def next_part(questions: Iterator[Question], passages: int) -> list[Question]:
    """The questions of the next part: up to `PART_QUESTIONS`, with about the text of one of the reader's chunks."""
    part: list[Question] = []
    size = 0
    for question in questions:
        documents = tuple(documents_of(question.documents))  # files are read here, once
        part.append(Question(question.text, documents, question.id))
        n_characters = sum(len(document.text) for document in documents)
        size += min(n_characters, passages * PASSAGE_CHARACTERS) if passages else n_characters
        if len(part) == PART_QUESTIONS or size >= CHUNK_CHARACTERS:
            break
    return part


def line_of(reading: Reading) -> str:
    """The reading as a line of JSON."""
    return json.dumps(reading.as_dict(), ensure_ascii=False) + "\n"


class _Rate:
    """Shows progress, speed and time left."""

    def __init__(self, progress: Progress, of: int) -> None:
        self.progress, self.of, self.fresh, self.began = progress, of, 0, time.monotonic()

    def show(self, done: int) -> None:
        text = f"{done:,}/{self.of:,} questions"
        if self.fresh:
            rate = self.fresh / max(time.monotonic() - self.began, 1e-9)
            text += f"  {rate:,.1f} a second  {duration((self.of - done) / rate)} left"
        self.progress.show(text, force=done == self.of)


def _write(
    part: Path, questions: Iterable[Question], reader: Reader, counts: Counts, rate: _Rate, stop: StopSwitch
) -> None:
    with atomic_text(part) as file:
        stop.check(_AGAIN)
        for reading in reader.read_many(questions):
            stop.check(_AGAIN)
            file.write(line_of(reading))
            counts.add(reading.has_answer)
            rate.fresh += 1


def _answered(part: Path) -> list[bool]:
    """For each line of a part, whether the question has an answer."""
    try:
        with part.open(encoding="utf-8") as file:
            return [bool(json.loads(line)["has_answer"]) for line in file]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{part} is damaged ({error}). Delete it, and run the same command again.") from None


def _join(parts: Parts, n_parts: int, out: Path, stop: StopSwitch) -> None:
    with atomic_text(out) as file:
        for number in range(n_parts):
            stop.check(_AGAIN)
            with parts.path(number, ".jsonl").open(encoding="utf-8", newline="") as part:
                shutil.copyfileobj(part, file)


def _identity(reader: Reader, model: str, scanned: Scan) -> dict[str, object]:
    """What must be equal for an unfinished output to be resumed."""
    return {
        "format": _FORMAT,
        "questions": scanned.fingerprint,
        "model": model,
        "tokenizer": text_hash(reader.tokenizer.to_str()),
        "engine": f"{reader.engine} {reader.precision}".strip(),
        "settings": asdict(reader.settings),
    }


def _hash_of(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
