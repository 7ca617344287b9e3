"""Examples to files, atomically: SQuAD v2.0 JSON and JSON Lines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import IO

from tinyreader.data.example import Answer, Example
from tinyreader.data.findings import visible
from tinyreader.data.rows import example_row
from tinyreader.errors import DataError, SettingsError
from tinyreader.storage import atomic_text

StrPath = str | os.PathLike[str]


def write_squad(examples: Iterable[Example], path: StrPath) -> None:
    """Write a SQuAD v2.0 file, gzip-compressed where the name says .gz.

    Consecutive examples with the same title become an article, and within it those with the same context a
    paragraph. So the order stays, reading the file gives the same examples, and nothing is held in memory.
    Shuffled examples give a file that repeats articles; sort them first if that matters.
    """
    _write(_write_articles, examples, path)


def write_jsonl(examples: Iterable[Example], path: StrPath) -> None:
    """Write JSON Lines in the Hub's squad schema, gzip-compressed where the name says .gz."""
    _write(_write_rows, examples, path)


def writer_for(path: StrPath) -> Callable[[Iterable[Example], StrPath], None]:
    """Return `write_squad` or `write_jsonl`, depending on the suffix of the file."""
    name = Path(path).name.lower().removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return write_jsonl
    if name.endswith(".json"):
        return write_squad
    raise SettingsError(
        f"{path}: the name must end with .json (SQuAD) or .jsonl (JSON Lines), or one of them and .gz"
    )


def _write(
    write: Callable[[Iterable[Example], IO[str]], None], examples: Iterable[Example], path: StrPath
) -> None:
    try:
        with atomic_text(path) as file:
            write(examples, file)
    except UnicodeEncodeError as error:
        piece = visible(error.object[max(0, error.start - 20) : error.end + 20])
        raise DataError(
            f"cannot write {path}: half of a surrogate pair is not a character: {piece}"
        ) from error


def _write_articles(examples: Iterable[Example], file: IO[str]) -> None:
    file.write('{"version": "v2.0", "data": [')
    for n, (title, of_article) in enumerate(groupby(examples, key=lambda example: example.title)):
        file.write(f'{", " if n else ""}\n{{"title": {_dump(title)}, "paragraphs": [')
        for m, (context, of_paragraph) in enumerate(groupby(of_article, key=lambda example: example.context)):
            paragraph = {"context": context, "qas": [_question(example) for example in of_paragraph]}
            file.write(f"{', ' if m else ''}\n{_dump(paragraph)}")
        file.write("]}")
    file.write("]}\n")


def _write_rows(examples: Iterable[Example], file: IO[str]) -> None:
    for example in examples:
        file.write(_dump(example_row(example)) + "\n")


def _question(example: Example) -> dict[str, object]:
    question: dict[str, object] = {
        "id": example.id,
        "question": example.question,
        "answers": _answers(example.answers),
        "is_impossible": example.is_impossible,
    }
    if example.plausible_answers:
        question["plausible_answers"] = _answers(example.plausible_answers)
    return question


def _answers(answers: Iterable[Answer]) -> list[dict[str, object]]:
    return [{"text": answer.text, "answer_start": answer.start} for answer in answers]


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
