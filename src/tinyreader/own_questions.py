"""Questions as people write them down, a document, a question and the words that answer, as examples with offsets.

CSV (comma, semicolon or tab) and JSON Lines with these columns; SQuAD's own forms pass through. A document is a text or
the name of a file beside the table, in any format that `documents` reads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyreader.data import Answer, Example, Finding, load_examples
from tinyreader.data.findings import bad_data, quoted
from tinyreader.data.tables import csv_columns, csv_rows
from tinyreader.documents import read_document
from tinyreader.documents.files import SUFFIXES
from tinyreader.documents.text import decode_text
from tinyreader.errors import DataError

DOCUMENT = ("document", "context", "text", "passage")
FILE = ("file", "path", "filename")
QUESTION = ("question", "query")
ANSWER = ("answer", "answers")
SEPARATOR = "||"
"""Between several right answers in one cell."""

_REMEDY = (
    "A row has a document (a text, or the name of a file beside the table), a question, and an answer in the "
)
_REMEDY += "document's own words; an empty answer says that the document does not answer."


@dataclass(frozen=True, slots=True)
class OwnQuestions:
    """Examples, and what a person should look at: answers that stand several times, with their rows."""

    examples: tuple[Example, ...]
    ambiguous: tuple[Finding, ...] = ()


def read_own_questions(path: Path, folder: Path | None = None) -> OwnQuestions:
    """Return the examples of a table of questions, or of a SQuAD JSON or JSON Lines file.

    Names of documents are relative to `folder`, by default the table's own. An answer is found as whole words, in the
    document's case or else in any, with blanks and line breaks as equal; of several places the first is taken. Raises
    `DataError` with the rows that cannot be used.
    """
    name = str(path)
    if not path.is_file():
        raise DataError(f"{name}: no such file. Give a CSV, JSON Lines or SQuAD JSON file of questions")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        table = decode_text(path.read_bytes(), name)
        _check_columns(csv_columns(table), name)
        rows: list[tuple[str, Mapping[str, object]]] = list(csv_rows(table, name))
    elif suffix in (".jsonl", ".ndjson") and (own := _json_rows(decode_text(path.read_bytes(), name), name)):
        rows = own
    else:
        return OwnQuestions(tuple(load_examples(path, on_bad="error")))
    reader = _Rows(folder or path.parent, path.stem)
    examples = [example for place, row in rows if (example := reader.example(place, row)) is not None]
    if reader.findings:
        raise bad_data(name, reader.findings, _REMEDY)
    if not examples:
        raise DataError(f"{name}: there is no question in it. {_REMEDY}")
    return OwnQuestions(tuple(examples), tuple(reader.ambiguous))


def find_answer(text: str, words: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each place where the words stand: in their own case, or where none is, in any."""
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    edge_before = r"(?<!\w)" if words.strip()[:1].isalnum() else ""
    edge_after = r"(?!\w)" if words.strip()[-1:].isalnum() else ""
    for flags in (re.NOFLAG, re.IGNORECASE):
        if found := [m.span() for m in re.finditer(f"{edge_before}{pattern}{edge_after}", text, flags)]:
            return found
    return []


class _RowError(Exception):
    """A row that cannot be used: the kind of finding and what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Rows:
    """Turns rows into examples, reads each document once, and collects what is wrong."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self.stem = folder, stem
        self.findings: list[Finding] = []
        self.ambiguous: list[Finding] = []
        self._documents: dict[str, tuple[str, str]] = {}
        self._ids: set[str] = set()

    def example(self, place: str, row: Mapping[str, object]) -> Example | None:
        """Return the row's example; None where it is noted as a finding."""
        try:
            return self._example(place, row)
        except _RowError as bad:
            self.findings.append(Finding(bad.kind, str(bad), place=place))
            return None

    def _example(self, place: str, row: Mapping[str, object]) -> Example:
        question = _cell(row, QUESTION)
        if question is None or not question.strip():
            raise _RowError("empty-question", "there is no question in this row")
        title, text = self._document(row)
        answers = tuple(self._answer(place, words, text) for words in _answer_words(row))
        own = row.get("id")
        identity = str(own) if own not in (None, "") else f"{self.stem}-{place.split()[-1]}"
        if identity in self._ids:
            raise _RowError("duplicate-id", f"the id {quoted(identity)} stands in an earlier row too")
        self._ids.add(identity)
        return Example(identity, " ".join(question.split()), text, answers, title=title)

    def _document(self, row: Mapping[str, object]) -> tuple[str, str]:
        """Return the title and the text of the row's document."""
        named = _cell(row, FILE)
        content = named or _cell(row, DOCUMENT)
        if content is None or not content.strip():
            raise _RowError("empty-context", "there is no document in this row")
        if content not in self._documents:
            self._documents[content] = self._read(content, is_file=named is not None)
        return self._documents[content]

    def _read(self, content: str, *, is_file: bool) -> tuple[str, str]:
        name = content.strip()
        may_be_file = "\n" not in name and len(name) < 250 and Path(name).suffix.lower() in SUFFIXES
        path = self.folder / name
        if not (is_file or (may_be_file and (path.is_file() or not re.search(r"\s", name)))):
            key = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
            return f"text {key}", content
        if not path.is_file():
            raise _RowError("missing-field", f"the document {quoted(name)} is not in {self.folder}")
        try:
            text = read_document(path, name).text
        except DataError as error:
            raise _RowError("missing-field", str(error)) from None
        if not text.strip():
            raise _RowError("empty-context", f"the document {quoted(name)} has no text")
        return name, text

    def _answer(self, place: str, words: str, text: str) -> Answer:
        """Return the answer at the first place where its words stand, and note where there are several."""
        spans = find_answer(text, words)
        if not spans:
            raise _RowError("offset-mismatch", f"the answer {quoted(words)} does not stand in the document")
        if len(spans) > 1:
            message = (
                f"the answer {quoted(words)} stands {len(spans)} times in the document; the first is taken"
            )
            self.ambiguous.append(Finding("offset-mismatch", message, place=place))
        begin, end = spans[0]
        return Answer(text[begin:end], begin)


def _answer_words(row: Mapping[str, object]) -> list[str]:
    """Return the answers of a row in words: a cell, parted by `||`, or a list."""
    value = next((row[key] for key in ANSWER if row.get(key) is not None), "")
    several = value if isinstance(value, list) else str(value).split(SEPARATOR)
    return [words for each in several if (words := str(each).strip()) not in ("", "-")]


def _cell(row: Mapping[str, object], names: Sequence[str]) -> str | None:
    """Return the first of these columns that is there, as text."""
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), None)


def _check_columns(columns: Sequence[str], name: str) -> None:
    for what, names in (("document", (*DOCUMENT, *FILE)), ("question", QUESTION), ("answer", ANSWER)):
        if not set(names) & set(columns):
            raise DataError(
                f"{name}: there is no column for the {what} (one of {', '.join(names)}); the columns are: "
                f"{', '.join(map(quoted, columns)) or 'none'}. The first row must name the columns"
            )


def _json_rows(text: str, name: str) -> list[tuple[str, Mapping[str, object]]]:
    """Return the lines of a JSON Lines file whose answers are words; none where it has SQuAD's form."""
    rows: list[tuple[str, Mapping[str, object]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            return []  # whoever reads SQuAD's form says what is wrong, with its place
        if not isinstance(row, dict) or isinstance(row.get("answers"), dict):
            return []
        rows.append((f"line {number}", row))
    if rows:
        _check_columns([str(key).lower() for key in rows[0][1]], name)
    return rows
