"""Rows of the Hub's squad schema (id, title, context, question, answers): from JSON Lines or memory to
examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tinyreader.data.example import Example
from tinyreader.data.validate import Flawed, Problems, Validator, describe


def row_examples(rows: Iterable[tuple[str, object] | Flawed]) -> Iterator[Example | Flawed]:
    """Yield the example of each (place, row); what was flawed before it became a row passes through.

    Following rows with the same context or title share one string of each. Without `is_impossible` a row
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
