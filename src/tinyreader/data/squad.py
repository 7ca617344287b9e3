"""SQuAD v1.1 and v2.0 documents: from parsed JSON to examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tinyreader.data.example import Example
from tinyreader.data.validate import MISSING, Flawed, Problems, Validator, as_list, describe


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
    """Return the list under `key` of an object, None with a finding where there is none."""
    if not isinstance(parent, Mapping):
        problems.add("wrong-type", f"this is {describe(parent)}; expected an object with a list {key!r}")
        return None
    value = parent.get(key, MISSING)
    items = as_list(value)
    if items is None:
        problems.wrong(key, value, "a list")
    return items
