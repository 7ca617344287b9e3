"""What a reader takes and what it says: questions and documents; answers with their words, places and
scores.
"""

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
"""One text, path or document, or any number of them, pairs among them; a bare tuple of two texts could mean
either.
"""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask of documents; the reading that answers it bears its `id`."""

    text: str
    documents: Documents
    id: str | int | None = None


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """Words of a document that answer a question: `document.text[start:end]`, in code points.

    `score`, 0 to 1, is how sure the reader is of these words against there being no answer in the document;
    of a calibrated reader, the F1 to expect of them. `null_odds` says the same in logits, as the official
    SQuAD script takes it: the document's null score minus the span's.
    """

    text: str
    score: float
    start: int
    end: int
    document: Document
    null_odds: float

    @property
    def page(self) -> int | None:
        """The page it begins on, counted from 1; None where the document has no pages."""
        return self.document.page_at(self.start)

    @property
    def line(self) -> int:
        """The line it begins in, counted from 1."""
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
        """The answer as plain data; the document by its id, the text around it up to 120 code points on each
        side.
        """
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
        """The best answer, or None where the reader says that there is none."""
        return self.answers[0] if self.has_answer else None

    @property
    def confidence(self) -> float:
        """How sure the reader is of what it says, 0 to 1: the best answer's score, or `no_answer_score` where
        it gives none.
        """
        return self.answers[0].score if self.has_answer else self.no_answer_score

    def as_dict(self) -> dict[str, Any]:
        """The reading as plain data, in the one form that every part of Tinyreader writes as JSON."""
        return {
            "id": self.id,
            "question": self.question,
            "has_answer": self.has_answer,
            "no_answer_score": self.no_answer_score,
            "answers": [answer.as_dict() for answer in self.answers],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], documents: Iterable[Document]) -> Reading:
        """The reading that `as_dict` gave, its answers in these documents again, which must be those that
        were read.

        Raises `DataError` where `content` is no reading, or an answer does not stand in the document of its
        id.
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
                f"this is no reading as `Reading.as_dict` gives it: {type(error).__name__} {error}"
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
    """Yield the documents that were given: texts are numbered from 0, files go by their path.

    A file is read when its turn comes. Raises `DataError` for what is no text and for files that cannot be
    read.
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
        if not isinstance(document.id, str):  # names of files may hold what is no UTF-8
            raise DataError(f"the id of document {number} is {described(document.id)}; it must be a text")
        require_text(document.text, f"document {document.id!r}")
        yield document


def described(item: object) -> str:
    """The type of what was given, and itself where it is short enough to be shown."""
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
                f"{name} holds half of a surrogate pair at {error.start}, which is no character. Decode its "
                "source anew, or "
                "replace it by U+FFFD."
            ) from None


def _is_pair(item: object) -> TypeGuard[tuple[str, str]]:
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item)
