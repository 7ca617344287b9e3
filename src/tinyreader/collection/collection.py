"""`Collection`: a folder's documents, asked by way of the passages that share most with a question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Int64
from tinyreader.collection.refresh import PLACES, index_path, refresh
from tinyreader.collection.store import Store
from tinyreader.documents import Document
from tinyreader.errors import DataError, MissingExtraError, SettingsError
from tinyreader.passages import Passage, joined, query_words
from tinyreader.progress import Progress
from tinyreader.reader import FoundAnswer, Question, Reader, Reading
from tinyreader.storage import cache_directory

PASSAGES = 20
"""Passages that are read for a question."""

_MAX_TRIES = 3  # the index may be replaced between looking something up and reading its text


@dataclass(frozen=True, slots=True)
class _Index:
    """The passages of one state of the folder."""

    generation: int
    places: Int64
    bm25: Any

    def best(self, question: str, n: int) -> list[tuple[int, int, int]]:
        """Row, begin and end of the `n` best passages, best first; none where no word of the question is
        known.
        """
        if self.bm25 is None:
            return []
        vocabulary = self.bm25.vocab_dict
        known = [vocabulary[word] for word in query_words(question) if word in vocabulary]
        if not known:
            return []
        return [tuple(self.places[place].tolist()) for place in best_places(self.bm25.get_scores(known), n)]


def best_places(scores: npt.NDArray[np.floating[Any]], n: int) -> Int64:
    """Where the `n` highest scores above 0 stand, highest first, equal ones in their order; without sorting
    all of them.
    """
    least = np.partition(scores, -n)[-n] if n < len(scores) else 0.0
    places = np.flatnonzero((scores >= least) & (scores > 0))
    return places[np.argsort(-scores[places], kind="stable")][:n]


class Collection:
    """The documents of a folder, as its index directory has them. Threads may share it."""

    def __init__(self, index: Path) -> None:
        """Opens what `refresh` wrote there. Raises `DataError` where there is nothing."""
        self.store = Store(index)
        self._directory = index
        self._index = self._load()

    @classmethod
    def open(cls, folder: Path, index: Path | None = None, progress: Progress | None = None) -> Collection:
        """The folder's collection, its index brought up to date first; `index` is the user's cache directory
        otherwise.
        """
        index = index or index_directory(folder)
        refresh(folder, index, progress)
        return cls(index)

    def reload(self) -> bool:
        """Takes the index that `refresh` wrote since; whether there was a new one."""
        if self.store.generation == self._index.generation:
            return False
        self._index = self._load()
        return True

    def __len__(self) -> int:
        """The number of passages."""
        return len(self._index.places)

    def search(self, question: str, n: int = PASSAGES) -> list[Passage]:
        """The passages, `n` at most, that share most words with the question, best first."""
        if n < 1:
            raise SettingsError(f"passages is {n}; it must be at least 1.")
        for _ in range(_MAX_TRIES):
            found = self._index.best(question, n)
            documents = self.store.documents([row for row, _, _ in found])
            if all(row in documents for row, _, _ in found):
                return [Passage(documents[row], begin, end) for row, begin, end in found]
            self.reload()
        return [Passage(documents[row], begin, end) for row, begin, end in found if row in documents]

    def read(self, reader: Reader, question: str, n: int = PASSAGES, **changes: Any) -> Reading:
        """What the collection answers: the `n` best passages are read; `changes` are settings of the reader
        for this call.
        """
        (reading,) = self.read_many(reader, [Question(question, ())], n, **changes)
        return reading

    def read_many(
        self, reader: Reader, questions: Iterable[Question], n: int = PASSAGES, **changes: Any
    ) -> Iterator[Reading]:
        """A reading of the collection for each question, in order; documents that the questions have are not
        looked at.
        """
        picked: list[list[Passage]] = []

        def asked() -> Iterator[Question]:
            for question in questions:
                picked.append(joined(self.search(question.text, n)))
                texts = [Document(str(number), passage.text) for number, passage in enumerate(picked[-1])]
                yield Question(question.text, texts, question.id)

        for number, reading in enumerate(reader.read_many(asked(), **{**changes, "passages": 0})):
            yield _placed(reading, picked[number])
            picked[number] = []

    def _load(self) -> _Index:
        generation = self.store.generation
        directory = index_path(self._directory, generation)
        if not generation or not directory.is_dir():
            raise DataError(f"{self._directory} holds no index; `refresh` makes it.")
        try:
            import bm25s
        except ImportError:
            raise MissingExtraError("asking a folder", "search") from None
        places = np.load(directory / PLACES, mmap_mode="r")
        has_words = (directory / "params.index.json").is_file()
        return _Index(
            generation,
            places,
            bm25s.BM25.load(directory, mmap=True, show_progress=False) if has_words else None,
        )


def index_directory(folder: Path) -> Path:
    """Where a folder's index is kept unless another place is given."""
    name = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()
    return cache_directory() / "collections" / f"{folder.resolve().name[:40]}-{name}"


def _placed(reading: Reading, passages: list[Passage]) -> Reading:
    """The reading of passages, its answers at their places in the documents."""
    answers = tuple(_in_document(answer, passages[int(answer.document.id)]) for answer in reading.answers)
    return replace(reading, answers=answers)


def _in_document(answer: FoundAnswer, passage: Passage) -> FoundAnswer:
    start, end = answer.start + passage.start, answer.end + passage.start
    return replace(answer, start=start, end=end, document=passage.document)
