"""Whatever is done to a good file: findings or examples, and no other exception."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_samples import EXAMPLES, document, example_lists
from tinyreader.data import KINDS, Example, ReadReport, check, load_examples
from tinyreader.data.rows import example_row
from tinyreader.data.validate import counted_in_other_units
from tinyreader.errors import DataError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["", " ", "1811", "Tobe Harl", "m1", "\ud800", -1, 36, 10**30]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["text", "answer_start", "context", "qas", "id"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one directory for all files that a property test draws."""
    return tmp_path_factory.mktemp("mutated")


def paths_into(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths_into(inner, (*path, key))


def mutated(whole: Any, draw: st.DrawFn) -> Any:
    """Return a JSON value in which some values were replaced, deleted or doubled."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths_into(value))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder = value
        for key in way:
            holder = holder[key]
        action = draw(st.sampled_from(["replace", "delete", "double"]))
        if action == "replace" or (action == "double" and isinstance(holder, dict)):
            holder[last] = draw(VALUES)
        elif action == "delete":
            del holder[last]
        else:
            holder.append(copy.deepcopy(holder[last]))
    return value


@st.composite
def mutated_documents(draw: st.DrawFn) -> bytes:
    """Draw a SQuAD file with wrong values in it."""
    return json.dumps(mutated(document(), draw)).encode()


@st.composite
def mutated_rows(draw: st.DrawFn) -> bytes:
    """Draw a JSON Lines file with wrong values in it."""
    rows = mutated([example_row(example) for example in EXAMPLES], draw)
    return "\n".join(json.dumps(row) for row in rows).encode()


@st.composite
def mutated_bytes(draw: st.DrawFn) -> bytes:
    """Draw a good file with some bytes changed, lost or put in, compressed or not."""
    text = "\n".join(json.dumps(example_row(example)) for example in EXAMPLES)
    content = bytearray((json.dumps(document()) if draw(st.booleans()) else text).encode())
    if draw(st.booleans()):
        content = bytearray(gzip.compress(content, mtime=0))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        content[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=3))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def assert_holds(path: Path) -> None:
    """Check what must be true of any file at all."""
    report = check(path)
    assert all(
        finding.kind in KINDS and finding.message and str(finding).isprintable()
        for finding in report.findings
    )
    assert report.n_good <= report.n_questions
    if report.ok:
        assert len(load_examples(path)) == report.n_questions == report.n_good
    else:
        with pytest.raises(DataError):
            load_examples(path)
    for on_bad in ("skip", "repair"):
        reading = ReadReport()
        try:
            examples = load_examples(path, on_bad=on_bad, rejected=reading)
        except DataError:
            assert not report.ok
            continue
        assert_sound(examples)
        assert len(examples) == reading.n_kept
        assert len(examples) == report.n_good + reading.n_repaired
        assert len(reading.skipped) + len(reading.repaired) == len(report.findings)
        assert reading.n_kept + reading.n_skipped == report.n_questions


def assert_sound(examples: list[Example]) -> None:
    """Check that the examples are what they promise."""
    assert len({example.id for example in examples}) == len(examples)
    for example in examples:
        assert example.id
        assert example.question.strip()
        assert example.context.strip()
        for answer in (*example.answers, *example.plausible_answers):
            assert answer.text
            assert example.context[answer.start : answer.end] == answer.text


@given(content=mutated_documents())
@settings(max_examples=150, deadline=None)
def test_documents_with_wrong_values(directory: Path, content: bytes) -> None:
    """Wrong values anywhere in a SQuAD document are findings; what is kept is sound, and the counts add
    up.
    """
    path = directory / "a.json"
    path.write_bytes(content)
    assert_holds(path)


@given(content=mutated_rows())
@settings(max_examples=100, deadline=None)
def test_rows_with_wrong_values(directory: Path, content: bytes) -> None:
    """Wrong values anywhere in JSON Lines are findings; what is kept is sound, and the counts add up."""
    path = directory / "a.jsonl"
    path.write_bytes(content)
    assert_holds(path)


@given(content=mutated_bytes(), name=st.sampled_from(["a.json", "a.jsonl", "a.json.gz", "a"]))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes(directory: Path, content: bytes, name: str) -> None:
    """Changed, lost and added bytes, in any format under any name, give findings and never another
    exception.
    """
    path = directory / name
    path.write_bytes(content)
    assert_holds(path)


@given(examples=example_lists(min_size=1), shift=st.integers(-3, 3))
@settings(max_examples=60, deadline=None)
def test_repair_brings_back_what_was_there(examples: list[Example], shift: int) -> None:
    """Shifted offsets are never repaired to another place than the right one, unless they fit in other units."""
    good = Example("good", "Why?", "Because.", title="one that is left in any case")
    rows = [example_row(good)]
    for example in (each for each in examples if each.id != good.id):
        row = example_row(example)
        row["answers"] = [{"text": each.text, "answer_start": each.start + shift} for each in example.answers]
        rows.append(row)
    original = {example.id: example for example in examples} | {good.id: good}
    for example in load_examples(rows, on_bad="repair"):
        for answer, right in zip(example.answers, original[example.id].answers, strict=True):
            in_other_units = dict(counted_in_other_units(right.start + shift, example.context))
            assert answer == right or (answer.text == right.text and answer.start in in_other_units)
