"""Files of questions: JSON Lines with their documents (texts or paths), or SQuAD JSON. Errors name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyreader.data import iter_examples
from tinyreader.data.parse import parse_lines
from tinyreader.data.validate import Flawed, describe
from tinyreader.documents import Document, read_document
from tinyreader.documents.files import suffix_of
from tinyreader.errors import DataError
from tinyreader.reader.reading import Question, require_text
from tinyreader.storage import LRUCache

FORMS = 'a line is {"question": ..., "documents": [text, {"id": ..., "text": ...} or {"path": ...}, ...]}, or has "context"'

_N_SHOWN = 5
_KEPT_CHARACTERS = 10_000_000


class Library:
    """Files that questions name, read when they are needed; those read last are kept. Paths count from
    `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._recent: LRUCache[tuple[str, str], Document] = LRUCache(_KEPT_CHARACTERS)

    def path(self, name: str) -> Path:
        """Where the file of that name is."""
        return self.folder / name

    def document(self, name: str, document_id: str) -> Document:
        """The document in the file of that name."""
        found = self._recent.get((name, document_id))
        if found is None:
            read = read_document(self.path(name))
            found = Document(document_id, read.text, read.pages)
            self._recent.put((name, document_id), found, len(found.text))
        return found


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """A file of questions, and the folder that the paths in it are relative to."""

    path: Path
    folder: Path

    @classmethod
    def at(cls, path: Path) -> QuestionFile:
        """The file, with paths relative to its own folder."""
        return cls(path, path.parent)

    def questions(self, library: Library | None = None) -> Iterator[Question]:
        """Yield the questions of SQuAD JSON (.json) or JSON Lines. Files that they name are not read yet.

        Raises `DataError` at the end where lines are not questions, with line and reason of the first few.
        """
        return _questions_of(self.path, library or Library(self.folder))


def _questions_of(path: Path, library: Library) -> Iterator[Question]:
    if suffix_of(path) == ".json":
        for example in iter_examples(path):
            yield Question(example.question, example.context, example.id)
        return
    wrong: list[str] = []
    try:
        for outcome in parse_lines(path):
            if isinstance(outcome, Flawed):
                wrong.append(str(outcome.findings[0]))
                continue
            place, row = outcome
            try:
                question = question_of(row, library)
            except DataError as error:
                wrong.append(f"{place}: {error}")
                continue
            if not wrong:
                yield question
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if wrong:
        shown = [
            *wrong[:_N_SHOWN],
            *([f"... and {len(wrong) - _N_SHOWN} more"] if len(wrong) > _N_SHOWN else []),
        ]
        raise DataError(
            "\n  ".join([f"{path}: {len(wrong)} wrong line{'s' * (len(wrong) != 1)}; {FORMS}", *shown])
        )


def question_of(row: object, library: Library) -> Question:
    """The question on a line; raises `DataError` where it is not one."""
    if not isinstance(row, dict):
        raise DataError(f"it is {describe(row)}; expected an object")
    text, name = row.get("question"), row.get("id")
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f'"question" is {describe(text)}; expected a text'
            if "question" in row
            else 'it has no "question"'
        )
    require_text(text, '"question"')
    if isinstance(name, bool) or not isinstance(name, str | int | None):
        raise DataError(f'"id" is {describe(name)}; expected a text or an integer')
    if isinstance(name, str):
        require_text(name, '"id"')
    if ("documents" in row) == ("context" in row):
        raise DataError('it needs "documents" or "context", one of them')
    given = row["documents"] if "documents" in row else row["context"]
    if "context" in row and not isinstance(given, str):
        raise DataError(f'"context" is {describe(given)}; expected a text')
    items = given if isinstance(given, list) else [given]
    for number, item in enumerate(items):
        _check(item, f"document {number}", library)
    return Question(text, _LazyDocuments(items, library), name)


class _LazyDocuments:
    """The documents of a line; files are read on each iteration."""

    def __init__(self, items: list[Any], library: Library) -> None:
        self._items, self._library = items, library

    def __iter__(self) -> Iterator[Document]:
        for number, item in enumerate(self._items):
            if isinstance(item, str):
                yield Document(str(number), item)
            elif "path" in item:
                yield self._library.document(item["path"], item.get("id", item["path"]))
            else:
                yield Document(item.get("id", str(number)), item["text"])

    def paths(self) -> list[str]:
        """The paths of the files among them."""
        return [item["path"] for item in self._items if isinstance(item, dict) and "path" in item]

    def key(self) -> str:
        """The documents as written, as a text to compare."""
        return json.dumps(self._items, sort_keys=True)


def paths_of(question: Question) -> list[str]:
    """The paths of the files that a question names."""
    return question.documents.paths() if isinstance(question.documents, _LazyDocuments) else []


def key_of(question: Question) -> str:
    """A text that identifies the question and its documents, files by their paths."""
    documents = question.documents
    return json.dumps(
        [question.id, question.text, documents.key() if isinstance(documents, _LazyDocuments) else documents]
    )


def _check(item: object, name: str, library: Library) -> None:
    if isinstance(item, str):
        require_text(item, name)
        return
    if not isinstance(item, dict):
        raise DataError(f'{name} is {describe(item)}; expected a text, {{"id", "text"}} or {{"path"}}')
    if ("text" in item) == ("path" in item):
        raise DataError(f'{name} needs "text" or "path", one of them')
    for key in ("id", "text", "path"):
        if key in item:
            if not isinstance(item[key], str):
                raise DataError(f'{name}: "{key}" is {describe(item[key])}; expected a text')
            require_text(item[key], f'{name}: "{key}"')
    if "path" in item and not library.path(item["path"]).is_file():
        raise DataError(f"{name}: there is no file {library.path(item['path'])}")
