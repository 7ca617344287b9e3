"""The everyday set: well-formed, and no document on both sides."""

from __future__ import annotations

from pathlib import Path

from tinyreader.data import load_examples

EVERYDAY = Path(__file__).parents[1] / "data" / "everyday"


def test_the_everyday_set_is_whole_and_split_by_document() -> None:
    """Both files load without a finding; a document and its questions are in one of them, each writer in both."""
    train, held_out = (load_examples(EVERYDAY / f"{name}.json.gz") for name in ("train", "held-out"))
    assert (len(train), len(held_out)) == (9882, 1096)
    assert not {one.context for one in train} & {one.context for one in held_out}
    assert {one.id[:2] for one in train} == {one.id[:2] for one in held_out}
    assert 0.25 < sum(one.is_impossible for one in train) / len(train) < 0.4
