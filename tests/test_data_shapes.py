"""The shapes in which people have their data are read by content, whatever the file is called."""

from __future__ import annotations

import csv
import gzip
import json
import random
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from data_samples import EXAMPLES, FERRY, MILL, document, row, write_json, write_rows
from tinyreader.data import KINDS, Answer, Example, check, iter_examples, load_examples
from tinyreader.data.rows import example_row
from tinyreader.errors import DataError, MissingExtraError

ROWS = [example_row(example) for example in EXAMPLES]
COLUMNS = {name: [each.get(name) for each in ROWS] for name in ROWS[0]}
PARAGRAPHS = [
    {"title": article["title"], **paragraph}
    for article in document()["data"]
    for paragraph in article["paragraphs"]
]
WITHOUT_PLAUSIBLE = [Example(e.id, e.question, e.context, e.answers, (), e.title) for e in EXAMPLES]


@pytest.mark.parametrize(
    "value",
    [
        document(),
        PARAGRAPHS,
        ROWS,
        {"version": "0.1.0", "data": ROWS},
        {"data": PARAGRAPHS},
        {"features": [], "rows": [{"row_idx": n, "row": each} for n, each in enumerate(ROWS)]},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz", "a"])
def test_one_value_in_many_shapes(tmp_path: Path, value: Any, indent: int | None, name: str) -> None:
    """SQuAD, simpletransformers' list, flat rows alone or under "data" or from the Hub's API: the same examples,
    compact or pretty-printed, under any name.
    """
    content = json.dumps(value, indent=indent).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert check(tmp_path / name).ok
    assert load_examples(tmp_path / name) == EXAMPLES


@pytest.mark.parametrize(
    "value",
    [
        COLUMNS,
        {name: {str(n): each for n, each in enumerate(cells)} for name, cells in COLUMNS.items()},
        {
            "columns": list(COLUMNS),
            "index": [0, 1, 2],
            "data": [list(each) for each in zip(*COLUMNS.values(), strict=True)],
        },
    ],
)
def test_columns(tmp_path: Path, value: Any) -> None:
    """An object of columns, as lists or as pandas writes them, is rows; in a file and in memory."""
    assert load_examples(write_json(tmp_path / "a.json", value)) == WITHOUT_PLAUSIBLE
    assert load_examples(COLUMNS) == WITHOUT_PLAUSIBLE


@pytest.mark.parametrize("lines", [ROWS, PARAGRAPHS, document()["data"]])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_lines_of_rows_paragraphs_or_articles(tmp_path: Path, lines: list[Any], name: str) -> None:
    """Each line may be a row, a paragraph or an article, also in a file that is named .json."""
    assert load_examples(write_rows(tmp_path / name, *lines)) == EXAMPLES


def test_places_in_other_shapes(tmp_path: Path) -> None:
    """A finding says where it is, in the words of the shape."""
    bad = row("a", question="")
    places = {
        "row 1": [row(), bad],
        "data[1]": {"data": [row(), bad]},
        "rows[0]": {"rows": [{"row": bad}]},
        "row 0.qas[0]": [{"context": MILL, "qas": [bad]}],
    }
    for place, value in places.items():
        assert check(write_json(tmp_path / "a.json", value)).findings[0].place == place
    path = write_rows(tmp_path / "a.jsonl", row(), {"context": MILL, "qas": [bad]})
    assert check(path).findings[0].place == "line 2.qas[0]"


def test_mrqa(tmp_path: Path) -> None:
    """MRQA's header is passed over; spans are inclusive, each is an answer, and the context's own text counts."""
    detected = [
        {"text": "tobe harl", "char_spans": [[44, 52], [55, 63]], "token_spans": [[0, 1], [2, 3]]},
        {"text": "1811", "char_spans": [[36, 39]]},
    ]
    question = {"qid": "q1", "question": "Who?", "answers": ["Tobe Harl"], "detected_answers": detected}
    header = {"header": {"dataset": "Own", "split": "dev"}}
    path = write_rows(tmp_path / "a.jsonl", header, {"id": "", "context": MILL, "qas": [question]})
    (example,) = load_examples(path)
    assert example.id == "q1"
    assert example.answers == (Answer("Tobe Harl", 44), Answer("Tobe Harl", 55), Answer("1811", 36))
    question["detected_answers"] = [{"text": "nobody", "char_spans": [[36, 39]]}]
    path = write_rows(tmp_path / "a.jsonl", {"context": MILL, "qas": [question]})
    assert check(path).counts == {"offset-mismatch": 1}


def test_haystack_annotation_tool(tmp_path: Path) -> None:
    """Integer ids are read; a blank answer of an impossible question is repaired."""
    questions: list[dict[str, Any]] = [
        {
            "id": 262,
            "question": "When?",
            "is_impossible": False,
            "answers": [{"text": "1811", "answer_start": 36, "answer_id": 1}],
        },
        {
            "id": 263,
            "question": "Why?",
            "is_impossible": True,
            "answers": [{"text": "", "answer_start": 0, "answer_end": 0}],
        },
    ]
    value = {"data": [{"paragraphs": [{"qas": questions, "context": MILL, "document_id": 33}]}]}
    path = write_json(tmp_path / "a.json", value)
    assert check(path).counts == {"empty-answer": 1}
    assert [(e.id, e.is_impossible) for e in load_examples(path, on_bad="repair")] == [
        ("262", False),
        ("263", True),
    ]


def label_studio_task(task_id: int, *spans: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    """Return a task of Label Studio's JSON export with one annotation."""
    results = [
        {"type": "labels", "from_name": "answer", "to_name": "text", "value": {**span, "labels": ["Answer"]}}
        for span in spans
    ]
    return {
        "id": task_id,
        "data": {"text": MILL, "question": "When?"},
        "annotations": [{"id": 9, "result": results, "was_cancelled": False, **annotation}],
        "predictions": [],
    }


def test_label_studio(tmp_path: Path) -> None:
    """The spans of a task's annotations are answers, with or without their text; a task without spans is unanswerable;
    one that was skipped or not annotated is a finding, not an unanswerable question.
    """
    value = [
        label_studio_task(1, {"start": 36, "end": 40, "text": "1811"}, {"start": 33, "end": 40}),
        label_studio_task(2),
        label_studio_task(3, {"start": 36, "end": 40, "text": "1811"}, was_cancelled=True),
    ]
    path = write_json(tmp_path / "a.json", value)
    assert check(path).counts == {"missing-field": 1}
    first, second = load_examples(path, on_bad="skip")
    assert (first.id, first.answers) == ("1", (Answer("1811", 36), Answer("in 1811", 33)))
    assert second.is_impossible
    spans = [{"start": 36, "end": 40, "text": "1811", "labels": ["Answer"]}]
    small = {"id": 4, "text": MILL, "question": "When?", "answer": spans, "annotator": 1, "annotation_id": 5}
    assert load_examples(write_json(tmp_path / "b.json", [small]))[0].answers == (Answer("1811", 36),)


@pytest.mark.parametrize(
    "labels",
    [
        {"label": [[36, 40, "ANSWER"]]},
        {"labels": [[36, 40, "ANSWER"]]},
        {"entities": [{"id": 0, "label": "ANSWER", "start_offset": 36, "end_offset": 40}], "relations": []},
        {"annotations": [{"label": 1, "start_offset": 36, "end_offset": 40}], "meta": {"question": "When?"}},
    ],
)
def test_doccano(tmp_path: Path, labels: dict[str, Any]) -> None:
    """Labelled spans of doccano's lines are answers to the line's question, also where it is in the metadata."""
    line = {"id": 7, "text": MILL, **({} if "meta" in labels else {"question": "When?"}), **labels}
    (example,) = load_examples(write_rows(tmp_path / "a.jsonl", line))
    assert example == Example("7", "When?", MILL, (Answer("1811", 36),))


def test_labels_without_a_question_name_it(tmp_path: Path) -> None:
    """Labelled spans without a question are a finding that names the field."""
    finding = check(
        write_rows(tmp_path / "a.jsonl", {"id": 1, "text": MILL, "label": [[36, 40, "DATE"]]})
    ).findings[0]
    assert "'question' is missing" in finding.message


def test_other_names_of_fields() -> None:
    """Ids, questions and contexts under the names of other data sets, with answers as columns of one row."""
    flat = {"qid": 3, "query": "When?", "passage": MILL, "answer": "1811", "answer_start": 36}
    assert load_examples([flat]) == [Example("3", "When?", MILL, (Answer("1811", 36),))]
    several = row(answers=["1811", "in 1811"], answer_start=[36, 33])
    assert load_examples([several])[0].answers == EXAMPLES[0].answers
    assert load_examples([row(answers="", answer_start=-1)])[0].is_impossible
    assert load_examples([row(answers=["1811"], answer_start=36)])[0].answers == (Answer("1811", 36),)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"data": [{"story": MILL, "questions": [], "answers": []}]}, "CoQA"),
        ([{"_id": "a", "question": "When?", "supporting_facts": [], "answer": "1811"}], "HotpotQA"),
        ({"messages": []}, "chat messages"),
        ({"q1": "1811"}, "'q1'"),
    ],
)
def test_what_cannot_be_read_names_what_converts_it(tmp_path: Path, value: Any, name: str) -> None:
    """Data without places of answers is named, with the command that makes data of it."""
    with pytest.raises(DataError) as caught:
        load_examples(write_json(tmp_path / "a.json", value))
    assert name in str(caught.value)
    assert "tinyreader data make" in str(caught.value)


def write_csv(path: Path, *rows: dict[str, Any], delimiter: str = ",") -> Path:
    """Write a table with a heading and return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t")])
def test_csv(tmp_path: Path, name: str, delimiter: str) -> None:
    """A table has an answer and its offset in columns; a blank answer is none; without ids the row is the id."""
    rows = [
        {"Context": MILL + '\n"end"', "Question": "When?", "answer": "1811", "answer_start": 36},
        {"Context": FERRY, "Question": "Why?", "answer": "", "answer_start": ""},
    ]
    assert load_examples(write_csv(tmp_path / name, *rows, delimiter=delimiter)) == [
        Example("row 2", "When?", MILL + '\n"end"', (Answer("1811", 36),)),
        Example("row 3", "Why?", FERRY),
    ]


@pytest.mark.parametrize(
    "cell",
    [
        '{"text": ["1811"], "answer_start": [36]}',
        "{'text': ['1811'], 'answer_start': [36]}",
        "{'text': array(['1811'], dtype=object), 'answer_start': array([36], dtype=int32)}",
        "[{'text': '1811', 'answer_start': 36}]",
    ],
)
def test_csv_with_objects_in_cells(tmp_path: Path, cell: str) -> None:
    """Answers may be an object in a cell, as JSON or as pandas writes it."""
    path = write_csv(
        tmp_path / "a.csv",
        {"id": "a", "context": MILL, "question": "When?", "answers": cell, "is_impossible": "False"},
    )
    assert load_examples(path) == [Example("a", "When?", MILL, (Answer("1811", 36),))]


def test_csv_of_words_is_repaired_or_converted(tmp_path: Path) -> None:
    """Answers without offsets are a finding that repair corrects where the words occur once."""
    path = write_csv(
        tmp_path / "a.csv",
        *({"context": MILL, "question": "Who?", "answer": each} for each in ("1811", "Tobe Harl")),
    )
    report = check(path)
    assert (report.counts, report.n_repairable) == ({"wrong-type": 2}, 1)
    assert "tinyreader data make" in report.findings[1].message
    assert len(load_examples(path, on_bad="repair")) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,question,answer\nx.pdf,Who?,me\n", "tinyreader data make"),
        (b"a,b\n1,2\n", "no column 'question'; the columns are: 'a', 'b'"),
        (b"context,question,answer\n", "no questions"),
        (b"", "empty-file"),
        (b"context,question,answer\n\xff,Who?,me\n", "not-utf8"),
        (b"\x1f\x8bno gzip", "damaged-gzip"),
    ],
)
def test_tables_that_hold_no_data(tmp_path: Path, content: bytes, words: str) -> None:
    """A table that cannot be read says what is wrong and what to do."""
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_examples(tmp_path / "a.csv", on_bad="skip")


def test_parquet(tmp_path: Path) -> None:
    """A Parquet file, as the Hub has them, is rows."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the [train] extra")
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "train-00000.parquet"
    parquet.write_table(
        pyarrow.Table.from_pylist([row("a"), row("b", answers={"text": [], "answer_start": []})]), path
    )
    assert [(e.id, e.is_impossible) for e in load_examples(path)] == [("a", False), ("b", True)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not-a-table"):
        load_examples(path)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"tinyreader\[train\]"):
        load_examples(tmp_path / "a.parquet")


def seeds() -> dict[str, bytes]:
    """Return a good file of each format."""
    task = label_studio_task(1, {"start": 36, "end": 40, "text": "1811"})
    line = {"id": 7, "text": MILL, "question": "When?", "label": [[36, 40, "A"]]}
    mrqa = {
        "context": MILL,
        "qas": [
            {"qid": "q", "question": "Who?", "detected_answers": [{"text": "1811", "char_spans": [[36, 39]]}]}
        ],
    }
    table = f'id,context,question,answers,answer_start,is_impossible\na,"{MILL}",When?,1811,36,False\n'
    values = {
        "squad": document(),
        "rows": ROWS,
        "columns": COLUMNS,
        "api": {"rows": [{"row": each} for each in ROWS]},
        "studio": [task],
    }
    files = {f"{name}.json": json.dumps(value).encode() for name, value in values.items()}
    files |= {
        f"{name}.jsonl": json.dumps(value).encode() for name, value in (("doccano", line), ("mrqa", mrqa))
    }
    return files | {
        "table.csv": table.encode(),
        "rows.jsonl.gz": gzip.compress(json.dumps(ROWS[0]).encode(), mtime=0),
    }


INSERTS = (
    b"[" * 300,
    b'{"data": ' * 300,
    b"9" * 400,
    b"-1",
    b"1e999",
    b"NaN",
    b"\\ud800",
    b'"',
    b"\x00",
    b"\n",
    b"null",
    b"\xff",
    b"{}",
    b"[]",
)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return the content cut off, with bits flipped, parts doubled or exchanged, deep nesting or huge numbers put in."""
    whole = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(len(whole) + 1)
        stop = min(len(whole), start + draw.randint(0, 12))
        kind = draw.randrange(5)
        if kind == 0:
            del whole[start:]
        elif kind == 1 and start < len(whole):
            whole[start] ^= 1 << draw.randrange(8)
        elif kind == 2:
            whole[start:stop] = draw.choice(INSERTS)
        elif kind == 3:
            whole[start:start] = whole[start:stop]
        else:
            del whole[start:stop]
    return bytes(whole)


@pytest.mark.parametrize("name", seeds())
def test_mutated_files_give_findings_or_one_error(tmp_path: Path, name: str) -> None:
    """Whatever is done to a file of any format: examples that are sound, findings, or one error of ours."""
    draw, path, content = random.Random(name), tmp_path / name, seeds()[name]
    for _ in range(60):
        path.write_bytes(mutated(content, draw))
        report = check(path)
        assert all(finding.kind in KINDS and str(finding).isprintable() for finding in report.findings)
        with suppress(DataError) if not report.ok else nullcontext():
            for example in iter_examples(path, on_bad="repair"):
                assert all(example.context[a.start : a.end] == a.text for a in example.answers)
