"""Tables of document, question and answer become examples with offsets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyreader.data import Answer, write_squad
from tinyreader.errors import DataError
from tinyreader.own_questions import find_answer, read_own_questions

LEASE = "Rent is 900 euros.\nThe deposit is two\nmonths' rent. Rent is due on the 3rd."


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_names_files_beside_it(tmp_path: Path, delimiter: str) -> None:
    """The document is a file, the answer is found in it across a line break, an empty answer says there is none."""
    write(tmp_path / "lease.txt", LEASE)
    rows = [
        "file|question|answer",
        "lease.txt|How high is the deposit?|two months' rent",
        "lease.txt|Who pays?|",
    ]
    table = write(tmp_path / "own.csv", "\n".join(row.replace("|", delimiter) for row in rows))
    first, second = read_own_questions(table).examples
    assert first.answers == (Answer("two\nmonths' rent", LEASE.index("two")),)
    assert (first.id, first.title, first.context) == ("own-2", "lease.txt", LEASE)
    assert second.is_impossible


def test_json_lines_hold_texts_and_several_answers(tmp_path: Path) -> None:
    """A document may be the text itself; `||` or a list parts several answers; case is ignored where it must be."""
    rows = [
        {"document": LEASE, "question": "Rent?", "answer": "900 Euros||900", "id": "a"},
        {"context": LEASE, "question": "When?", "answers": ["the 3rd"]},
    ]
    found = read_own_questions(write(tmp_path / "own.jsonl", "\n".join(map(json.dumps, rows)))).examples
    assert [answer.text for answer in found[0].answers] == ["900 euros", "900"]
    assert found[1].answers == (Answer("the 3rd", LEASE.index("the 3rd")),)
    assert found[0].title == found[1].title


def test_squad_passes_through(tmp_path: Path) -> None:
    """A SQuAD file gives what it holds, whatever its form."""
    table = write(tmp_path / "own.csv", f'document,question,answer\n"{LEASE}",Rent?,900 euros\n')
    examples = read_own_questions(table).examples
    write_squad(examples, tmp_path / "own.json")
    assert read_own_questions(tmp_path / "own.json").examples == examples


def test_several_places_are_reported(tmp_path: Path) -> None:
    """The first place of an answer that stands twice is taken, and the row is named."""
    table = write(tmp_path / "own.csv", f'document,question,answer\n"{LEASE}",What is due?,Rent\n')
    found = read_own_questions(table)
    assert found.examples[0].answers == (Answer("Rent", 0),)
    assert "row 2" in str(found.ambiguous[0])
    assert "stands 2 times" in str(found.ambiguous[0])


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("document,question\nx,y\n", "no column for the answer"),
        ("question,answer\nx,y\n", "no column for the document"),
        ("document,question,answer\nRent is 9.,What?,ten\n", "row 2.*'ten' does not stand"),
        ("document,question,answer\nnotes.txt,What?,ten\n", "row 2.*'notes.txt' is not in"),
        ("file,question,answer\nnone,What?,ten\n", "row 2.*'none' is not in"),
        ("document,question,answer\nRent is 9.,,9\n", "row 2.*no question"),
        ("document,question,answer\n,What?,9\n", "row 2.*no document"),
        ("document,question,answer\n", "no question in it"),
        ("id,document,question,answer\na,Rent is 9.,What?,9\na,Rent is 9.,Why?,\n", "row 3.*'a'"),
        ("", "no column"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_row(tmp_path: Path, table: str, named: str) -> None:
    """Each fault is one error with the row, before any work is spent."""
    with pytest.raises(DataError, match=f"(?s){named}"):
        read_own_questions(write(tmp_path / "own.csv", table))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A table that is not there is one clear error."""
    with pytest.raises(DataError, match=r"own\.csv: no such file"):
        read_own_questions(tmp_path / "own.csv")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("5", [(9, 10)]),
        ("§ 5", [(7, 10)]),
        ("no  dogs", [(11, 18)]),
        ("dog", []),
        ("(a)", [(19, 22)]),
        ("NO", [(11, 13)]),
    ],
)
def test_answers_are_found_as_whole_words(words: str, found: list[tuple[int, int]]) -> None:
    """Not within longer words and numbers, with signs at their edges, over any blanks, in any case if need be."""
    assert find_answer("In 1950 § 5 no\ndogs (a)".replace("1950 ", "195 "), words) == found
