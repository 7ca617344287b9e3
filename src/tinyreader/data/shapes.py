"""The shapes in which people have question-answering data, each taken apart into what SQuAD and the Hub use.

`unwrap` takes apart a whole file or a line of one. `SHAPES` turns what is inside into rows of the Hub's squad schema, or into
SQuAD's articles and paragraphs; it is the one place that knows how a shape is recognised and how it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tinyreader.data.validate import MISSING, as_list, as_offset, loose_pattern

Fields = Mapping[str, Any]

ALIASES = {
    "id": ("qid", "question_id", "query_id", "_id"),
    "context": ("passage", "document", "text", "context_text"),
    "question": ("query", "question_text", "query_text"),
}
"""Other names of the fields, used where a field itself is missing."""

ANSWER_TEXTS = ("answers", "answer", "answer_text")
ANSWER_STARTS = ("answer_start", "answer_starts")

FOREIGN = {
    "CoQA": {"story", "questions"},
    "DROP": {"passage", "qa_pairs"},
    "HotpotQA": {"supporting_facts", "question"},
    "Natural Questions": {"question_text", "annotations"},
    "TriviaQA": {"Question", "Answer"},
    "chat messages": {"messages"},
    "instructions": {"instruction", "output"},
    "prompts": {"prompt", "completion"},
}
"""Data whose answers have no place in a context, by the fields that tell it."""

CONVERT_WORDS = (
    "make a CSV table with the columns context, question and answer, and run: "
    "tinyreader data make TABLE.csv -o OUT.json"
)


@dataclass(frozen=True)
class Shape:
    """A shape of one object: how it is recognised, and the rows that it gives (None: no row at all)."""

    name: str
    matches: Callable[[Fields], bool]
    row: Callable[[Fields], Fields | None]


def unwrap(value: object, place: str = "") -> list[tuple[str, object]] | None:
    """Return (place, object) of each article, paragraph, task or row in a file's or line's value; None where it is
    none of the shapes.

    A list; {"data": [...]} of SQuAD, of flat rows and of pandas; {"rows": [{"row": ...}]} of the Hub's API; columns
    (lists, or objects by index); and one object that stands for itself. `place` is that of the value in its file.
    """
    dot = f"{place}." if place else ""
    row = f"{place}, row" if place else "row"
    if isinstance(value, list):
        return [(f"{row} {n}", item) for n, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("context"), str):
        return [(place or "the object", value)]
    data, rows, names = value.get("data"), value.get("rows"), value.get("columns")
    if isinstance(data, list) and isinstance(names, list) and all(isinstance(each, list) for each in data):
        return [
            (f"{row} {n}", dict(zip(map(str, names), cells, strict=False))) for n, cells in enumerate(data)
        ]
    if isinstance(data, list):
        return [(f"{dot}data[{n}]", item) for n, item in enumerate(data)]
    if isinstance(rows, list) and "question" not in value:
        return [(f"{dot}rows[{n}]", _api_row(item)) for n, item in enumerate(rows)]
    columns = {str(name): _cells(column) for name, column in value.items()}
    if all(columns.get(name) is not None for name in ("question", "context")):
        lists = {name: cells for name, cells in columns.items() if cells is not None}
        length = max(map(len, lists.values()))
        return [
            (f"{row} {n}", {name: cells[n] for name, cells in lists.items() if n < len(cells)})
            for n in range(length)
        ]
    is_object = any(name in value for name in ("paragraphs", "qas", "context", "question", "text", "header"))
    return [(place or "the object", value)] if is_object or _is_label_studio_task(value) else None


def canonical(value: Fields) -> Fields | None:
    """Return an object as a row of the Hub's schema, or as it stands where it is one, an article or a paragraph;
    None for what holds no question by design, such as a header.
    """
    for shape in SHAPES:
        if shape.matches(value):
            return shape.row(value)
    return value


def canonical_question(raw: Fields, context: object) -> Fields:
    """Return a question's fields under the names of the Hub's schema: MRQA's and other names, answers as columns."""
    changes: dict[str, Any] = {}
    for name in ("id", "question"):
        others = [other for other in ALIASES[name] if other in raw]
        if name not in raw and others:
            changes[name] = raw[others[0]]
    texts = next((raw[name] for name in ANSWER_TEXTS if raw.get(name) is not None), None)
    start = next((raw[name] for name in ANSWER_STARTS if name in raw), MISSING)
    if "detected_answers" in raw:
        changes["answers"] = _mrqa_answers(raw["detected_answers"], context)
    elif start is not MISSING and not _is_object(texts):
        changes["answers"] = _answer_columns(texts, start)
    elif "answers" not in raw and isinstance(texts, str):
        changes["answers"] = [texts] if texts.strip() else []
    return {**raw, **changes} if changes else raw


def foreign_shape(value: Fields) -> str | None:
    """Return the name of the known data set or kind that an object seems to be of, None if it is not recognised."""
    return next((name for name, keys in FOREIGN.items() if keys <= value.keys()), None)


def _api_row(item: object) -> object:
    return item["row"] if isinstance(item, Mapping) and "row" in item else item


def _cells(column: object) -> list[Any] | None:
    """Return a column as a list: a list, or an object by index, as pandas writes it."""
    return list(column.values()) if isinstance(column, Mapping) else as_list(column)


def _flat(value: Fields) -> Fields:
    other = next((value[name] for name in ALIASES["context"] if name in value), MISSING)
    context = value.get("context", other)
    row = canonical_question(value, context)
    return row if "context" in row or context is MISSING else {**row, "context": context}


def _answer_columns(texts: object, starts: object) -> dict[str, Any]:
    """Return answers and starts, each one value or a list, as lists; empty where both say that there is none."""
    text, start = (values if (values := as_list(each)) is not None else [each] for each in (texts, starts))
    if all(each in (None, "") for each in text) and all(each in (None, "", -1) for each in start):
        return {"text": [], "answer_start": []}
    return {"text": text, "answer_start": start}


def _is_object(value: object) -> bool:
    """Whether answers are objects that have places of their own."""
    return isinstance(value, Mapping) or any(isinstance(each, Mapping) for each in as_list(value) or ())


def _mrqa_answers(detected: object, context: object) -> list[Any]:
    """Return MRQA's answers: each text at each of its spans, whose ends are inclusive.

    The span counts: where the text is another form of what the context has there, the context's is taken.
    """
    answers: list[Any] = []
    for item in as_list(detected) or ():
        fields = item if isinstance(item, Mapping) else {}
        spans = [as_list(span) or [] for span in as_list(fields.get("char_spans")) or ()]
        for span in spans:
            first, last = span if len(span) == 2 else (None, None)
            answers.append({"text": _slice(fields.get("text"), first, last, context), "answer_start": first})
        if not spans:
            answers.append(item)
    return answers


def _slice(text: object, first: object, last: object, context: object) -> object:
    start, end = as_offset(first), as_offset(last)
    if not isinstance(context, str) or start is None or end is None or not 0 <= start <= end < len(context):
        return text
    there = context[start : end + 1]
    is_same = not isinstance(text, str) or loose_pattern(text).fullmatch(there) is not None
    return there if is_same else text


def _label_studio_task(task: Fields) -> Fields:
    """A task of Label Studio's JSON export: the spans of all its annotations that were not skipped are answers."""
    row = _flat({key: each for key, each in task["data"].items() if key not in ("answer", "answers")})
    done = [
        each
        for each in as_list(task.get("annotations", task.get("completions"))) or ()
        if isinstance(each, Mapping) and not each.get("was_cancelled")
    ]
    row = {"id": task["id"], **row} if "id" in task else row
    if not done:
        return row  # not annotated: `answers` is missing, which is not the same as no answer
    results = [result for each in done for result in as_list(each.get("result")) or ()]
    values = [result.get("value") for result in results if isinstance(result, Mapping)]
    return {**row, "answers": _spans(values, row.get("context"))}


def _label_studio_row(row: Fields) -> Fields:
    """A row of Label Studio's JSON-MIN and CSV exports: labelled spans under the name of the label tag."""
    spans = [
        item
        for cells in row.values()
        for item in (as_list(cells) or ())
        if isinstance(item, Mapping) and "start" in item and "end" in item
    ]
    flat = _flat({key: each for key, each in row.items() if key not in ("answer", "answers", "label")})
    return {**flat, "answers": _spans(spans, flat.get("context"))}


def _doccano(row: Fields) -> Fields:
    """A line of doccano's export of sequence labels: [start, end, label], or objects with offsets."""
    meta = row.get("meta") or row.get("metadata")
    fields = {**(meta if isinstance(meta, Mapping) else {}), **row}
    labels = next(each for name in _DOCCANO if (each := as_list(row.get(name))) is not None)
    flat = _flat({key: each for key, each in fields.items() if key not in _DOCCANO})
    return {**flat, "answers": _spans(labels, flat.get("context"))}


_DOCCANO = ("entities", "label", "labels", "annotations")


def _spans(values: Iterable[object], context: object) -> list[dict[str, Any]]:
    """Return labelled spans of any tool as answers, each place once; the text is the context's where none is given."""
    answers: dict[tuple[Any, Any], dict[str, Any]] = {}
    for value in values:
        if isinstance(value, Mapping):
            start = value.get("start", value.get("start_offset", value.get("startOffset")))
            end = value.get("end", value.get("end_offset", value.get("endOffset")))
            text = value.get("text")
        else:
            start, end = [*(as_list(value) or []), None, None][:2]
            text = None
        first, last = as_offset(start), as_offset(end)
        if first is None or last is None:
            continue  # a choice, a rating or a relation, which marks no text
        if text is None and isinstance(context, str):
            text = context[max(first, 0) : max(last, 0)]
        answers.setdefault((first, str(text)), {"text": text, "answer_start": first})
    return list(answers.values())


def _is_label_studio_task(value: Fields) -> bool:
    return isinstance(value.get("data"), Mapping) and ("annotations" in value or "completions" in value)


def _is_doccano(value: Fields) -> bool:
    return (
        "text" in value
        and "answers" not in value
        and any(as_list(value.get(name)) is not None for name in _DOCCANO)
    )


def _is_flat(value: Fields) -> bool:
    has_names = "context" in value and "question" in value and "id" in value
    has_own_answers = "answers" in value and not any(
        name in value for name in (*ANSWER_STARTS, "detected_answers")
    )
    return not (has_names and has_own_answers)


SHAPES = (
    Shape("SQuAD's article", lambda value: "paragraphs" in value, lambda value: value),
    Shape("a paragraph", lambda value: "qas" in value, lambda value: value),
    Shape("MRQA's header", lambda value: value.keys() == {"header"}, lambda value: None),
    Shape("Label Studio's JSON", _is_label_studio_task, _label_studio_task),
    Shape("Label Studio's JSON-MIN", lambda value: "annotation_id" in value, _label_studio_row),
    Shape("doccano's JSONL", _is_doccano, _doccano),
    Shape("a flat row under other names", _is_flat, _flat),
)
"""The shapes of one object, in the order in which they are tried; the Hub's row is what is none of them."""
