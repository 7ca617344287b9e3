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
        (row(id=7.0), "wrong-type", "'id' is the number 7.0; expected a string"),
        (row(id=True), "wrong-type", "'id' is true; expected a string"),
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


@pytest.mark.parametrize(
    ("context", "text", "start", "found"),
    [
        ("cafe\u0301 au lait", "caf\u00e9", 0, "cafe\u0301"),
        ("caf\u00e9 au lait", "cafe\u0301 au", 0, "caf\u00e9 au"),
        ("Lou\u00a0Harl sold it", "Lou Harl", 0, "Lou\u00a0Harl"),
        ("The R&D team", "R&amp;D", 4, "R&D"),
        ("The R&amp;D team", "R&D", 4, "R&amp;D"),
        ("the miller\u2019s \u201cford\u201d", 'miller\'s "ford"', 4, "miller\u2019s \u201cford\u201d"),
        ("1811\u20131820", "1811-1820", 0, "1811\u20131820"),
        ("Line one.\r\nIt stood.", "one.\nIt", 5, "one.\r\nIt"),
        ("A Ferry crosses", "a ferry", 0, "A Ferry"),
        ("Mill (1811)", "(1811) ", 5, "(1811)"),
        ("a\u0301 \u00e9 mill", "\u00e9  mill", 2, "\u00e9 mill"),
    ],
)
def test_another_form_of_the_text_at_the_offset(context: str, text: str, start: int, found: str) -> None:
    """Unicode forms, blanks, quotes, entities and case may differ where the offset agrees: the answer is what the
    context has, and the difference is a finding.
    """
    bad = row(context=context, answers=[{"text": text, "answer_start": start}])
    finding = only_finding(bad)
    assert finding.repairable
    (answer,) = load_examples([bad], on_bad="repair")[0].answers
    assert answer == Answer(found, context.index(found))


@pytest.mark.parametrize("text", ["caf\u00e9", "&nbsp;", "CAFE"])
def test_another_form_elsewhere_is_not_certain(text: str) -> None:
    """Without an offset that agrees, a text that the context has in another form is not guessed at."""
    bad = row(context="The cafe\u0301 is open", answers=[{"text": text, "answer_start": 9}])
    finding = only_finding(bad)
    assert (finding.kind, finding.repairable) == ("offset-mismatch", False)


def utf16(text: str) -> int:
    """Return the length in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("context", "count"),
    [
        ("\U0001f98a\U0001f98a Tobe Harl built it. They met Tobe Harl later.", utf16),
        (
            "Zo\u00eb and \u6771\u4eac: Tobe Harl built it. They met Tobe Harl later.",
            lambda text: len(text.encode()),
        ),
        ("One.\nTwo.\nTobe Harl built it.\nThey met Tobe Harl.", lambda text: len(text) + text.count("\n")),
        (
            "One.\r\nTwo.\r\nTobe Harl built.\r\nThey met Tobe Harl.",
            lambda text: len(text) - text.count("\r"),
        ),
        (
            "Ame\u0301lie, Rene\u0301, Tobe Harl built it. They met Tobe Harl.",
            lambda text: len(text) - text.count("\u0301"),
        ),
    ],
)
def test_offsets_in_other_units_tell_which_of_several_is_meant(context: str, count: Any) -> None:
    """UTF-16 units, UTF-8 bytes, line breaks as two or as one, composed characters: an offset that fits one of them
    is repaired, also where the text occurs several times.
    """
    for place in find_all("Tobe Harl", context, limit=2):
        bad = row(context=context, answers=[{"text": "Tobe Harl", "answer_start": count(context[:place])}])
        assert "counted in" in only_finding(bad).message
        assert load_examples([bad], on_bad="repair")[0].answers == (Answer("Tobe Harl", place),)


@pytest.mark.parametrize("answer_id", [7, np.int64(7)])
def test_integers_are_ids(answer_id: Any) -> None:
    """An id that is an integer is its text, without a finding; an equal text is the same id."""
    assert load_examples([row(id=answer_id)])[0].id == "7"
    assert only_finding(row(id=answer_id), row(id="7")).kind == "duplicate-id"


@pytest.mark.parametrize(
    ("changes", "repaired"), [({"id": 7.0}, "7"), ({"id": None}, "row 1"), ({"id": " "}, "row 1")]
)
def test_repair_gives_ids(changes: dict[str, Any], repaired: str) -> None:
    """A float that is whole is its text; where there is no id, the place is the id."""
    rows = [row("a"), row(**changes)]
    assert [each.id for each in load_examples(rows, on_bad="repair")] == ["a", repaired]
    del rows[1]["id"]
    assert [each.id for each in load_examples(rows, on_bad="repair")] == ["a", "row 1"]


@pytest.mark.parametrize(
    ("answers", "flags"),
    [
        ([{"text": "", "answer_start": 0}], [True, 1, "true"]),
        ([{"text": " ", "answer_start": -1}], [True, None]),
        ([{"text": None, "answer_start": None}], [True, None]),
        ([{"text": "CANNOTANSWER", "answer_start": -1}], [True]),
        ({"text": [""], "answer_start": ["-1"]}, [True, None]),
        ({"text": None, "answer_start": None}, [True, None]),
        (None, [True, None]),
        ("", [True, "TRUE", 1.0]),
    ],
)
def test_no_answer_in_many_ways(answers: Any, flags: list[Any]) -> None:
    """Blank, null and -1 as the answer of an impossible question are no answer, and never one of an answerable one."""
    for flag in flags:
        bad = row(answers=answers, is_impossible=flag)
        report = check([bad])
        assert report.n_repairable == len(report.findings) > 0
        assert load_examples([bad], on_bad="repair")[0].is_impossible
    rows = [row("good"), row("bad", answers=answers, is_impossible=False)]
    assert [each.id for each in load_examples(rows, on_bad="repair")] == ["good"]


@pytest.mark.parametrize("flag", [0, "false", "False", None, 0.0])
def test_a_flag_in_another_type(flag: Any) -> None:
    """Numbers, words and null as `is_impossible` are repaired; the answers stay."""
    bad = row(is_impossible=flag)
    assert only_finding(bad).repairable
    assert load_examples([bad], on_bad="repair")[0].answers == (Answer("1811", 36),)
    assert not only_finding(row(is_impossible="maybe")).repairable


@pytest.mark.parametrize("start", ["44", " 44 ", 44.0, "44.0"])
def test_numbers_as_text(start: Any) -> None:
    """A number in another type tells which of several occurrences is meant."""
    finding = only_finding(answered("Tobe Harl", start))
    assert (finding.kind, finding.repairable) == ("wrong-type", True)
    (example,) = load_examples([answered("Tobe Harl", start)], on_bad="repair")
    assert example.answers == (Answer("Tobe Harl", 44),)


@pytest.mark.parametrize(
    "fields",
    [
        {"answers": {"text": "1811", "answer_start": 36}},
        {"answers": "1811"},
        {"answers": ["1811"]},
        {"answer": "1811"},
        {"answer": [{"text": "1811", "answer_start": 36}]},
    ],
)
def test_answers_that_are_not_a_list_of_objects(fields: dict[str, Any]) -> None:
    """One answer without a list, and answers as words, are repaired."""
    bad = row()
    del bad["answers"]
    assert check([bad | fields]).n_repairable > 0
    assert load_examples([bad | fields], on_bad="repair")[0].answers == (Answer("1811", 36),)


@pytest.mark.parametrize("on_bad", ["repair", "skip"])
def test_nothing_left_is_an_error(on_bad: Any) -> None:
    """Where every question is left out, the error says so with the findings."""
    with pytest.raises(DataError, match=r"2 empty-question(.|\n)*No question is left"):
        load_examples([row("a", question=""), row("b", question="")], on_bad=on_bad)


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
