"""Who proposes other words: `Proposer`, the border between rewriting and the models and tables behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph and the words of it that may be replaced, as (start, end) in code points of `text`, in
    order.
    """

    text: str
    places: tuple[tuple[int, int], ...]

    @property
    def words(self) -> list[str]:
        """The words at the places."""
        return [self.text[start:end] for start, end in self.places]


class Proposer(Protocol):
    """What proposes words that could stand in a word's place.

    A call takes passages and returns, for each passage and each of its places, candidates with the best
    first; none where it has no proposal, and the next proposer is asked. What comes back is cleaned by the
    caller (`candidates.py`): the word itself, repetitions and what is no word go, and the case is made to
    fit. A function is a proposer:

        def thesaurus(passages):
            return [[SYNONYMS.get(word.lower(), ()) for word in passage.words] for passage in passages]

    The candidates for a passage must not depend on the passages beside it.
    """

    def __call__(self, passages: Sequence[Passage]) -> Sequence[Sequence[Sequence[str]]]:
        """Candidates per passage and place, best first."""
        ...
