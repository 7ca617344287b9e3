"""Parsed data to examples, and examples to rows of the Hub's squad schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tinyreader.data.example import Example
from tinyreader.data.findings import quoted
from tinyreader.data.shapes import CONVERT_WORDS, canonical, canonical_question, foreign_shape, unwrap
from tinyreader.data.validate import MISSING, Flawed, Problems, Validator, as_list, describe


class ExampleReader:
    """Turns the objects of one data set, of any of `shapes`, into examples and findings.

    Consecutive rows with the same context or title share one string of each. Without `is_impossible` a question
    without answers is one that the context does not answer.
    """

    def __init__(self) -> None:
        self._validator = Validator()
        self._context = self._title = ""

    def read(
        self, items: Iterable[tuple[str, object] | Flawed], *, expects_articles: bool = False
    ) -> Iterator[Example | Flawed]:
        """Yield the examples of each (place, object); what is already flawed passes through.

        An object without a known shape is called a bad row, or with `expects_articles` a bad article.
        """
        for item in items:
            if isinstance(item, Flawed):
                yield item
                continue
            place, value = item
            if isinstance(value, Example):
                value = example_row(value)
            elif isinstance(value, Mapping):
                value = canonical(value)
                if value is None:
                    continue
            if isinstance(value, Mapping) and "paragraphs" in value:
                yield from self._article(value, place)
            elif isinstance(value, Mapping) and "qas" in value:
                title = Problems(place).title(value)
                yield from self._paragraph(value, title, place)
            elif expects_articles and not _is_row(value):
                yield from self._article(value, place)
            else:
                yield self._row(value, place)

    def _row(self, row: object, place: str) -> Example | Flawed:
        problems = Problems(place)
        if not isinstance(row, Mapping):
            expected = "an object with id, title, context, question and answers"
            problems.add("wrong-type", f"this is {describe(row)}; expected {expected}")
            return Flawed(tuple(problems.found))
        if not ("context" in row and "question" in row) and (name := foreign_shape(row)):
            problems.add("wrong-type", f"this looks like {name}, without places of answers; {CONVERT_WORDS}")
            return Flawed(tuple(problems.found))
        question_id = row.get("id")
        problems.question_id = question_id if isinstance(question_id, str) else ""
        if (title := problems.title(row)) != self._title:
            self._title = title
        problems.article = self._title
        if (context := problems.filled(row, "context", "empty-context")) != self._context:
            self._context = context
        return self._validator.question(row, self._context, problems)

    def _article(self, article: object, place: str) -> Iterator[Example | Flawed]:
        problems = Problems(place)
        title = problems.article = problems.title(article) if isinstance(article, Mapping) else ""
        paragraphs = _list_of(article, "paragraphs", problems)
        if problems.found:
            yield Flawed(tuple(problems.found), n_questions=None)
        for n, paragraph in enumerate(paragraphs or ()):
            yield from self._paragraph(paragraph, title, f"{place}.paragraphs[{n}]")

    def _paragraph(self, paragraph: object, title: str, place: str) -> Iterator[Example | Flawed]:
        problems = Problems(place, title)
        questions = _list_of(paragraph, "qas", problems)
        if isinstance(paragraph, Mapping) and "context" not in paragraph and "context_text" in paragraph:
            paragraph = {**paragraph, "context": paragraph["context_text"]}
        context = (
            problems.filled(paragraph, "context", "empty-context") if isinstance(paragraph, Mapping) else ""
        )
        if problems.found:
            yield Flawed(tuple(problems.found), n_questions=None if questions is None else len(questions))
            return
        for n, question in enumerate(questions or ()):
            own = Problems(f"{place}.qas[{n}]", title)
            if isinstance(question, Mapping):
                yield self._validator.question(canonical_question(question, context), context, own)
            else:
                expected = "an object with id, question and answers"
                own.add("wrong-type", f"this is {describe(question)}; expected {expected}")
                yield Flawed(tuple(own.found))


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


def document_examples(document: object) -> Iterator[Example | Flawed]:
    """Yield the questions of one JSON value in their order, whatever its shape; a fatal finding if it has none known."""
    items = unwrap(document)
    if items is not None:
        is_squad = isinstance(document, Mapping) and "data" in document
        yield from ExampleReader().read(items, expects_articles=is_squad)
        return
    top = Problems(place="the top level")
    if not isinstance(document, Mapping) or "data" in document or not document:
        _list_of(document, "data", top)
    elif name := foreign_shape(document):
        top.add("wrong-type", f"this looks like {name}, without places of answers; {CONVERT_WORDS}")
    else:
        names = ", ".join(quoted(str(key), 20) for key in list(document)[:6])
        message = f"'data' is missing, and the fields {names} are no known shape; {CONVERT_WORDS}"
        top.add("missing-field", message)
    yield Flawed(tuple(top.found), n_questions=None, fatal=True)


def _is_row(value: object) -> bool:
    return isinstance(value, Mapping) and (
        "context" in value or "question" in value or foreign_shape(value) is not None
    )


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
