"""Checks: from a raw question to an `Example`, or to findings that say why it cannot be one."""

from __future__ import annotations

import html
import operator
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import SupportsIndex, cast

from tinyreader.data.example import Answer, Example
from tinyreader.data.findings import Finding, quoted

MISSING = object()
NO_OFFSET = object()
"""The offset of an answer that is given as words alone."""

UNITS: dict[str, tuple[re.Pattern[str], Callable[[str], int]]] = {
    "UTF-16 units": (re.compile(r"[\U00010000-\U0010ffff]"), lambda char: 1),
    "UTF-8 bytes": (re.compile(r"[^\x00-\x7f]"), lambda char: len(char.encode("utf-8", "surrogatepass")) - 1),
    "characters with each line break as two": (re.compile(r"(?<!\r)\n"), lambda char: 1),
    "characters with each line break as one": (re.compile(r"\r(?=\n)"), lambda char: -1),
    "composed characters": (re.compile(r"[\u0300-\u036f]"), lambda char: -1),
}
"""What other tools count offsets in: the characters that they count differently, and by how much more than one."""

_SAME_CHARACTERS = (
    "'\u2018\u2019\u02bc`\u00b4",
    '"\u201c\u201d\u201e\u00ab\u00bb',
    "-\u2010\u2011\u2012\u2013\u2014\u2212",
)
_BLANK = r"(?:\s|&nbsp;)+"


@dataclass(frozen=True, slots=True)
class Flawed:
    """A part of the data with findings: a question, or a larger part whose questions could not be reached.

    `repaired` is the example that `on_bad="repair"` yields. `n_questions` is how many questions are affected,
    None if unknown. `fatal` says that nothing at all can be read.
    """

    findings: tuple[Finding, ...]
    repaired: Example | None = None
    n_questions: int | None = 1
    fatal: bool = False


class Problems:
    """Collects the findings about one question while it is read."""

    __slots__ = ("article", "found", "place", "question_id")

    def __init__(self, place: str, article: str = "", question_id: str = "") -> None:
        self.place, self.article, self.question_id = place, article, question_id
        self.found: list[Finding] = []

    def add(self, kind: str, message: str, *, repairable: bool = False) -> None:
        """Add a finding at this place."""
        self.found.append(Finding(kind, message, self.article, self.question_id, self.place, repairable))

    def text(self, raw: Mapping[str, object], key: str) -> str:
        """Return the string under `key`, or an empty one with a finding."""
        value = raw.get(key, MISSING)
        if not isinstance(value, str):
            self.wrong(key, value, "a string")
            return ""
        if not value.isascii() and has_lone_surrogate(value):
            self.add("lone-surrogate", f"{key!r} holds half of a surrogate pair: {quoted(value)}")
        return value

    def filled(self, raw: Mapping[str, object], key: str, empty_kind: str) -> str:
        """Return the string under `key`, with a finding if it is missing, not a string or blank."""
        n_before = len(self.found)
        value = self.text(raw, key)
        if len(self.found) == n_before and not value.strip():
            self.add(empty_kind, f"{key!r} is empty")
        return value

    def title(self, raw: Mapping[str, object]) -> str:
        """Return the title, empty if there is none (null counts as none)."""
        return "" if raw.get("title") is None else self.text(raw, "title")

    def identity(self, raw: Mapping[str, object]) -> str:
        """Return the id as text. Integers are ids as they stand; a question without an id is called by its place."""
        value = raw.get("id", MISSING)
        if isinstance(value, str) and value.strip():
            return self.text(raw, "id")
        number = as_whole(value)
        if number is not None and not isinstance(value, str):
            if as_offset(value) is None:
                self.wrong("id", value, "a string", repairable=True)
            return str(number)
        if isinstance(value, str):
            self.add("empty-id", "'id' is empty; its place can be its id", repairable=True)
        else:
            self.wrong("id", value, "a string", repairable=True)
        return self.place

    def wrong(self, key: str, value: object, expected: str, *, repairable: bool = False) -> None:
        """Add a finding: the field `key` is missing or does not hold what was expected."""
        if value is MISSING:
            self.add("missing-field", f"{key!r} is missing; expected {expected}", repairable=repairable)
        else:
            self.add(
                "wrong-type", f"{key!r} is {describe(value)}; expected {expected}", repairable=repairable
            )


class Validator:
    """Turns raw questions into examples; remembers ids, so use one validator per data set."""

    def __init__(self) -> None:
        self._first_place: dict[str, str] = {}

    def question(self, raw: Mapping[str, object], context: str, problems: Problems) -> Example | Flawed:
        """Return the example that `raw` (id, question, answers, plausible_answers, is_impossible) makes on
        `context`.

        `problems` holds its place, its article and the findings so far.
        """
        question_id = problems.question_id = problems.identity(raw)
        question = problems.filled(raw, "question", "empty-question")
        flag = read_flag(raw, problems)
        n_before = len(problems.found)
        answers = read_answers(raw, "answers", context, flag, problems)
        if flag and answers:
            problems.add(
                "impossible-with-answers", f"'is_impossible' is true and there are {len(answers)} answers"
            )
        elif flag is False and not answers and context.strip() and len(problems.found) == n_before:
            problems.add("answerable-without-answers", "'is_impossible' is false and 'answers' is empty")
        plausible = read_answers(raw, "plausible_answers", context, True, problems)
        self._check_id(question_id, problems)
        example = Example(question_id, question, context, answers, plausible, problems.article)
        if not problems.found:
            return example
        is_repairable = all(finding.repairable for finding in problems.found)
        return Flawed(tuple(problems.found), example if is_repairable else None)

    def _check_id(self, question_id: str, problems: Problems) -> None:
        if not question_id:
            return
        first = self._first_place.setdefault(question_id, problems.place)
        if first is not problems.place:
            problems.add("duplicate-id", f"this id was used before, at {first}; ids must be unique")


def read_flag(raw: Mapping[str, object], problems: Problems) -> bool | None:
    """Return what `is_impossible` says, None where it says nothing; a finding where it is not true or false."""
    flag = raw.get("is_impossible", MISSING)
    if flag is MISSING or flag is True or flag is False:
        return None if flag is MISSING else bool(flag)
    name = flag.strip().casefold() if isinstance(flag, str) else str(as_whole(flag))
    meaning = {"true": True, "1": True, "false": False, "0": False}.get(name)
    problems.wrong(
        "is_impossible", flag, "true or false", repairable=meaning is not None or flag is None or name == ""
    )
    return meaning


def read_answers(
    raw: Mapping[str, object], key: str, context: str, is_impossible: bool | None, problems: Problems
) -> tuple[Answer, ...]:
    """Return the answers under `key`, repaired where possible; findings go to `problems`."""
    if not context.strip():  # every answer would be wrong, for a reason already found
        return ()
    value = raw.get(key, MISSING)
    if key == "answers" and value is MISSING and "answer" in raw:
        problems.add("missing-field", "'answers' is missing; 'answer' is there", repairable=True)
        value = raw["answer"]
    if value is MISSING or value is None:
        expected = "a list, empty for a question without an answer"
        if key == "answers" and not (value is MISSING and is_impossible):
            is_none = value is None and is_impossible is not False
            problems.wrong(key, value, expected, repairable=is_none)
        return ()
    answers = []
    for where, text, start in _answer_pairs(value, key, problems):
        if not _is_no_answer(text, start, where, is_impossible, problems):
            answers.append(_read_answer(text, start, where, context, problems))
    return tuple(answer for answer in answers if answer is not None)


def _is_no_answer(
    text: object, start: object, where: str, is_impossible: bool | None, problems: Problems
) -> bool:
    """Whether an answer says that there is none, which is a finding: it belongs in the flag or in an empty list.

    Blank text does where the question is marked impossible, and so does -1 as the offset; without a mark, both
    together do.
    """
    is_blank = text is None or (isinstance(text, str) and not text.strip())
    points_nowhere = start is None or as_whole(start) == -1
    if not (is_blank or (is_impossible and as_whole(start) == -1)):
        return False
    is_certain = is_impossible is True or (is_impossible is None and points_nowhere)
    if text is None:
        problems.wrong(f"{where}.text", text, "a string", repairable=is_certain)
    elif is_blank:
        message = f"'{where}.text' is empty; a question without an answer has an empty list"
        problems.add("empty-answer", message, repairable=is_certain)
    else:
        message = f"'{where}.answer_start' is -1: no answer; a question without an answer has an empty list"
        problems.add("outside-context", message, repairable=True)
    return True


def _answer_pairs(value: object, key: str, problems: Problems) -> list[tuple[str, object, object]]:
    """Return (place, text, start) of each answer: from a list of objects or of words, from an object of lists (as on
    the Hub), or from one answer that stands without a list.
    """
    if isinstance(value, Mapping):
        text, start = value.get("text", MISSING), value.get("answer_start", MISSING)
        texts, starts = as_list(text), as_list(start)
        if texts is None and starts is None and (text is None or isinstance(text, str)):
            problems.wrong(key, value, "a list of answers", repairable=True)
            return [(key, text, start)]
        if texts is None or starts is None or len(texts) != len(starts):
            problems.add(
                "wrong-type", f"{key!r} must hold 'text' and 'answer_start', two lists of the same length"
            )
            return []
        return [
            (f"{key}[{n}]", text, start) for n, (text, start) in enumerate(zip(texts, starts, strict=True))
        ]
    if isinstance(value, str):
        return [(key, value, NO_OFFSET)]
    items = as_list(value)
    if items is None:
        problems.wrong(key, value, "a list of objects with 'text' and 'answer_start'")
        return []
    pairs: list[tuple[str, object, object]] = []
    for n, item in enumerate(items):
        if isinstance(item, Mapping):
            pairs.append((f"{key}[{n}]", item.get("text", MISSING), item.get("answer_start", MISSING)))
        elif isinstance(item, str):
            pairs.append((f"{key}[{n}]", item, NO_OFFSET))
        else:
            problems.wrong(f"{key}[{n}]", item, "an object with 'text' and 'answer_start'")
    return pairs


def _read_answer(text: object, start: object, where: str, context: str, problems: Problems) -> Answer | None:
    """Return the answer at `start`, or with a finding the one that is certainly meant, None if none is."""
    if not isinstance(text, str):
        problems.wrong(f"{where}.text", text, "a string")
        return None
    offset = as_offset(start)
    if offset is not None and offset >= 0 and context.startswith(text, offset):
        return Answer(text, offset)
    if has_lone_surrogate(text):
        problems.add("lone-surrogate", f"'{where}.text' holds half of a surrogate pair: {quoted(text)}")
        return None
    answer, hint = locate(text, as_whole(start), context)
    if start is NO_OFFSET:
        kind = "wrong-type"
        message = f"{where!r} is {describe(text)}; expected an object with 'text' and 'answer_start'; {hint}"
        if answer is None:
            message += "; tinyreader data make FILE finds whole words, and takes the first of several"
    elif offset is None:
        kind = "missing-field" if start is MISSING else "wrong-type"
        problem = "is missing" if start is MISSING else f"is {describe(start)}"
        message = f"'{where}.answer_start' {problem}; expected an integer; the text is {quoted(text)}: {hint}"
    elif offset < 0 or offset + len(text) > len(context):
        kind = "outside-context"
        message = (
            f"'{where}' {quoted(text)} would be at {offset}:{offset + len(text)}, but "
            f"the context has {len(context)} code points; {hint}"
        )
    else:
        kind = "offset-mismatch"
        there = context[offset : offset + len(text)]
        message = (
            f"'{where}' {quoted(text)} is not at {offset}, where the context has {quoted(there)}; {hint}"
        )
    problems.add(kind, message, repairable=answer is not None)
    return answer


def locate(text: str, offset: int | None, context: str) -> tuple[Answer | None, str]:
    """Return the answer that `text` and a wrong `offset` certainly mean, None if none is, and why.

    It is the text's only occurrence. Of several, it is the one at the offset, counted in code points or else in
    other units. Where the text does not occur, it is what the context has at the offset, in these units, if that
    differs only in the form of its characters, its case and its blanks.
    """
    places = find_all(text, context, limit=2)
    if len(places) == 1:
        return Answer(text, places[0]), f"it occurs once, at {places[0]}"
    candidates = {} if offset is None or offset < 0 else dict(counted_in_other_units(offset, context))
    if places:
        fitting = {place: unit for place, unit in candidates.items() if context.startswith(text, place)}
        if offset in fitting:
            return Answer(text, offset), "it occurs there"
        if len(fitting) == 1:
            ((place, unit),) = fitting.items()
            return Answer(text, place), f"counted in {unit} it is at {place}"
        return None, "it occurs more than once in the context"
    pattern = loose_pattern(text)
    matches = (pattern.match(context, place) for place in candidates)
    spans = {match.span(1) for match in matches if match is not None}
    if len(spans) != 1:
        return None, "it does not occur in the context"
    ((start, end),) = spans
    return Answer(context[start:end], start), f"the context has {quoted(context[start:end])} at {start}"


def counted_in_other_units(offset: int, context: str) -> Iterator[tuple[int, str]]:
    """Yield the code points that may be meant by `offset`, and in which units; first the offset as it stands."""
    if offset > 4 * len(context):  # no unit counts more
        return
    seen = {offset}
    yield offset, "code points"
    for unit, (counted_differently, n_more) in UNITS.items():
        low = shift = 0
        places = []
        for match in counted_differently.finditer(context):
            place = offset - shift
            if place < low:
                break
            if place <= match.start():
                places.append(place)
            low, shift = match.start() + 1, shift + n_more(match[0])
        if low <= offset - shift <= len(context):
            places.append(offset - shift)
        for place in places:
            if place not in seen:
                seen.add(place)
                yield place, unit


def loose_pattern(text: str) -> re.Pattern[str]:
    """Return a pattern whose group 1 matches `text` in any case, Unicode form, blanks, quotes, dashes and entities."""
    words = unicodedata.normalize("NFC", html.unescape(text)).split() or [text]
    core = _BLANK.join("".join(map(_loose_character, word)) for word in words)
    lead = r"\s*" if text[:1].isspace() else ""
    return re.compile(f"{lead}({core})", re.IGNORECASE)


def _loose_character(char: str) -> str:
    for same in _SAME_CHARACTERS:
        if char in same:
            return f"(?:[{re.escape(same)}]|{re.escape(html.escape(char))})"
    forms = {char: None, unicodedata.normalize("NFD", char): None, html.escape(char): None}
    return f"(?:{'|'.join(map(re.escape, forms))})" if len(forms) > 1 else re.escape(char)


def find_all(text: str, context: str, *, limit: int) -> list[int]:
    """Return the first `limit` places where `text` occurs in `context`, overlapping ones included."""
    places: list[int] = []
    start = context.find(text)
    while start >= 0 and len(places) < limit:
        places.append(start)
        start = context.find(text, start + 1)
    return places


def as_offset(value: object) -> int | None:
    """Return an integer of any library as `int`, None for anything else, true and 3.0 included."""
    if isinstance(value, bool):
        return None
    try:
        offset = operator.index(cast(SupportsIndex, value))
    except TypeError:
        return None
    return offset if abs(offset) < 2**63 else None


def as_whole(value: object) -> int | None:
    """Return a whole number of any kind as `int`, "34" and 3.0 included, None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.0*)?\s*", value):
        value = int(value.partition(".")[0])
    return as_offset(value)


def as_list(value: object) -> list[object] | None:
    """Return a list, a tuple or an array as a list, None for anything else."""
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        return list(value)
    to_list = getattr(value, "tolist", None)
    converted = to_list() if callable(to_list) else None
    return converted if isinstance(converted, list) else None


def has_lone_surrogate(text: str) -> bool:
    """Whether `text` cannot be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def describe(value: object) -> str:
    """Return what a JSON value is, for a message: `null`, `the number 3.5`, `a list`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return (
            f"the number {value}" if abs(value) < 2**63 or isinstance(value, float) else "an enormous number"
        )
    if isinstance(value, str):
        return f"the string {quoted(value, 40)}"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"of type {type(value).__name__}"
