"""`Example`: a question on a context, the currency between data and everything after it; its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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


class Fingerprint:
    """A running hash of examples in their order: `update` with each, then `hexdigest`.

    It depends on the examples' content and order (as training does), not on the file or format they came
    from.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(b"tinyreader examples 1\n", digest_size=16)
        self._context: tuple[str, bytes] = ("", _length_prefixed(""))

    def update(self, example: Example) -> None:
        """Add one example."""
        if example.context is not self._context[0]:
            self._context = (example.context, _length_prefixed(example.context))
        parts = [
            _length_prefixed(example.id),
            _length_prefixed(example.title),
            _length_prefixed(example.question),
            self._context[1],
        ]
        parts += [_encoded(example.answers), _encoded(example.plausible_answers)]
        self._hash.update(b"".join(parts))

    def hexdigest(self) -> str:
        """Return the hash of what was added so far: 32 hexadecimal digits."""
        return self._hash.hexdigest()


def fingerprint(examples: Iterable[Example]) -> str:
    """Return the fingerprint of `examples`: 32 hexadecimal digits; see `Fingerprint`."""
    running = Fingerprint()
    for example in examples:
        running.update(example)
    return running.hexdigest()


def _length_prefixed(text: str) -> bytes:
    # The length goes first, so that moving text from one field to the next changes the hash.
    # surrogatepass: examples built in memory may hold lone surrogates, which no file can.
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded


def _encoded(answers: tuple[Answer, ...]) -> bytes:
    parts = [
        _length_prefixed(answer.text) + answer.start.to_bytes(8, "little", signed=True) for answer in answers
    ]
    return len(answers).to_bytes(8, "little") + b"".join(parts)
