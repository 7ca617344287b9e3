"""Writing, and that what is written reads the same."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_samples import EXAMPLES, SHARED_DATA, document, example_lists
from tinyreader.data import (
    Example,
    fingerprint,
    iter_examples,
    load_examples,
    write_jsonl,
    write_squad,
    writer_for,
)
from tinyreader.errors import DataError, SettingsError

DEV = SHARED_DATA / "squad2-dev-a.json"
NAMES = ["a.json", "a.json.gz", "a.jsonl", "a.jsonl.gz"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one directory for all examples that a property test draws."""
    return tmp_path_factory.mktemp("written")


def test_squad_as_the_format_says(tmp_path: Path) -> None:
    """The written document is the one that was read, version, flags and plausible answers included."""
    write_squad(EXAMPLES, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == document()


def test_json_lines_as_the_hub_has_them(tmp_path: Path) -> None:
    """A row has the Hub's fields in the Hub's order; plausible answers only where there are some."""
    write_jsonl(EXAMPLES, tmp_path / "a.jsonl")
    first, second, _ = map(json.loads, (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines())
    assert list(first) == ["id", "title", "context", "question", "answers"]
    assert first["answers"] == {"text": ["1811", "in 1811"], "answer_start": [36, 33]}
    assert second["answers"] == {"text": [], "answer_start": []}
    assert second["plausible_answers"] == {"text": ["Tobe Harl"], "answer_start": [44]}


@pytest.mark.parametrize("name", NAMES)
@given(examples=example_lists(min_size=1))
@settings(max_examples=25, deadline=None)
def test_round_trip(directory: Path, name: str, examples: list[Example]) -> None:
    """Whatever examples are written, in whatever order, the same ones in the same order are read."""
    path = directory / name
    writer_for(path)(examples, path)
    assert load_examples(path) == examples


@given(examples=example_lists(min_size=1))
@settings(max_examples=30, deadline=None)
def test_the_fingerprint_does_not_know_the_format(directory: Path, examples: list[Example]) -> None:
    """Through SQuAD and JSON Lines and back the fingerprint stays."""
    write_squad(examples, directory / "f.json")
    write_jsonl(iter_examples(directory / "f.json"), directory / "f.jsonl.gz")
    assert fingerprint(iter_examples(directory / "f.jsonl.gz")) == fingerprint(examples)


@pytest.mark.skipif(not DEV.exists(), reason="../shared/data/squad2-dev-a.json is not here")
def test_round_trip_of_real_data(tmp_path: Path) -> None:
    """SQuAD to JSON Lines to SQuAD is the identity on 5,404 real questions, in examples and in paragraphs."""
    examples = load_examples(DEV)
    write_jsonl(examples, tmp_path / "a.jsonl.gz")
    write_squad(load_examples(tmp_path / "a.jsonl.gz"), tmp_path / "b.json")
    assert load_examples(tmp_path / "b.json") == examples
    written, official = (json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "b.json", DEV))
    assert written["data"] == official["data"]


def test_writing_streams(tmp_path: Path) -> None:
    """A generator is written as it comes, and an empty one gives a well-formed file."""
    write_squad((example for example in EXAMPLES), tmp_path / "a.json")
    assert load_examples(tmp_path / "a.json") == EXAMPLES
    write_squad([], tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text()) == {"version": "v2.0", "data": []}


def test_following_contexts_share_a_paragraph(tmp_path: Path) -> None:
    """Examples are gathered while title and context stay the same; the order is never changed for it."""
    shuffled = [EXAMPLES[0], EXAMPLES[2], EXAMPLES[1]]
    write_squad(shuffled, tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())["data"]
    assert [article["title"] for article in data] == [
        title for title, _ in groupby(each.title for each in shuffled)
    ]


def test_a_failing_source_leaves_the_old_file(tmp_path: Path) -> None:
    """When the examples cannot be read to the end, what was there before stays."""
    path = tmp_path / "a.jsonl"
    write_jsonl(EXAMPLES, path)
    with pytest.raises(DataError):
        write_jsonl(iter_examples([EXAMPLES[0], EXAMPLES[0]]), path)
    assert load_examples(path) == EXAMPLES
    assert [each.name for each in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_what_no_file_can_hold(tmp_path: Path, name: str) -> None:
    """Half of a surrogate pair cannot be written; the error shows where it is."""
    bad = replace(EXAMPLES[0], question="why \ud83d?")
    with pytest.raises(DataError, match="surrogate pair"):
        writer_for(name)([bad], tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "json", "a.json.zip"])
def test_a_name_that_says_no_format(name: str) -> None:
    """The format goes by the name, and a name that says none is refused."""
    with pytest.raises(SettingsError, match=r"must end with \.json"):
        writer_for(name)


@given(name=st.sampled_from(["A.JSON", "a.Json.GZ", "x.y.json"]))
def test_suffixes_in_capitals(name: str) -> None:
    """Capital letters in a suffix mean the same."""
    assert writer_for(name) is write_squad
