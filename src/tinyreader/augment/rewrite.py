"""Copies of a paragraph with words replaced, and its questions with their answers where these are now."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from tinyreader.augment.options import AugmentOptions
from tinyreader.augment.words import Place
from tinyreader.data import Answer, Example
from tinyreader.errors import DataError

REDRAWS = 5
"""So many times a copy is drawn again that equals the original or an earlier copy, before it is dropped."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A word that was replaced: its code points [start, end) in the original, and the word that stands there
    now.
    """

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
    """The different copies of one paragraph; `n_redrawn` and `n_dropped` are final when they have been taken.

    What is drawn depends on the seed and the text alone, not on the paragraphs around it.
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
        """Each word with its chance, each candidate as likely as the others (algorithm 1, lines 13 to 16)."""
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
    """The example on the copy's text: the same question, answers moved and verified, and an id that tells the
    origin.
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
    """From code points of the original to those of the copy; places inside a replaced word have none."""

    def __init__(self, replacements: Sequence[Replacement]) -> None:
        self.ends = [each.end for each in replacements]
        self.sums = [0, *accumulate(len(each.text) - (each.end - each.start) for each in replacements)]

    def __call__(self, position: int) -> int:
        return position + self.sums[bisect_right(self.ends, position)]

    def changed(self, start: int, end: int) -> bool:
        """Whether a word that ends in (start, end] was replaced."""
        return bisect_right(self.ends, start) != bisect_right(self.ends, end)


def _moved(example: Example, answer: Answer, text: str, shift: _Shift) -> Answer:
    """The answer at its place in the new text; the same words, unless words inside it were replaced."""
    start, end = shift(answer.start), shift(answer.end)
    moved = Answer(text[start:end], start)
    if not moved.text or (moved.text != answer.text and not shift.changed(answer.start, answer.end)):
        raise DataError(
            f"question {example.id!r}: the answer {answer.text!r} was lost in rewriting; this is a defect"
        )
    return moved
