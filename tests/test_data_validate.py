"""What is found wrong with a question, what is mended, and what offsets count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_samples import MILL, document, row
from tinyreader.data import KINDS, Answer, Finding, ReadReport, check, load_examples
from tinyreader.data.validate import find_all
from tinyreader.errors import DataError


def only_finding(*rows: Any) -> Finding:
    """Return the one finding about the rows."""
    (finding,) = check(rows).findings
    assert finding.kind in KINDS
    return finding


def answered(text: Any, start: Any) -> dict[str, Any]:
    """Return a row with one answer."""
    return row(answers={"text": [text], "answer_start": [start]})


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        (row(id=""), "empty-id", "'id' is empty"),
        (row(id=7), "wrong-type", "'id' is the number 7; expected a string"),
        (row(question=" \n"), "empty-question", "'question' is empty"),
        (row(question=None), "wrong-type", "'question' is null"),
        (row(title=["x"]), "wrong-type", "'title' is a list"),
        (row(context=" "), "empty-context", "'context' is empty"),
        (row(answers=None), "wrong-type", "'answers' is null"),
        (row(answers="1811"), "wrong-type", "'answers' is the string '1811'"),
        (row(answers=["1811"]), "wrong-type", "'answers[0]' is the string '1811'"),
        (row(answers={"text": ["1811"], "answer_start": []}), "wrong-type", "two lists of the same length"),
        (row(answers={"text": ["1811"]}), "wrong-type", "two lists of the same length"),
        (answered(None, 36), "wrong-type", "'answers[0].text' is null"),
        (answered(" ", 36), "empty-answer", "'answers[0].text' is empty"),
        (answered("1811", True), "wrong-type", "is true; expected an integer"),
        (answered("1811", 36.0), "wrong-type", "is the number 36.0; expected an integer"),
        (answered("1811", float("nan")), "wrong-type", "is the number nan; expected an integer"),
        (answered("1811", "36"), "wrong-type", "is the string '36'; expected an integer"),
        (answered("1811", 10**400), "wrong-type", "is an enormous number"),
        (answered("1811", 35), "offset-mismatch", "has ' 181'; it occurs once, at 36"),
        (answered("Tobe Harl", 43), "offset-mismatch", "more than once"),
        (answered("1812", 36), "offset-mismatch", "does not occur"),
        (answered("1811", -1), "outside-context", "-1:3, but the context has 90 code points"),
        (answered("later.", 86), "outside-context", "86:92"),
        (answered("1811", 2**62), "outside-context", "once, at 36"),
        (row(is_impossible=True), "impossible-with-answers", "there are 1 answers"),
        (row(is_impossible=False, answers=[]), "answerable-without-answers", "'answers' is empty"),
        (row(is_impossible="no"), "wrong-type", "expected true or false"),
        (row(question="\ud83d?"), "lone-surrogate", r"'\ud83d?'"),
        (answered("\udc00", 3), "lone-surrogate", "'answers[0].text' holds half"),
        (
            row(plausible_answers=[{"text": "1811", "answer_start": 3}]),
            "offset-mismatch",
            "plausible_answers[0]",
        ),
        ([row()], "wrong-type", "this is a list; expected an object"),
    ],
)
def test_each_kind_is_found(changed: Any, kind: str, words: str) -> None:
    """Everything that can be wrong with a row gives one finding that says what and where."""
    finding = only_finding(row("before"), changed)
    assert finding.kind == kind
    assert words in finding.message
    assert finding.place == "row 1"
    if isinstance(changed, dict) and isinstance(changed["id"], str) and isinstance(changed["title"], str):
        assert (finding.article, finding.question_id) == ("Orrin Weir", changed["id"])


@pytest.mark.parametrize("key", ["id", "question", "answers", "context"])
def test_a_missing_field_is_named(key: str) -> None:
    """A field that is not there is found under its name."""
    incomplete = row()
    del incomplete[key]
    finding = only_finding(incomplete)
    assert finding.kind == "missing-field"
    assert f"'{key}' is missing" in finding.message


def test_an_offset_that_is_not_there() -> None:
    """An answer object without answer_start is found, and repaired where its text occurs once."""
    bare = row(answers=[{"text": "1811"}])
    finding = only_finding(bare)
    assert (finding.kind, finding.repairable) == ("missing-field", True)
    assert load_examples([bare], on_bad="repair")[0].answers == (Answer("1811", 36),)


def test_impossible_without_the_answers_field() -> None:
    """A question marked impossible needs no `answers`."""
    impossible = row(is_impossible=True)
    del impossible["answers"]
    assert load_examples([impossible])[0].is_impossible


def test_a_missing_or_null_title_is_no_finding() -> None:
    """Titles may be missing."""
    untitled = row("b")
    del untitled["title"]
    assert [example.title for example in load_examples([row("a", title=None), untitled])] == ["", ""]


def test_duplicate_ids_name_the_first_place() -> None:
    """The second question with an id is found, with the place of the first."""
    finding = only_finding(row("a"), row("b"), row("a"))
    assert (finding.kind, finding.place, finding.question_id) == ("duplicate-id", "row 2", "a")
    assert "row 0" in finding.message


def test_several_findings_on_one_question() -> None:
    """A question is looked at to the end, not to its first mistake."""
    report = check(
        [row(question="", answers=[{"text": "", "answer_start": 0}, {"text": "1811", "answer_start": 0}])]
    )
    assert report.counts == {"empty-question": 1, "empty-answer": 1, "offset-mismatch": 1}
    assert (report.n_questions, report.n_good, report.n_repairable) == (1, 0, 1)


@pytest.mark.parametrize("start", [0, -5, 10_000, None, 36.0, "36"])
def test_repair_corrects_an_offset_where_the_text_occurs_once(start: Any) -> None:
    """Whatever the offset was, the text has one place only."""
    report = ReadReport()
    (example,) = load_examples([answered("1811", start)], on_bad="repair", rejected=report)
    assert example.answers == (Answer("1811", 36),)
    assert (report.n_kept, report.n_repaired, report.n_skipped) == (1, 1, 0)


@pytest.mark.parametrize("text", ["Tobe Harl", "nobody", "e"])
def test_repair_leaves_out_what_is_not_certain(text: str) -> None:
    """Text that stands twice or nowhere is not guessed at."""
    report = ReadReport()
    assert load_examples([answered(text, 0), row("good")], on_bad="repair", rejected=report)[0].id == "good"
    assert (report.n_kept, report.n_repaired, report.n_skipped) == (1, 0, 1)


def test_repair_never_keeps_half_a_mended_question() -> None:
    """A question with one answer that can be mended and one mistake that cannot is left out."""
    half = row(answers=[{"text": "1811", "answer_start": 0}, {"text": "nobody", "answer_start": 0}])
    assert load_examples([half, row("good", question="Why?")], on_bad="repair")[0].id == "good"


def test_overlapping_copies_count() -> None:
    """'aa' stands twice in 'aaa'."""
    assert find_all("aa", "aaa", limit=5) == [0, 1]
    assert not only_finding(row(context="baaa", answers=[{"text": "aa", "answer_start": 0}])).repairable


@pytest.mark.parametrize(
    ("context", "text", "start"),
    [
        ("🦊🦊 a fox 👩‍👩‍👧 family", "family", 15),
        ("🦊🦊 a fox 👩‍👩‍👧 family", "👩‍👩‍👧", 9),
        ("cafe\u0301 au lait", "au", 6),
        ("caf\u00e9 au lait", "au", 5),
        ("cafe\u0301", "e\u0301", 3),
        ("東京は日本の首都です。", "日本", 3),
        ("𠮷野家は牛丼の店", "牛丼", 4),
        ("القاهرة هي عاصمة مصر", "عاصمة", 11),
        ("שָׁלוֹם עולם", "עולם", 8),
        ("a\u200fb\u2066c\u2069d", "c", 4),
        ("tab\tand\r\nline\u2028end", "end", 14),
        ("İstanbul'da", "da", 9),
    ],
)
def test_offsets_are_code_points(context: str, text: str, start: int) -> None:
    """Emoji count one per code point, combining marks count by themselves, writing direction plays no
    part.
    """
    assert context[start : start + len(text)] == text
    good = row(context=context, answers={"text": [text], "answer_start": [start]})
    (example,) = load_examples([good])
    assert example.context[example.answers[0].start : example.answers[0].end] == text


def test_offsets_in_other_units_are_found() -> None:
    """An offset counted in UTF-16 units is wrong after an emoji; repair puts it right."""
    context = "🦊 lives in 🌲 woods"
    utf16 = len(context[: context.index("woods")].encode("utf-16-le")) // 2
    wrong = row(context=context, answers={"text": ["woods"], "answer_start": [utf16]})
    assert only_finding(wrong).repairable
    assert load_examples([wrong], on_bad="repair")[0].answers[0].start == context.index("woods")


def test_another_unicode_form_is_another_text() -> None:
    """A composed é does not stand in a text with e and a combining accent; nothing is normalised in
    silence.
    """
    finding = only_finding(row(context="cafe\u0301", answers=[{"text": "caf\u00e9", "answer_start": 0}]))
    assert (finding.kind, finding.repairable) == ("offset-mismatch", False)


def test_arrays_and_their_integers_are_accepted() -> None:
    """Rows with NumPy arrays, as `datasets` gives them on request, read like lists."""
    arrays = {"text": np.array(["1811"], dtype=object), "answer_start": np.array([36], dtype=np.int32)}
    (example,) = load_examples([row(answers=arrays)])
    assert example.answers == (Answer("1811", 36),)
    assert type(example.answers[0].start) is int


def test_the_error_counts_by_kind_and_shows_the_first() -> None:
    """The error for bad data says how many of each kind, shows five with article and id, and what to do."""
    rows = [row(f"q{n}", answers=[{"text": "1811", "answer_start": n}]) for n in range(7)] + [row("q0")]
    with pytest.raises(DataError) as caught:
        load_examples(rows)
    message = str(caught.value)
    assert "8 findings: 1 duplicate-id, 7 offset-mismatch" in message
    assert "row 0 (article Orrin Weir, question q0): offset-mismatch: 'answers[0]' '1811'" in message
    assert "q4" in message
    assert "q5" not in message
    assert "... and 3 more" in message
    assert "tinyreader data check" in message


def test_squad_findings_have_json_paths() -> None:
    """In a SQuAD document the place is the path to the question, paragraph or article."""
    data = document()
    data["data"][0]["paragraphs"][0]["qas"][1]["question"] = ""
    data["data"][1]["paragraphs"][0]["context"] = " "
    data["data"].append({"title": "Odd"})
    data["data"].append("odd")
    findings = check(data).findings
    assert [(each.place, each.kind, each.article, each.question_id) for each in findings] == [
        ("data[0].paragraphs[0].qas[1]", "empty-question", "Orrin Weir", "m2"),
        ("data[1].paragraphs[0]", "empty-context", "Lenn", ""),
        ("data[2]", "missing-field", "Odd", ""),
        ("data[3]", "wrong-type", "", ""),
    ]


def test_skipping_counts_the_questions_of_a_bad_paragraph() -> None:
    """A paragraph without a context takes its questions with it, and they are counted; unknown numbers are
    said so.
    """
    data = document()
    data["data"][0]["paragraphs"][0]["context"] = ""
    data["data"].append({"title": "Odd", "paragraphs": None})
    report = ReadReport()
    assert [example.id for example in load_examples(data, on_bad="skip", rejected=report)] == ["f1"]
    assert (report.n_kept, report.n_skipped, report.n_unread) == (1, 2, 1)
    assert (
        str(report)
        == "1 kept (0 of them repaired), 2 skipped, 1 parts unreadable: 1 wrong-type, 1 empty-context"
    )


def test_squad_v1_without_flags() -> None:
    """v1.1 has no is_impossible; a question without answers is one the context does not answer."""
    questions = [row("a"), row("b", answers=[])]
    data = {"version": "1.1", "data": [{"paragraphs": [{"context": MILL, "qas": questions}]}]}
    assert [example.is_impossible for example in load_examples(data)] == [False, True]
