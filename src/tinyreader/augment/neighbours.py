"""`Neighbours`: proposes the words whose vectors are nearest to a word's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyreader.arrays import Bool
from tinyreader.augment.proposer import Passage
from tinyreader.augment.vectors import Vectors
from tinyreader.augment.words import is_word
from tinyreader.errors import SettingsError
from tinyreader.storage import text_hash


@dataclass(slots=True)
class NeighboursCounts:
    """The number of distinct words asked for, and how many of these the table lacks."""

    types: int = 0
    unknown: int = 0


class Neighbours:
    """Proposes, for each place, the `k` nearest words by cosine similarity, best first.

    Only words are proposed (`words.is_word`), and of forms that differ only in case the first in the table:
    it is the most frequent one in files of GloVe and word2vec, and case is carried over from the text anyway.
    So the proposals are `k` distinct words, none of them the word itself. A word that the table has neither
    as it is nor in lower case gets none.

    Each word is searched once. `fingerprint` covers everything that the proposals depend on.
    """

    def __init__(self, vectors: Vectors, k: int = 20) -> None:
        if k < 1:
            raise SettingsError(f"k is {k}; it must be at least 1")
        self.vectors = vectors
        self.k = k
        self.counts = NeighboursCounts()
        self.fingerprint = text_hash(f"neighbours 1 {vectors.fingerprint} {k}")
        self._among = _candidates(vectors.words)
        self._near: dict[int, tuple[str, ...]] = {}
        self._unknown: set[str] = set()

    def __call__(self, passages: Sequence[Passage]) -> list[list[tuple[str, ...]]]:
        """Neighbours per passage and place, best first."""
        asked = [[self._row(word) for word in passage.words] for passage in passages]
        self._search(sorted({row for rows in asked for row in rows if row is not None} - self._near.keys()))
        self.counts.types = len(self._near) + len(self._unknown)
        self.counts.unknown = len(self._unknown)
        return [[() if row is None else self._near[row] for row in rows] for rows in asked]

    def _row(self, word: str) -> int | None:
        row = self.vectors.find(word)
        if row is None:
            self._unknown.add(word.lower())
        return row

    def _search(self, rows: Sequence[int]) -> None:
        """Add the neighbours of the rows to `_near`."""
        words = self.vectors.words
        # One more than k, because the word itself may be among them in another case.
        for row, found in zip(rows, self.vectors.nearest(rows, self.k + 1, among=self._among), strict=True):
            itself = words[row].casefold()
            others = (words[near] for near in found.tolist())
            self._near[row] = tuple(word for word in others if word.casefold() != itself)[: self.k]


def _candidates(words: Sequence[str]) -> Bool:
    """Which of the words [N] may be proposed: the first of each group that differs only in case."""
    seen: set[str] = set()
    mask = np.zeros(len(words), dtype=np.bool_)
    for row, word in enumerate(words):
        if (word.isalpha() or is_word(word)) and (folded := word.casefold()) not in seen:
            seen.add(folded)
            mask[row] = True
    return mask
