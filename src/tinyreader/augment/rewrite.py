"""Copies of a paragraph with words replaced, and its questions with their answers moved accordingly."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from tinyreader.augment.proposer import AugmentOptions
from tinyreader.augment.words import Place
from tinyreader.data import Answer, Example
from tinyreader.errors import DataError

REDRAWS = 5
"""How often a copy that equals the original or an earlier copy is drawn again before it is dropped."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replaced word: its code points [start, end) in the original, and the new word."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy `number` (from 1) of a paragraph: its text and what was replaced in it, in order."""

    number: int
    text: str
    replacements: tuple[Replacement, ...]


class Copies:
    """The distinct copies of one paragraph; `n_redrawn` and `n_dropped` are final after the iteration.

    The draws depend on the seed and the text alone, not on the other paragraphs.
    """

    def __init__(self, text: str, candidates: Mapping[Place, Sequence[str]], options: AugmentOptions) -> None:
        self.text = text
        self.candidates = {place: words for place, words in sorted(candidates.items()) if words}
        self.options = options
        self.n_redrawn = 0
        self.n_dropped = 0

    def __iter__(self) -> Iterator[Copy]:
        draw = random.Random(f"{self.options.seed} {self.text}".encode("utf-8", "surrogatepass"))
        self.n_redrawn = self.n_dropped = 0
        if not self.candidates:
            return
        seen = {self.text}
        for number in range(1, self.options.times + 1):
            for attempt in range(1 + REDRAWS):
                replacements = self._draw(draw)
                text = replaced(self.text, replacements)
                if text not in seen:
                    seen.add(text)
                    yield Copy(number, text, replacements)
                    break
                self.n_redrawn += attempt < REDRAWS
            else:
                self.n_dropped += 1

    def _draw(self, draw: random.Random) -> tuple[Replacement, ...]:
        """Replace each word with `probability`, all candidates equally likely (algorithm 1, lines 13-16)."""
        return tuple(
            Replacement(*place, words[int(draw.random() * len(words))])
            for place, words in self.candidates.items()
            if draw.random() < self.options.probability
        )


def replaced(text: str, replacements: Sequence[Replacement]) -> str:
    """The text with the replacements made."""
    parts, position = [], 0
    for each in replacements:
        parts += [text[position : each.start], each.text]
        position = each.end
    return "".join([*parts, text[position:]])


def rewritten(example: Example, copy: Copy) -> Example:
    """The example on the copy's text, its answers moved and verified, its id that of the original plus the
    copy's number.
    """
    shift = _Shift(copy.replacements)
    return replace(
        example,
        id=f"{example.id}#aug{copy.number}",
        context=copy.text,
        answers=tuple(_moved(example, a, copy.text, shift) for a in example.answers),
        plausible_answers=tuple(_moved(example, a, copy.text, shift) for a in example.plausible_answers),
    )


class _Shift:
    """Maps code points of the original to those of the copy; not defined inside a replaced word."""

    def __init__(self, replacements: Sequence[Replacement]) -> None:
        self.ends = [each.end for each in replacements]
        self.sums = [0, *accumulate(len(each.text) - (each.end - each.start) for each in replacements)]

    def __call__(self, position: int) -> int:
        return position + self.sums[bisect_right(self.ends, position)]

    def changed(self, start: int, end: int) -> bool:
        """Whether a word that ends within (start, end] was replaced."""
        return bisect_right(self.ends, start) != bisect_right(self.ends, end)


def _moved(example: Example, answer: Answer, text: str, shift: _Shift) -> Answer:
    """The answer at its new place; `DataError` if its text changed though no word in it was replaced."""
    start, end = shift(answer.start), shift(answer.end)
    moved = Answer(text[start:end], start)
    if not moved.text or (moved.text != answer.text and not shift.changed(answer.start, answer.end)):
        raise DataError(
            f"question {example.id!r}: the answer {answer.text!r} was lost in rewriting; this is a bug, please report it"
        )
    return moved
