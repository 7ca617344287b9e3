"""Parsed data to examples: rows of the Hub's squad schema, and SQuAD v1.1 and v2.0 documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tinyreader.data.example import Example
from tinyreader.data.validate import MISSING, Flawed, Problems, Validator, as_list, describe


def row_examples(rows: Iterable[tuple[str, object] | Flawed]) -> Iterator[Example | Flawed]:
    """Yield the example of each (place, row); what is already flawed passes through.

    Consecutive rows with the same context or title share one string of each. Without `is_impossible` a row
    without answers is a question that the context does not answer.
    """
    validator = Validator()
    context = title = ""
    for item in rows:
        if isinstance(item, Flawed):
            yield item
            continue
        place, row = item
        problems = Problems(place)
        if isinstance(row, Example):
            row = example_row(row)
        if not isinstance(row, Mapping):
            expected = "an object with id, title, context, question and answers"
            problems.add("wrong-type", f"this is {describe(row)}; expected {expected}")
            yield Flawed(tuple(problems.found))
            continue
        question_id = row.get("id")
        problems.question_id = question_id if isinstance(question_id, str) else ""
        if (own_title := problems.title(row)) != title:
            title = own_title
        problems.article = title
        if (own_context := problems.filled(row, "context", "empty-context")) != context:
            context = own_context
        yield validator.question(row, context, problems)


def example_row(example: Example) -> dict[str, object]:
    """Return an example as a row of the Hub's squad schema, with `plausible_answers` where there are some."""
    row: dict[str, object] = {
        "id": example.id,
        "title": example.title,
        "context": example.context,
        "question": example.question,
        "answers": {
            "text": [answer.text for answer in example.answers],
            "answer_start": [answer.start for answer in example.answers],
        },
    }
    if example.plausible_answers:
        row["plausible_answers"] = {
            "text": [answer.text for answer in example.plausible_answers],
            "answer_start": [answer.start for answer in example.plausible_answers],
        }
    return row


def squad_examples(document: object) -> Iterator[Example | Flawed]:
    """Yield the questions of a SQuAD document in their order; the questions of a paragraph share one context
    string.

    Where `is_impossible` is not given (v1.1), a question without answers is one the context does not answer.
    """
    top = Problems(place="the top level")
    articles = _list_of(document, "data", top)
    if articles is None:
        if isinstance(document, list) or (isinstance(document, Mapping) and "context" in document):
            top.add(
                "wrong-type",
                "rows of one question each belong in JSON Lines, one a line, in a file named .jsonl",
            )
        yield Flawed(tuple(top.found), n_questions=None, fatal=True)
        return
    validator = Validator()
    for n, article in enumerate(articles):
        yield from _article(article, f"data[{n}]", validator)


def _article(article: object, place: str, validator: Validator) -> Iterator[Example | Flawed]:
    problems = Problems(place)
    title = problems.title(article) if isinstance(article, Mapping) else ""
    problems.article = title
    paragraphs = _list_of(article, "paragraphs", problems)
    if problems.found:
        yield Flawed(tuple(problems.found), n_questions=None)
    if paragraphs is None:
        return
    for n, paragraph in enumerate(paragraphs):
        yield from _paragraph(paragraph, title, f"{place}.paragraphs[{n}]", validator)


def _paragraph(paragraph: object, title: str, place: str, validator: Validator) -> Iterator[Example | Flawed]:
    problems = Problems(place, title)
    questions = _list_of(paragraph, "qas", problems)
    context = problems.filled(paragraph, "context", "empty-context") if isinstance(paragraph, Mapping) else ""
    if problems.found:
        yield Flawed(tuple(problems.found), n_questions=None if questions is None else len(questions))
        return
    for n, question in enumerate(questions or ()):
        own = Problems(f"{place}.qas[{n}]", title)
        if isinstance(question, Mapping):
            yield validator.question(question, context, own)
        else:
            own.add(
                "wrong-type",
                f"this is {describe(question)}; expected an object with id, question and answers",
            )
            yield Flawed(tuple(own.found))


def _list_of(parent: object, key: str, problems: Problems) -> list[object] | None:
    """Return the list under `key` of an object, None with a finding if there is none."""
    if not isinstance(parent, Mapping):
        problems.add("wrong-type", f"this is {describe(parent)}; expected an object with a list {key!r}")
        return None
    value = parent.get(key, MISSING)
    items = as_list(value)
    if items is None:
        problems.wrong(key, value, "a list")
    return items
