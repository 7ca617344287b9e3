"""Checks: from a raw question to an `Example`, or to findings that say why it cannot be one."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsIndex, cast

from tinyreader.data.example import Answer, Example
from tinyreader.data.findings import Finding, quoted

MISSING = object()


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

    def wrong(self, key: str, value: object, expected: str) -> None:
        """Add a finding: the field `key` is missing or does not hold what was expected."""
        if value is MISSING:
            self.add("missing-field", f"{key!r} is missing; expected {expected}")
        else:
            self.add("wrong-type", f"{key!r} is {describe(value)}; expected {expected}")


class Validator:
    """Turns raw questions into examples; remembers ids, so use one validator per data set."""

    def __init__(self) -> None:
        self._first_place: dict[str, str] = {}

    def question(self, raw: Mapping[str, object], context: str, problems: Problems) -> Example | Flawed:
        """Return the example that `raw` (id, question, answers, plausible_answers, is_impossible) makes on
        `context`.

        `problems` holds its place, its article and the findings so far.
        """
        question_id = problems.question_id = problems.filled(raw, "id", "empty-id")
        question = problems.filled(raw, "question", "empty-question")
        answers = read_answers(raw, "answers", context, problems)
        plausible = read_answers(raw, "plausible_answers", context, problems)
        self._check_flag(raw, answers, problems)
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

    def _check_flag(self, raw: Mapping[str, object], answers: tuple[Answer, ...], problems: Problems) -> None:
        flag = raw.get("is_impossible", MISSING)
        if flag is MISSING:
            return
        if not (flag is True or flag is False):
            problems.wrong("is_impossible", flag, "true or false")
        elif flag and answers:
            problems.add(
                "impossible-with-answers", f"'is_impossible' is true and there are {len(answers)} answers"
            )
        elif not flag and not answers and not problems.found:
            problems.add("answerable-without-answers", "'is_impossible' is false and 'answers' is empty")


def read_answers(raw: Mapping[str, object], key: str, context: str, problems: Problems) -> tuple[Answer, ...]:
    """Return the answers under `key`, repaired where possible; findings go to `problems`."""
    if not context.strip():  # every answer would be wrong, for a reason already found
        return ()
    value = raw.get(key, MISSING)
    if value is MISSING or (value is None and key != "answers"):
        if key == "answers" and raw.get("is_impossible") is not True:
            problems.wrong(key, MISSING, "a list, empty for a question without an answer")
        return ()
    pairs = _answer_pairs(value, key, problems)
    answers = (_read_answer(text, start, where, context, problems) for where, text, start in pairs)
    return tuple(answer for answer in answers if answer is not None)


def _answer_pairs(value: object, key: str, problems: Problems) -> list[tuple[str, object, object]]:
    """Return (place, text, start) of each answer, from a list of objects or (as on the Hub) an object of
    lists.
    """
    if isinstance(value, Mapping):
        texts, starts = as_list(value.get("text", MISSING)), as_list(value.get("answer_start", MISSING))
        if texts is None or starts is None or len(texts) != len(starts):
            problems.add(
                "wrong-type", f"{key!r} must hold 'text' and 'answer_start', two lists of the same length"
            )
            return []
        return [
            (f"{key}[{n}]", text, start) for n, (text, start) in enumerate(zip(texts, starts, strict=True))
        ]
    items = as_list(value)
    if items is None:
        problems.wrong(key, value, "a list of objects with 'text' and 'answer_start'")
        return []
    pairs: list[tuple[str, object, object]] = []
    for n, item in enumerate(items):
        if isinstance(item, Mapping):
            pairs.append((f"{key}[{n}]", item.get("text", MISSING), item.get("answer_start", MISSING)))
        else:
            problems.wrong(f"{key}[{n}]", item, "an object with 'text' and 'answer_start'")
    return pairs


def _read_answer(text: object, start: object, where: str, context: str, problems: Problems) -> Answer | None:
    """Return the answer at `start`, or repaired, with a finding, if `text` is elsewhere and exactly once."""
    if not isinstance(text, str):
        problems.wrong(f"{where}.text", text, "a string")
        return None
    if not text.strip():
        problems.add(
            "empty-answer", f"'{where}.text' is empty; a question without an answer has an empty list"
        )
        return None
    offset = as_offset(start)
    if offset is not None and offset >= 0 and context.startswith(text, offset):
        return Answer(text, offset)
    return _repair(text, start, offset, where, context, problems)


def _repair(
    text: str, start: object, offset: int | None, where: str, context: str, problems: Problems
) -> Answer | None:
    """Return the answer at the only place where it occurs, else None; both with a finding."""
    if has_lone_surrogate(text):
        problems.add("lone-surrogate", f"'{where}.text' holds half of a surrogate pair: {quoted(text)}")
        return None
    places = find_all(text, context, limit=2)
    is_unique = len(places) == 1
    hint = (
        f"it occurs once, at {places[0]}"
        if is_unique
        else f"it {'occurs more than once' if places else 'does not occur'} in the context"
    )
    if offset is None:
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
    problems.add(kind, message, repairable=is_unique)
    return Answer(text, places[0]) if is_unique else None


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
