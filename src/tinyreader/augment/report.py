"""What rewriting a data set did, in counts that can be added up and written out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_BINS = 100


@dataclass(slots=True)
class AugmentReport:
    """Counts over paragraphs, their words and their copies; `as_dict` adds the shares.

    A word is `kept` when it may not be replaced (answers, shared with a question, digits, stop words by
    choice), and `without_candidates` when nobody proposes for it. A paragraph is `unchanged` when no copy of
    it could be made; it then stands in the result once, as it was. `shares` counts copies by the share of
    their words that was replaced, in hundredths.
    """

    paragraphs: int = 0
    examples: int = 0
    words: int = 0
    replaceable_words: int = 0
    without_candidates: int = 0
    copies: int = 0
    copied_examples: int = 0
    replaced_words: int = 0
    copied_words: int = 0
    redrawn: int = 0
    dropped: int = 0
    unchanged_paragraphs: int = 0
    unchanged_examples: int = 0
    shares: list[int] = field(default_factory=lambda: [0] * (_BINS + 1))

    def add_copy(self, n_examples: int, n_replaced: int, n_words: int) -> None:
        """Counts one copy."""
        self.copies += 1
        self.copied_examples += n_examples
        self.replaced_words += n_replaced
        self.copied_words += n_words
        self.shares[_BINS * n_replaced // max(n_words, 1)] += 1

    def add(self, other: AugmentReport) -> None:
        """Adds what another report counted."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            total = [a + b for a, b in zip(mine, theirs, strict=True)] if name == "shares" else mine + theirs
            setattr(self, name, total)

    def counts(self) -> dict[str, Any]:
        """All counts as plain data, from which `AugmentReport(**counts)` makes the report again."""
        return {name: getattr(self, name) for name in self.__slots__}

    def median_share(self) -> float:
        """The share of replaced words of the median copy, rounded down to hundredths; 0 without copies."""
        below = 0
        for hundredths, n in enumerate(self.shares):
            below += n
            if n and 2 * below >= self.copies:
                return hundredths / _BINS
        return 0.0

    def as_dict(self) -> dict[str, Any]:
        """The counts with the shares that follow from them, without the histogram."""
        counts = {name: value for name, value in self.counts().items() if name != "shares"}
        return counts | {
            "replaced_share": round(self.replaced_words / max(self.copied_words, 1), 4),
            "median_replaced_share": self.median_share(),
            "unchanged_share": round(self.unchanged_paragraphs / max(self.paragraphs, 1), 4),
            "dropped_share": round(self.dropped / max(self.copies + self.dropped, 1), 4),
        }

    def __str__(self) -> str:
        facts = self.as_dict()
        return (
            f"{self.paragraphs:,} paragraphs, {self.copies:,} copies with {self.copied_examples:,} "
            "questions; "
            f"{facts['replaced_share']:.0%} of their words replaced ({facts['median_replaced_share']:.0%} in "
            "the median copy); "
            f"{self.unchanged_paragraphs:,} paragraphs could not be changed, {self.dropped:,} copies were "
            "dropped as repeated, "
            f"{self.without_candidates:,} of {self.replaceable_words:,} replaceable words had no candidate"
        )
