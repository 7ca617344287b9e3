"""Synonyms from a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tinyreader.augment import Passage
from tinyreader.augment.synonyms import Synonyms, read_synonyms
from tinyreader.errors import DataError

FILE = "# old words\nbuilt\terected\n\nBuilt\tconstructed\nStraße\tWeg\r\n  river \t stream\n"


def passage(text: str) -> Passage:
    """A passage with a place for each word between blanks."""
    places, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        places.append((start, at))
    return Passage(text, tuple(places))


def write(path: Path, content: str | bytes) -> Path:
    """The path, with the content written there."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "encode", [str.encode, lambda s: gzip.compress(s.encode()), lambda s: s.encode("utf-8-sig")]
)
def test_lines_of_a_word_add_up_whatever_its_case(tmp_path: Path, encode: object) -> None:
    """A word's synonyms come in the file's order, for the word in any case; comments and blank lines are
    skipped.
    """
    propose = read_synonyms(write(tmp_path / "s", encode(FILE)))  # type: ignore[operator]
    passages = [passage("It was BUILT by the river"), passage(""), passage("STRASSE stream")]
    assert propose(passages) == [
        [(), (), ("erected", "constructed"), (), (), ("stream",)],
        [],
        [("Weg",), ()],
    ]


def test_the_fingerprint_stands_for_the_table(tmp_path: Path) -> None:
    """It is the same however the table was written or given, and another for other synonyms or another
    order.
    """
    table = {"built": ["erected", "constructed"], "strasse": ["Weg"], "river": ["stream"]}
    same = {read_synonyms(write(tmp_path / "s", FILE)).fingerprint, Synonyms(table).fingerprint}
    same.add(
        Synonyms(
            {
                "built": ["erected"],
                **{k: v for k, v in table.items() if k != "built"},
                "BUILT": ["constructed"],
            }
        ).fingerprint
    )
    assert len(same) == 1
    assert Synonyms(table | {"built": ["constructed", "erected"]}).fingerprint not in same


def test_what_is_no_single_word_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Words of several parts, on either side, cannot stand in a word's place; they are counted, the first is
    named.
    """
    content = "engine\tfire engine\nfire engine\tengine\nengine\tmotor\nengine\t42\n"
    assert read_synonyms(write(tmp_path / "s", content))([passage("engine")]) == [[("motor",)]]
    assert (
        "3 lines with more or less than one word on a side were left out, the first is line 1" in caplog.text
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file has no synonyms"),
        ("# nothing\n\n", "the file has no synonyms"),
        ("a\t42\n", "the file has no synonyms"),
        ("a\tb\na b\n", "line 2: 'a b' is not a word, a tab and a synonym"),
        ("# x\n\na\tb\tc\n", r"line 3: 'a\\tb\\tc' is not a word"),
        ("a\t\n", "line 1: 'a' is not a word"),
        ("\tb\n", "line 1: 'b' is not a word"),
        (b"a\tb\n" + b"x" * 20_000 + b"\tc\nd\t\xff\n", r"line 3: is not UTF-8"),
        (gzip.compress(FILE.encode())[:-12], "cannot be read: Compressed file ended"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    """A line that is otherwise is an error that names it."""
    with pytest.raises(DataError, match=said):
        read_synonyms(write(tmp_path / "s", content))


def test_a_missing_file_and_a_directory_are_errors(tmp_path: Path) -> None:
    """Both are said with their name."""
    with pytest.raises(DataError, match=r"none\.tsv: cannot be read: No such file"):
        read_synonyms(tmp_path / "none.tsv")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_synonyms(str(tmp_path))
