"""Words that stand near a word in a table of word vectors, as its replacements."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyreader.augment.candidates import is_word
from tinyreader.augment.cosine import Mask
from tinyreader.augment.proposer import Passage
from tinyreader.augment.vectors import Vectors
from tinyreader.errors import SettingsError


@dataclass(slots=True)
class NeighboursCounts:
    """How many different words were asked for, and how many of these the table does not have."""

    types: int = 0
    unknown: int = 0


class Neighbours:
    """Proposes, for each place, the `k` words nearest to the one there by the cosine of their vectors, best
    first.

    Only words are searched (`candidates.is_word`), and of forms that differ in case alone the one that stands
    first in the table: the most frequent in files of GloVe and word2vec, and case is carried over from the
    text anyway. So `k` different words come, none of them the word itself; none at all for a word that the
    table does not have in its own or in lower case.

    A word is looked for once, in one product with the others of the call that are new. `fingerprint` stands
    for all that decides what is proposed, `counts` tells what was asked.
    """

    def __init__(self, vectors: Vectors, k: int = 20) -> None:
        if k < 1:
            raise SettingsError(f"{k} neighbours were asked for; ask for 1 or more")
        self.vectors = vectors
        self.k = k
        self.counts = NeighboursCounts()
        self.fingerprint = hashlib.blake2b(
            f"neighbours 1 {vectors.fingerprint} {k}".encode(), digest_size=16
        ).hexdigest()
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
        """Remember the neighbours of the rows."""
        words = self.vectors.words
        # One more than k, for the word itself may be among them in other case.
        for row, found in zip(rows, self.vectors.nearest(rows, self.k + 1, among=self._among), strict=True):
            itself = words[row].casefold()
            others = (words[near] for near in found.tolist())
            self._near[row] = tuple(word for word in others if word.casefold() != itself)[: self.k]


def _candidates(words: Sequence[str]) -> Mask:
    """Which of the words [N] may be proposed: those that are words, the first of each that differ in case
    alone.
    """
    seen: set[str] = set()
    mask = np.zeros(len(words), dtype=np.bool_)
    for row, word in enumerate(words):
        if (word.isalpha() or is_word(word)) and (folded := word.casefold()) not in seen:
            seen.add(folded)
            mask[row] = True
    return mask
