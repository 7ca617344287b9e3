"""Examples from files, memory and the Hub."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from data_samples import EXAMPLES, FERRY, MILL, document, row, write_json, write_rows
from tinyreader.data import (
    Example,
    ReadReport,
    check,
    iter_examples,
    load_examples,
    require_rereadable,
    write_jsonl,
)
from tinyreader.data.read import looks_like_hub_id
from tinyreader.errors import DataError, MissingExtraError, SettingsError


def test_squad_v2(tmp_path: Path) -> None:
    """A SQuAD v2.0 file gives its questions in order, with every answer and plausible answer."""
    assert load_examples(write_json(tmp_path / "a.json", document())) == EXAMPLES


def test_gzip(tmp_path: Path) -> None:
    """Compressed files of both formats read the same."""
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(document()).encode()))
    write_jsonl(EXAMPLES, tmp_path / "a.jsonl.gz")
    assert load_examples(tmp_path / "a.json.gz") == load_examples(str(tmp_path / "a.jsonl.gz")) == EXAMPLES


def test_json_lines_in_the_hub_schema(tmp_path: Path) -> None:
    """A row a line, answers as an object of lists or a list of objects."""
    as_objects = row("b", answers=[{"text": "1811", "answer_start": 36}])
    impossible = row("c", answers={"text": [], "answer_start": []})
    examples = load_examples(write_rows(tmp_path / "a.jsonl", row("a"), as_objects, impossible))
    assert [len(example.answers) for example in examples] == [1, 1, 0]
    assert examples[0].answers == examples[1].answers


def test_unknown_fields_do_no_harm() -> None:
    """Fields that other tools add are passed over."""
    assert load_examples([row("a", annotator=3)]) == load_examples([row("a")])


def test_memory() -> None:
    """Rows, examples, parsed SQuAD documents and dictionaries of splits all read."""
    assert load_examples(EXAMPLES) == EXAMPLES
    assert load_examples(iter(EXAMPLES)) == EXAMPLES
    assert load_examples(document()) == EXAMPLES
    assert load_examples({"train": EXAMPLES}) == EXAMPLES
    assert load_examples({"train": [], "test": EXAMPLES}, split="test") == EXAMPLES
    with pytest.raises(DataError, match="several splits; choose one of: train, test"):
        load_examples({"train": [], "test": []})
    with pytest.raises(SettingsError, match="rows in memory"):
        load_examples(EXAMPLES, split="train")


def test_contexts_are_held_once(tmp_path: Path) -> None:
    """Equal contexts and titles are one string, also when they do not follow one another."""
    path = write_rows(tmp_path / "a.jsonl", row("a"), row("x", context=FERRY, answers=[]), row("b"))
    first, _, last = load_examples(path)
    assert first.context is last.context
    assert first.title is last.title


def test_lines_and_rows_are_read_one_at_a_time() -> None:
    """A stream is not read ahead of what is asked for."""
    asked: list[int] = []

    def endless() -> Iterator[dict[str, Any]]:
        for n in itertools.count():
            asked.append(n)
            yield row(f"q{n}")

    assert len(list(itertools.islice(iter_examples(endless()), 5))) == 5
    assert len(asked) == 5


def test_an_endless_stream_with_a_mistake_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first bad example only so much is looked at before the error is raised."""
    monkeypatch.setattr("tinyreader.data.read.LOOK_AHEAD", 10)
    with pytest.raises(DataError, match="11 findings"):
        load_examples(row(f"q{n}", question="") for n in itertools.count())


def test_opening_fails_at_once(tmp_path: Path) -> None:
    """A missing file or a wrong setting is an error when `iter_examples` is called, not when it is first
    read.
    """
    with pytest.raises(DataError):
        iter_examples(tmp_path / "absent.json")
    with pytest.raises(SettingsError, match="choose one of: error, repair, skip"):
        iter_examples(EXAMPLES, on_bad="ignore")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="is a file"):
        iter_examples(write_json(tmp_path / "a.json", document()), split="train")


def test_skip_keeps_the_good_and_says_what_went(tmp_path: Path) -> None:
    """What is skipped is counted by kind and written out with its place and reason."""
    path = write_rows(tmp_path / "a.jsonl", row("a"), row("a"), row("b", question=""), row("c", title="Lenn"))
    report = ReadReport()
    assert [example.id for example in load_examples(path, on_bad="skip", rejected=report)] == ["a", "c"]
    assert (report.n_kept, report.n_repaired, report.n_skipped) == (2, 0, 2)
    assert report.counts == {"duplicate-id": 1, "empty-question": 1}
    report.write(tmp_path / "rejects.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(line["action"], line["kind"], line["place"], line["question_id"]) for line in lines] == [
        ("skipped", "duplicate-id", "line 2", "a"),
        ("skipped", "empty-question", "line 3", "b"),
    ]


def test_check_and_error_agree(tmp_path: Path) -> None:
    """Without findings there is no error, and the numbers add up."""
    report = check(write_json(tmp_path / "a.json", document()))
    assert (report.ok, report.n_questions, report.n_good, report.counts) == (True, 3, 3, {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rajpurkar/squad_v2", True),
        ("org/name-1.1", True),
        ("a/b.json", False),
        ("a/b.jsonl.gz", False),
        ("a/b/c", False),
        ("./a/b", False),
        ("../b", False),
        ("/a/b", False),
        ("squad", False),
        ("a/b ", False),
    ],
)
def test_what_looks_like_a_hub_id(name: str, expected: bool) -> None:
    """org/name without the suffix of a data file does."""
    assert looks_like_hub_id(name) is expected


class StandIn(ModuleType):
    """`datasets`, as far as it is used here, with one data set."""

    def __init__(self, **splits: list[Any]) -> None:
        super().__init__("datasets")
        self.splits = splits

    def get_dataset_split_names(self, name: str) -> list[str]:
        """Return the names of the splits."""
        if name != "org/name":
            raise FileNotFoundError(f"{name} is not on the Hub\nlong story")
        return list(self.splits)

    def load_dataset(self, name: str, split: str) -> list[Any]:
        """Return one split."""
        assert name == "org/name"
        if split not in self.splits:
            raise ValueError(f"Unknown split {split!r}; there are {', '.join(self.splits)}")
        return self.splits[split]


def test_hub_id_with_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub id is loaded with `datasets`, one split of it; a wrong or missing split names those there are."""
    monkeypatch.setitem(sys.modules, "datasets", StandIn(train=[row("a")], validation=[row("b")]))
    assert [example.id for example in load_examples("org/name", split="validation")] == ["b"]
    assert check("org/name", split="train").ok
    with pytest.raises(DataError, match="org/name has several splits; choose one of: train, validation"):
        load_examples("org/name")
    with pytest.raises(DataError, match="Unknown split 'test'; there are train, validation"):
        load_examples("org/name", split="test")
    with pytest.raises(DataError, match=r"no file of that name\): org/other is not on the Hub\Z"):
        load_examples("org/other")


def test_hub_id_with_one_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one split there is nothing to choose."""
    monkeypatch.setitem(sys.modules, "datasets", StandIn(train=[row("a")]))
    assert len(load_examples("org/name")) == 1


def test_hub_id_without_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"tinyreader\[train\]"):
        load_examples("org/name", split="train")


def test_a_file_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that exists is read as a file, also when it looks like a Hub id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    Path("org").mkdir()
    write_json(Path("org/name"), document())
    assert load_examples("org/name") == EXAMPLES


def test_a_directory_is_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of files is not handed to `datasets`, which would make something of it; one that it wrote
    is.
    """
    monkeypatch.setitem(sys.modules, "datasets", None)
    write_json(tmp_path / "train.json", document())
    with pytest.raises(DataError, match=r"is a directory .*A data set is a SQuAD JSON file"):
        load_examples(tmp_path)
    for name in ("dataset_info.json", "state.json", "dataset_dict.json"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(MissingExtraError):
            load_examples(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize("rows", [{"a": 1}, {"train": None}, 5])
def test_what_holds_no_rows_is_an_error(rows: Any) -> None:
    """Something in memory that is no stream of rows is named by its type."""
    with pytest.raises(DataError, match=r"must be a list .*'(int|NoneType)'"):
        load_examples(rows)


def test_files_can_be_read_twice_and_streams_cannot(tmp_path: Path) -> None:
    """A pipe or a device is refused before it is read; files, directories, Hub ids and nonsense are for
    others to judge.
    """
    write_json(tmp_path / "a.json", document())
    for name in (tmp_path / "a.json", tmp_path, "rajpurkar/squad_v2", "x" * 5000, "\0"):
        require_rereadable(str(name))
    with pytest.raises(DataError, match="write it to a file first"):
        require_rereadable(os.devnull)


def test_datasets_in_memory_and_on_disk(tmp_path: Path) -> None:
    """A real `datasets.Dataset` reads as it is, and from the directory that `save_to_disk` wrote."""
    datasets = pytest.importorskip("datasets", reason="needs the [train] extra")
    rows = [row("a"), row("b", answers={"text": [], "answer_start": []})]
    expected = [
        Example(each["id"], "When?", MILL, EXAMPLES[0].answers[:1], (), "Orrin Weir") for each in rows
    ]
    expected[1] = Example("b", "When?", MILL, (), (), "Orrin Weir")
    data = datasets.Dataset.from_list(rows)
    assert load_examples(data) == load_examples(data.with_format("numpy")) == expected
    data.save_to_disk(tmp_path / "one")
    assert load_examples(tmp_path / "one") == expected
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(tmp_path / "two")
    assert load_examples(tmp_path / "two", split="test") == expected[1:]
    with pytest.raises(DataError, match="choose one of: train, test"):
        load_examples(tmp_path / "two")
