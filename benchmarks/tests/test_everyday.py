"""The everyday set: its promised size and balance, verbatim answers, and a built file that is up to date."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import everyday_table
from everyday import build
from tinyreader.data import Example, check, load_examples
from tinyreader.errors import DataError

BENCHMARKS = Path(__file__).parents[1]
TEXT = "The gate\nopens at 8 a.m. and shuts at 8 p.m. Eight gates shut."
KINDS = {
    "device manual",
    "minutes of a meeting",
    "e-mail thread",
    "rental contract",
    "recipe",
    "long report",
    "release notes",
    "how-to page",
    "travel itinerary",
    "museum leaflet",
    "school notice",
    "staff policy",
}


@pytest.fixture(scope="module")
def documents() -> list[build.Document]:
    """The texts with their questions."""
    return build.documents()


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """The examples of the built file."""
    return load_examples(build.BUILT)


def words(text: str) -> list[str]:
    """A text's words in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def test_set_is_as_large_as_promised(documents: list[build.Document], examples: list[Example]) -> None:
    """At least 150 questions on at least ten texts; a third of them (within two points) unanswerable."""
    assert len(documents) >= 10
    assert len(examples) >= 150
    assert sum(example.is_impossible for example in examples) / len(examples) == pytest.approx(
        1 / 3, abs=0.02
    )


def test_kinds_of_text_are_covered(documents: list[build.Document], examples: list[Example]) -> None:
    """Every kind has a text; the titles of the built file are the kinds."""
    assert {document.kind for document in documents} == KINDS
    assert {example.title for example in examples} == KINDS


def test_unanswerable_questions_are_spread(documents: list[build.Document]) -> None:
    """Each text has 25 to 40 % of them and at least three kinds of trap; each kind occurs at least seven times."""
    counts = Counter[str | None]()
    for document in documents:
        traps = [question.trap for question in document.questions.values()]
        share = sum(trap is not None for trap in traps) / len(traps)
        assert 0.25 <= share <= 0.4, document.name
        assert len(set(traps) - {None}) >= 3, document.name
        counts.update(traps)
    del counts[None]
    assert set(counts) == set(build.TRAPS)
    assert min(counts.values()) >= 7


def test_every_document_is_one_context(documents: list[build.Document], examples: list[Example]) -> None:
    """A context is a whole text; the report has more than 2,500 words, and no text fewer than 500."""
    assert {example.context for example in examples} == {document.text for document in documents}
    lengths = {document.kind: len(document.text.split()) for document in documents}
    assert lengths["long report"] >= 2500
    assert min(lengths.values()) >= 500


def test_answers_are_spread_over_the_texts(documents: list[build.Document]) -> None:
    """Answers start in every third of each text, and in at least nine tenths of the long report."""
    for document in documents:
        places = [e.answers[0].start / len(document.text) for e in document.examples() if e.answers]
        assert {int(3 * place) for place in places} == {0, 1, 2}, document.name
        if document.kind == "long report":
            assert len({int(10 * place) for place in places}) >= 9


def test_readme_describes_the_set(documents: list[build.Document], examples: list[Example]) -> None:
    """Its totals, text lengths and trap counts match the files."""
    readme = (build.HERE / "README.md").read_text("utf-8")
    n_without = sum(example.is_impossible for example in examples)
    assert f"{len(examples)} questions on " in readme
    assert f"; {n_without} of the questions have no answer" in readme
    for document in documents:
        row = rf"^\| `{document.name}` \| .*\| {len(document.text.split()):,} \|$"
        assert re.search(row, readme, re.MULTILINE), document.name
    for trap, n in Counter(
        q.trap for document in documents for q in document.questions.values() if q.trap
    ).items():
        assert re.search(rf"^\| `{trap}` \| .*\| {n} \|$", readme, re.MULTILINE), trap


def test_built_file_is_current() -> None:
    """`everyday.json` is byte for byte what the script builds from texts and questions."""
    assert build.BUILT.read_bytes() == build.built(), "run: python benchmarks/everyday/build.py"


def test_built_file_has_no_findings(examples: list[Example]) -> None:
    """`tinyreader data check` finds nothing: answers are at their offsets, ids are unique."""
    report = check(build.BUILT)
    assert report.ok, report.findings
    assert report.n_questions == len(examples)


def test_there_are_no_duplicates(examples: list[Example]) -> None:
    """No question repeats another, ignoring case and punctuation, and no answer has the same variant twice."""
    assert max(Counter(" ".join(words(example.question)) for example in examples).values()) == 1
    for example in examples:
        answers = [" ".join(words(answer.text)) for answer in example.answers]
        assert len(set(answers)) == len(answers), example.id


def test_answers_are_short_and_variants_overlap(examples: list[Example]) -> None:
    """Answers have at most 16 words and no space at the ends; the variants of one are in the same place."""
    for example in examples:
        for answer in (*example.answers, *example.plausible_answers):
            assert len(answer.text.split()) <= 16, example.id
            assert answer.text == answer.text.strip(), example.id
        if example.answers:
            spans = [range(answer.start, answer.end) for answer in example.answers]
            whole = range(min(span.start for span in spans), max(span.stop for span in spans))
            assert len(whole) < 180, f"{example.id}: variants are far apart"


def test_questions_are_not_the_text_in_order(examples: list[Example]) -> None:
    """No question shares five consecutive words with its text: questions are worded independently."""
    for example in examples:
        context, asked = f" {' '.join(words(example.context))} ", words(example.question)
        runs = [" ".join(asked[n : n + 5]) for n in range(len(asked) - 4)]
        assert not [run for run in runs if f" {run} " in context], example.id


@pytest.mark.parametrize(
    ("quotation", "text", "start"),
    [
        ("gate opens", "gate\nopens", 4),
        ("opens at [8 a.m.]", "8 a.m.", 18),
        ("[shuts at 8 p.m.] Eight", "shuts at 8 p.m.", 29),
        ("Eight", "Eight", 45),
    ],
)
def test_quotation_is_located(quotation: str, text: str, start: int) -> None:
    """A quotation, or the part in brackets, is found across any white space in the text."""
    answer = build.located(quotation, TEXT, "here")
    assert (answer.text, answer.start) == (text, start)
    assert TEXT[answer.start : answer.end] == text


@pytest.mark.parametrize(
    ("quotation", "message"),
    [
        ("opens at 9", "stands in the text 0 times"),
        ("Gate", "stands in the text 0 times"),
        ("gat", "stands in the text 0 times"),
        ("8", "stands in the text 2 times"),
        ("shuts [at] 8 [p.m.]", "one pair of brackets"),
        ("shuts [at ]8", "one pair of brackets"),
        ("shuts [] at", "one pair of brackets"),
    ],
)
def test_quotation_that_is_not_verbatim_or_not_unique_is_refused(quotation: str, message: str) -> None:
    """A quotation that does not occur exactly once, as whole words in the same case, is refused by name."""
    with pytest.raises(DataError, match=message) as caught:
        build.located(quotation, TEXT, "gate/hours")
    assert "gate/hours" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[q]\nask = "When?"\nanswers = ["8 a.m."]\ntrap = "time"\nplausible = ["8 p.m."]\n', "either"),
        ('[q]\nask = "When?"\n', "either"),
        ('[q]\nask = "When?"\ntrap = "time"\n', "either"),
        ('[q]\nask = "When?"\ntrap = "spite"\nplausible = ["8 p.m."]\n', "trap"),
        ('[q]\nask = "When?"\nanswer = ["8 a.m."]\n', "answer"),
        (
            '[q]\nask = "When?"\nanswers = ["8 a.m."]\n[r]\nask = "when?"\nanswers = ["8 p.m."]\n',
            "more than once",
        ),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, table: str, message: str) -> None:
    """A question with both an answer and a trap, with neither, with unknown keys, or asked twice is refused."""
    write_set(tmp_path, 'kind = "sign"\n' + table)
    with pytest.raises(DataError, match=message):
        build.examples(tmp_path)


def test_texts_and_questions_come_in_pairs(tmp_path: Path) -> None:
    """The error names a text without questions, and a file of questions without a kind."""
    write_set(tmp_path, '[q]\nask = "When?"\nanswers = ["8 a.m."]\n')
    with pytest.raises(DataError, match="kind"):
        build.documents(tmp_path)
    (tmp_path / "texts" / "door.txt").write_text("A door.", "utf-8")
    with pytest.raises(DataError, match="door"):
        build.documents(tmp_path)


def write_set(folder: Path, questions: str) -> None:
    """A set of one text with these questions."""
    for name, content in (("texts/gate.txt", TEXT), ("questions/gate.toml", questions)):
        path = folder / name
        path.parent.mkdir()
        path.write_text(content, "utf-8")


def test_table_counts_a_report_that_answers_everything(examples: list[Example], tmp_path: Path) -> None:
    """A reader that always answers scores 100 on answerable and 0 on unanswerable questions."""
    rows = [
        {
            "id": e.id,
            "prediction": (e.answers or e.plausible_answers)[0].text,
            "answered": True,
            "confidence": 0.9,
            "exact": float(bool(e.answers)),
            "f1": float(bool(e.answers)),
            "text_exact": 1.0,
            "text_f1": 1.0,
        }
        for e in examples
    ]
    report = tmp_path / "eager"
    report.mkdir()
    (report / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (report / "report.json").write_text(
        json.dumps({"reader": {"settings": {"no_answer_threshold": 0.5}}}), "utf-8"
    )
    command = [sys.executable, str(BENCHMARKS / "everyday_table.py"), str(report), "--worst", "3"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    lines = printed.splitlines()
    assert "| with an answer | 130 | 100.0 / 100.0 |" in lines
    assert "| without | 65 | 0.0 / 0.0 |" in lines
    assert len([line for line in lines if line.startswith("- 0.90 ")]) == 3
    assert all(
        line.endswith("| 0 |")
        for line in lines
        if line.startswith(tuple(f"| {trap}: " for trap in build.TRAPS))
    )
    assert json.loads(lines[-1]) == {
        "eager": {"exact": pytest.approx(200 / 3), "f1": pytest.approx(200 / 3), "threshold": 0.5}
    }


def test_table_refuses_a_report_on_other_questions(tmp_path: Path) -> None:
    """A report on an older version of the set is refused."""
    (tmp_path / "questions.jsonl").write_text('{"id": "gate/hours"}\n', "utf-8")
    with pytest.raises(DataError, match="evaluate on everyday"):
        everyday_table.rows_of(tmp_path, {})
