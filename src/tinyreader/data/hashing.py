"""A content hash of examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from tinyreader.data.example import Answer, Example


class Fingerprint:
    """A running hash of examples in their order: `update` with each, then `hexdigest`.

    It depends on what the examples hold and on their order (training does too), not on the file or the format
    they came from. Every part goes in with its length, so that no two data sets run together into the same
    bytes.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(b"tinyreader examples 1\n", digest_size=16)
        self._context: tuple[str, bytes] = ("", _bytes(""))

    def update(self, example: Example) -> None:
        """Add one example."""
        if example.context is not self._context[0]:
            self._context = (example.context, _bytes(example.context))
        parts = [_bytes(example.id), _bytes(example.title), _bytes(example.question), self._context[1]]
        parts += [_answers(example.answers), _answers(example.plausible_answers)]
        self._hash.update(b"".join(parts))

    def hexdigest(self) -> str:
        """Return the hash of what was added so far: 32 hexadecimal digits."""
        return self._hash.hexdigest()


def fingerprint(examples: Iterable[Example]) -> str:
    """Return 32 hexadecimal digits that stand for the content and the order of `examples`; see
    `Fingerprint`.
    """
    running = Fingerprint()
    for example in examples:
        running.update(example)
    return running.hexdigest()


def _bytes(text: str) -> bytes:
    # surrogatepass: examples built in memory may hold what no file can
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded


def _answers(answers: tuple[Answer, ...]) -> bytes:
    parts = [_bytes(answer.text) + answer.start.to_bytes(8, "little", signed=True) for answer in answers]
    return len(answers).to_bytes(8, "little") + b"".join(parts)
