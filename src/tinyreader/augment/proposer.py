"""What a caller of `augment` decides: the options, and who proposes words (`Proposer`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from tinyreader.errors import SettingsError


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """Settings of the rewriting, named as in TinyBERT's algorithm 1 (arXiv 1909.10351) where it has them.

    Each paragraph gets `times` copies (N_a in the paper). Each replaceable word is replaced with
    `probability` (p_t) by one of its `candidates` best proposals (K), all equally likely. Raises
    `SettingsError` for values out of range.
    """

    times: int = 20
    probability: float = 0.4
    candidates: int = 15
    seed: int = 1
    keep_original: bool = False
    replace_answers: bool = False
    replace_question_words: bool = False
    replace_digits: bool = False
    keep_stop_words: bool = False

    def __post_init__(self) -> None:
        for name, minimum in (("times", 1), ("candidates", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < minimum:
                raise SettingsError(f"{name} is {value}; it must be at least {minimum}")
        if not 0 < self.probability <= 1:
            raise SettingsError(f"probability is {self.probability}; it must be above 0 and at most 1")

    def as_dict(self) -> dict[str, object]:
        """The settings as plain data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph and its replaceable words, as (start, end) in code points of `text`, in order."""

    text: str
    places: tuple[tuple[int, int], ...]

    @property
    def words(self) -> list[str]:
        """The words at the places."""
        return [self.text[start:end] for start, end in self.places]


class Proposer(Protocol):
    """Proposes replacements for words.

    A call takes passages and returns, for each passage and each of its places, candidates with the best
    first. Where it returns none, the next proposer is asked. The caller filters what comes back
    (`words.clean`): it removes the word itself, duplicates and anything that is not a word, and adapts the
    case. A function can be a proposer:

        def thesaurus(passages):
            return [[SYNONYMS.get(word.lower(), ()) for word in passage.words] for passage in passages]

    The candidates for a passage must not depend on the other passages of the call.
    """

    def __call__(self, passages: Sequence[Passage]) -> Sequence[Sequence[Sequence[str]]]:
        """Candidates per passage and place, best first."""
        ...
