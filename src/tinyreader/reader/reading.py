"""What a reader takes (questions and documents) and returns (answers with their text, place and score)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import IOBase
from numbers import Integral
from pathlib import Path
from typing import Any, TypeGuard

from tinyreader.documents import Document, read_document
from tinyreader.errors import DataError, SettingsError

CONTEXT_CHARACTERS = 120

Readable = str | Path | Document | tuple[str, str]
"""A text, the path of a file (text, Markdown, HTML, PDF or DOCX), a document, or a pair (id, text)."""

Documents = str | Path | Document | Iterable[Readable]
"""One text, path or document, or any number of them. A bare tuple of two texts is ambiguous and refused."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question to ask of documents; its reading has the same `id`."""

    text: str
    documents: Documents
    id: str | int | None = None


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """A verbatim answer: `text` is `document.text[start:end]`, in code points.

    `score`, 0 to 1, is the confidence in this span against "no answer in the document"; after calibration it
    is the expected F1. `null_odds` is the same in logits, as the official SQuAD script takes it: the
    document's null score minus the span's score.
    """

    text: str
    score: float
    start: int
    end: int
    document: Document
    null_odds: float

    @property
    def page(self) -> int | None:
        """The page it begins on, from 1; None where the document has no pages."""
        return self.document.page_at(self.start)

    @property
    def line(self) -> int:
        """The line it begins in, from 1."""
        return self.document.line_at(self.start)

    def context(self, chars: int = CONTEXT_CHARACTERS) -> str:
        """The answer with up to `chars` code points of the text on each side."""
        before, after = self.around(chars)
        return before + self.text + after

    def around(self, chars: int = CONTEXT_CHARACTERS) -> tuple[str, str]:
        """Up to `chars` code points of the text before the answer, and after it."""
        given: object = chars
        if isinstance(given, bool) or not isinstance(given, Integral) or chars < 0:
            raise SettingsError(f"chars is {chars!r}; it must be a whole number, at least 0.")
        text = self.document.text
        return text[max(0, self.start - chars) : self.start], text[self.end : self.end + chars]

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain data: the document by its id, and up to 120 code points of text on each side."""
        before, after = self.around()
        return {
            "text": self.text,
            "score": self.score,
            "document": self.document.id,
            "start": self.start,
            "end": self.end,
            "page": self.page,
            "line": self.line,
            "null_odds": self.null_odds,
            "before": before,
            "after": after,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found for one question: answers of all documents, best first, and the chance, 0 to 1, that
    there is none.

    `has_answer` says whether the best one passes the reader's no-answer threshold; `id` is the question's
    own.
    """

    question: str
    answers: tuple[FoundAnswer, ...]
    no_answer_score: float
    has_answer: bool
    id: str | int | None = None

    @property
    def answer(self) -> FoundAnswer | None:
        """The best answer, or None where `has_answer` is False."""
        return self.answers[0] if self.has_answer else None

    @property
    def confidence(self) -> float:
        """The confidence in the result, 0 to 1: the best answer's score, or `no_answer_score` without one."""
        return self.answers[0].score if self.has_answer else self.no_answer_score

    def as_dict(self) -> dict[str, Any]:
        """The reading as plain data, the form that every part of Tinyreader writes as JSON."""
        return {
            "id": self.id,
            "question": self.question,
            "has_answer": self.has_answer,
            "no_answer_score": self.no_answer_score,
            "answers": [answer.as_dict() for answer in self.answers],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], documents: Iterable[Document]) -> Reading:
        """The inverse of `as_dict`, given the documents that were read.

        Raises `DataError` where `content` is not a reading, or a document does not contain its answer.
        """
        by_id = {document.id: document for document in documents}
        try:
            return cls(
                question=str(content["question"]),
                answers=tuple(_answer_of(answer, by_id) for answer in content["answers"]),
                no_answer_score=float(content["no_answer_score"]),
                has_answer=bool(content["has_answer"]),
                id=content.get("id"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"this is not a reading as `Reading.as_dict` gives it: {type(error).__name__} {error}"
            ) from None


def _answer_of(content: Mapping[str, Any], by_id: Mapping[str, Document]) -> FoundAnswer:
    name, start, end = content["document"], int(content["start"]), int(content["end"])
    if name not in by_id:
        raise DataError(f"an answer is from document {name!r}, which is not among those given")
    if by_id[name].text[start:end] != content["text"]:
        raise DataError(
            f"document {name!r} has other words at {start} to {end} than the answer: it is not what was read"
        )
    score, odds = float(content["score"]), float(content["null_odds"])
    return FoundAnswer(str(content["text"]), score, start, end, by_id[name], odds)


def documents_of(given: Documents) -> Iterator[Document]:
    """Yield the documents; the ids of texts are their numbers from 0, those of files their paths.

    A file is read when its turn comes. Raises `DataError` for what is not a document and for files that
    cannot be read.
    """
    if _is_pair(given):
        raise DataError(
            "a tuple of two texts may be a pair (id, text) or two documents: write [(id, text)] for the one, "
            "or a list "
            "[text, text] for the other"
        )
    is_one = isinstance(given, str | bytes | Path | Document | Mapping | IOBase) or not isinstance(
        given, Iterable
    )
    items: Iterable[Any] = [given] if is_one else given  # type: ignore[assignment]
    for number, item in enumerate(items):
        if isinstance(item, str):
            document = Document(str(number), item)
        elif isinstance(item, Path):
            document = read_document(item)
        elif isinstance(item, Document):
            document = item
        elif _is_pair(item):
            document = Document(*item)
        else:
            raise DataError(
                f"document {number} is {described(item)}; give a text, a path, a Document or a pair (id, "
                "text) of two texts"
            )
        if not isinstance(document.id, str):  # file names may not be UTF-8
            raise DataError(f"the id of document {number} is {described(document.id)}; it must be a text")
        require_text(document.text, f"document {document.id!r}")
        yield document


def described(item: object) -> str:
    """The type of what was given, and its value where that is short."""
    if isinstance(item, tuple):
        return f"of type tuple ({', '.join(type(part).__name__ for part in item)})"
    shown = repr(item)
    return f"of type {type(item).__name__}" + (f" ({shown})" if len(shown) <= 40 else "")


def require_text(text: object, name: str) -> None:
    """Raises `DataError` unless it is a string that can be written as UTF-8."""
    if not isinstance(text, str):
        raise DataError(f"{name} is of type {type(text).__name__}; it must be a text")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{name} holds half of a surrogate pair at {error.start}, which is not a character. Decode its "
                "source again, or replace it by U+FFFD."
            ) from None


def _is_pair(item: object) -> TypeGuard[tuple[str, str]]:
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item)
