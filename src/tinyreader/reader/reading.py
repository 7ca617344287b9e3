"""What a reader takes and what it says: documents; answers with their words, places and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from tinyreader.errors import DataError
from tinyreader.files import open_text


@dataclass(frozen=True, slots=True)
class Document:
    """A text to read, with the name that answers refer to it by."""

    id: str
    text: str


Readable = str | Path | Document | tuple[str, str]
"""A text, the path of a text file, a document, or a pair (id, text)."""

Documents = Readable | Sequence[Readable]


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """Words of a document that answer a question: `document.text[start:end]`, in code points.

    `score`, 0 to 1, is how sure the reader is of these words against there being no answer in the document. `null_odds` says
    the same in logits, as the official SQuAD script takes it: the document's null score minus the span's.
    """

    text: str
    score: float
    start: int
    end: int
    document: Document
    null_odds: float

    def context(self, chars: int = 120) -> str:
        """The answer with up to `chars` code points of the text on each side."""
        return self.document.text[max(0, self.start - chars) : self.end + chars]

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain data; the document by its id."""
        return {
            "text": self.text, "score": self.score, "document": self.document.id, "start": self.start, "end": self.end,
            "null_odds": self.null_odds,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found for one question: answers of all documents, best first, and the chance, 0 to 1, that there is none.

    `has_answer` says whether the best one passes the reader's no-answer threshold.
    """

    question: str
    answers: tuple[FoundAnswer, ...]
    no_answer_score: float
    has_answer: bool

    @property
    def answer(self) -> FoundAnswer | None:
        """The best answer, or None where the reader says that there is none."""
        return self.answers[0] if self.has_answer else None

    def as_dict(self) -> dict[str, Any]:
        """The reading as plain data, in the one form that every part of Tinyreader writes as JSON."""
        return {
            "question": self.question,
            "has_answer": self.has_answer,
            "no_answer_score": self.no_answer_score,
            "answers": [answer.as_dict() for answer in self.answers],
        }


def documents_of(given: Documents) -> Iterator[Document]:
    """Yield the documents that were given: texts are numbered from 0, files go by their path.

    A file is read when its turn comes. Raises `DataError` for what is no text and for files that cannot be read.
    """
    items: Sequence[Readable] = [given] if isinstance(given, str | Path | Document) or _is_pair(given) else given
    for number, item in enumerate(items):
        if isinstance(item, Document):
            yield item
        elif isinstance(item, str):
            yield Document(str(number), item)
        elif isinstance(item, Path):
            yield Document(str(item), _text_of(item))
        elif _is_pair(item):
            yield Document(item[0], item[1])
        else:
            raise DataError(
                f"document {number} is of type {type(item).__name__}; give a text, a path, a Document or a pair (id, text)"
            )


def _is_pair(item: object) -> TypeGuard[tuple[str, str]]:
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _text_of(path: Path) -> str:
    try:
        with open_text(path) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
