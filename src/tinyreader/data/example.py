"""`Example`: a question on a context, the currency between data and everything after it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold answer: `text` stands in the context at code point `start`."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Code point after the answer's last."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Example:
    """A question on a context with its gold answers; no answers means: the context does not answer it.

    Offsets are Unicode code points of `context`. `plausible_answers` (SQuAD 2.0) are wrong answers that look
    right.
    """

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    plausible_answers: tuple[Answer, ...] = ()
    title: str = ""

    @property
    def is_impossible(self) -> bool:
        """Whether the context does not answer the question."""
        return not self.answers
