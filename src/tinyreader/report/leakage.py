"""Leakage: whether a data set is one that a reader was trained or measured on, by the record of its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyreader.data import Example, fingerprint, iter_examples
from tinyreader.errors import TinyreaderError
from tinyreader.report.training import run_directory, run_record
from tinyreader.storage import read_object_if_any


def traced_run(model: Path) -> dict[str, Any] | None:
    """The record of the reader's run. Where the reader still lies in its run's directory, its data have their
    full paths, which the record itself leaves out; None without a record.
    """
    record, directory = run_record(model), run_directory(model)
    if record is None or directory is None:
        return record
    settings = (read_object_if_any(directory / "identity.json") or {}).get("settings") or {}
    recipe = record.get("recipe") or {}
    data = (recipe.get("data") or {}) | (settings.get("data") or {})
    return record | {"recipe": recipe | settings | {"data": data}}


def find_leakage(run: Mapping[str, Any] | None, examples: Sequence[Example]) -> list[str]:
    """How the reader's run used these examples before, in sentences; empty where nothing is known.

    Data sets are compared by fingerprint, whatever the file is called. Where a file that the run names still
    exists, single questions and paragraphs are looked up in it too.
    """
    if run is None:
        return []
    identity = run.get("identity") or {}
    own = fingerprint(examples)
    trained, chosen = identity.get("data") or {}, identity.get("dev")
    found = [
        f"it is {name}, which the reader was trained on" for name, print_ in trained.items() if print_ == own
    ]
    if chosen == own:
        found.append("the reader's best weights were chosen on it")
    if found:
        return found
    for use, path in _sources(run.get("recipe") or {}):
        questions, contexts = _shared(path, examples)
        if questions:
            found.append(
                f"{questions:,} of its {len(examples):,} questions are in {path}, which the reader was {use} on"
            )
        elif contexts:
            found.append(
                f"{contexts:,} of its {len(examples):,} questions are on paragraphs of {path}, which it was {use} on"
            )
    return found


def unchecked_data(run: Mapping[str, Any] | None) -> list[str]:
    """The data that the run names but that is not a file here, so that single questions cannot be looked up."""
    recipe = (run or {}).get("recipe") or {}
    there = {str(path) for _, path in _sources(recipe)}
    return list(dict.fromkeys(name for _, name in _data_of(recipe) if str(Path(name)) not in there))


def _sources(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the existing files that a recipe names, with what each was used for."""
    for use, name in dict.fromkeys(_data_of(recipe)):
        if Path(name).is_file():
            yield use, Path(name)


def _data_of(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the data that a recipe names, files and Hub ids, with what each was used for."""
    data = recipe.get("data") or {}
    names = [("trained", data.get("train"))]
    names += [("trained", stage.get("data")) for stage in recipe.get("stages") or ()]
    names.append(("measured", data.get("dev")))
    for use, name in names:
        if name is not None:
            yield use, str(name)


def _shared(path: Path, examples: Sequence[Example]) -> tuple[int, int]:
    """The number of examples whose question is in the file, and of those whose context is in it."""
    questions: set[tuple[int, str]] = set()
    contexts: set[int] = set()
    try:
        for other in iter_examples(path, on_bad="skip"):
            context = hash(other.context)
            contexts.add(context)
            questions.add((context, other.question.strip()))
    except TinyreaderError:  # the file has changed since and cannot be read: nothing to compare with
        return 0, 0
    own = [(hash(e.context), e.question.strip()) for e in examples]
    return sum(key in questions for key in own), sum(context in contexts for context, _ in own)
