"""From the teacher's tokens to the student's, by the characters that both stand on: distributions, states and
attention.

A span distribution lives on characters, so any reader can teach any student. Teacher and student read the
same text: the question and the student's window's own slice of the context, so that the teacher says what can
be known from what the student sees, and that there is no answer where it sees none. Each token has a place on
a line of code points:

    [0, 1) opening tokens | the question | one place for the tokens between | the slice of the context |
    closing tokens

Carrying follows the rule by which `windows.py` turns a gold answer into a label: the first and last student
token that overlap the span. A start at a teacher token goes to the first student token that reaches beyond
its first character, an end to the last student token that begins before its end. So an answer that the
teacher is sure of ends on exactly the tokens that its gold label would, whichever tokenizer cuts finer; what
several teacher tokens say of one student token adds up, and of several student tokens on one teacher token
only the outermost get mass, for inside it the teacher has said nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Float64, Floats, Integers
from tinyreader.spans import NULL_TOKEN

VERSION = 1
"""Of the rules here: what was computed under others is computed again."""

LOG_ZERO = -1e4
"""The logarithm that stands for no probability: finite in half precision, and nothing at any temperature up
to 100.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where a window's n tokens stand: int [n, 2], begin and end on the line; the context's tokens are
    [first, stop).
    """

    line: Integers
    first: int
    stop: int

    def __len__(self) -> int:
        return len(self.line)

    @property
    def context(self) -> Integers:
        """The places [m, 2] of the context's tokens."""
        return self.line[self.first : self.stop]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How many special tokens a tokenizer puts before the question, between, and after the context."""

    before: int
    between: int
    after: int


@dataclass(frozen=True, slots=True)
class Slice:
    """What a window holds: the number of characters of the question, and code points [begin, end) of the
    context.
    """

    question: int
    begin: int
    end: int


def lay_out(question: Integers, context: Integers, around: Surroundings, held: Slice) -> Places:
    """The places of a window's tokens, from the code points [., 2] of those of its question and of its
    context.
    """
    n, first = held.question, around.before + len(question) + around.between
    after = 2 + n + held.end - held.begin
    line = np.concatenate(
        [
            np.tile([0, 1], (around.before, 1)),
            question + 1,
            np.tile([n + 1, n + 2], (around.between, 1)),
            context - held.begin + n + 2,
            np.tile([after, after + 1], (around.after, 1)),
        ]
    )
    return Places(line.astype(np.int32), first, first + len(context))


@dataclass(frozen=True, slots=True, eq=False)
class SliceLogits:
    """A teacher's logits on m tokens of a slice, from its token `begin` on.

    `start` and `end` are logits [1 + m], the null position's first; `places` [m, 2] are those of the tokens.
    """

    start: Floats
    end: Floats
    places: Integers
    begin: int = 0


def merge_pieces(pieces: Sequence[SliceLogits]) -> SliceLogits:
    """The logits on a slice from those on overlapping pieces that cover it.

    Each token counts where it has most context, by the shorter of what stands before and behind it in the
    piece; of equals the earlier piece. "No answer" is what the piece says that is least sure of it, as when
    `spans.py` merges windows: an answer in one place is enough.
    """
    if len(pieces) == 1:
        return pieces[0]
    n = max(piece.begin + len(piece.places) for piece in pieces)
    start, end, places, room = np.zeros(1 + n), np.zeros(1 + n), np.zeros((n, 2), np.int64), np.full(n, -1)
    for piece in pieces:
        numbers = np.arange(len(piece.places))
        context = np.minimum(numbers, numbers[::-1])
        better = np.flatnonzero(context > room[piece.begin + numbers])
        at = piece.begin + better
        room[at], places[at] = context[better], piece.places[better]
        start[1 + at], end[1 + at] = piece.start[1 + better], piece.end[1 + better]
    least = min(pieces, key=lambda piece: float(piece.start[0]) + float(piece.end[0]))
    start[0], end[0] = least.start[0], least.end[0]
    return SliceLogits(start, end, places)


def start_targets(teacher: Integers, student: Places) -> npt.NDArray[np.intp]:
    """For each place [m, 2] of a teacher's token the student's token to which a start at it goes; 0 where
    there is none.
    """
    tokens = _wide(student)
    if not len(tokens):
        return np.zeros(len(teacher), dtype=np.intp)
    reached = np.maximum.accumulate(student.line[tokens, 1])
    found = np.searchsorted(reached, teacher[:, 0], side="right")
    return np.where(found < len(tokens), tokens[np.minimum(found, len(tokens) - 1)], NULL_TOKEN)


def end_targets(teacher: Integers, student: Places) -> npt.NDArray[np.intp]:
    """For each place [m, 2] of a teacher's token the student's token to which an end at it goes; 0 where
    there is none.
    """
    tokens = _wide(student)
    if not len(tokens):
        return np.zeros(len(teacher), dtype=np.intp)
    begun = np.minimum.accumulate(student.line[tokens, 0][::-1])[::-1]
    found = np.searchsorted(begun, teacher[:, 1], side="left") - 1
    return np.where(found >= 0, tokens[np.maximum(found, 0)], NULL_TOKEN)


def carry(teacher: SliceLogits, student: Places) -> tuple[Float64, Float64]:
    """Start and end probabilities [n] on the student's n tokens, from a teacher's logits on the whole slice.

    Each sums to 1 over the null position and the context's tokens, and is 0 elsewhere.
    """
    start_to, end_to = start_targets(teacher.places, student), end_targets(teacher.places, student)
    return _moved(softmax(teacher.start), start_to, len(student)), _moved(
        softmax(teacher.end), end_to, len(student)
    )


def softmax(logits: Floats) -> Float64:
    """Probabilities float64 [n] of logits [n]."""
    exponents = np.exp(logits.astype(np.float64) - float(logits.max()))
    probabilities: Float64 = exponents / exponents.sum()
    return probabilities


def logarithms(probabilities: Float64) -> Float64:
    """Natural logarithms, with `LOG_ZERO` for 0: logits whose softmax, at temperature 1, are the
    probabilities.
    """
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(probabilities), LOG_ZERO)


def overlaps(one: Integers, other: Integers) -> Integers:
    """How many characters the tokens at `one` [n, 2] share with those at `other` [m, 2]: int [n, m]."""
    begin = np.maximum(one[:, None, 0], other[None, :, 0])
    end = np.minimum(one[:, None, 1], other[None, :, 1])
    shared: Integers = np.maximum(end - begin, 0)
    return shared


def _moved(probabilities: Float64, targets: npt.NDArray[np.intp], n: int) -> Float64:
    """Probabilities [1 + m], the null position's first, added up on the `n` tokens that the other m are moved
    to.
    """
    moved = np.zeros(n)
    np.add.at(moved, np.concatenate([[NULL_TOKEN], targets]), probabilities)
    return moved


def _wide(student: Places) -> npt.NDArray[np.intp]:
    """The student's context tokens that stand on any character at all: spans begin and end at no others."""
    context = student.context
    return student.first + np.flatnonzero(context[:, 0] < context[:, 1])
