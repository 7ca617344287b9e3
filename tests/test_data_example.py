"""The content hash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data_samples import EXAMPLES
from tinyreader.data import Answer, Example, Fingerprint, fingerprint


def test_the_hash_is_what_it_was() -> None:
    """Fingerprints are recorded with runs, so that a change of the hash is a change of the format."""
    assert fingerprint(EXAMPLES) == "2f248e5c1aa1db422163110ef27b41bd"
    assert len(fingerprint([])) == 32


def test_running_and_whole_are_the_same() -> None:
    """Examples can be added as they pass by."""
    running = Fingerprint()
    for example in EXAMPLES:
        running.update(example)
    assert running.hexdigest() == fingerprint(EXAMPLES)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x"},
        {"question": "x"},
        {"context": "x"},
        {"title": "x"},
        {"answers": ()},
        {"answers": (Answer("1811", 36),)},
        {"answers": (Answer("1811", 35), Answer("in 1811", 33))},
        {"plausible_answers": (Answer("1811", 36),)},
    ],
)
def test_every_field_counts(changes: dict[str, object]) -> None:
    """Any change to an example changes the fingerprint."""
    assert fingerprint([replace(EXAMPLES[0], **changes)]) != fingerprint([EXAMPLES[0]])  # type: ignore[arg-type]


def test_order_counts() -> None:
    """Training sees an order, so the fingerprint does."""
    assert fingerprint(EXAMPLES) != fingerprint(EXAMPLES[::-1])


def test_parts_do_not_run_together() -> None:
    """Text moved from one field to the next is another content."""
    assert fingerprint([Example("a", "bc", "d")]) != fingerprint([Example("ab", "c", "d")])
    assert fingerprint([Example("a", "b", "c", (Answer("d", 0),))]) != fingerprint(
        [Example("a", "b", "c", (), (Answer("d", 0),))]
    )


def test_what_cannot_be_written_can_be_hashed() -> None:
    """Lone surrogates in memory are no obstacle."""
    assert fingerprint([Example("a", "\ud800", "c")]) != fingerprint([Example("a", "\ud801", "c")])
