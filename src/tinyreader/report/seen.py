"""Whether a data set is one that a reader was trained or measured on, by what the run left beside it in
`run.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyreader.data import Example, fingerprint, iter_examples
from tinyreader.errors import ModelError, TinyreaderError
from tinyreader.storage import read_object_if_any

RUN = "run.json"


def read_run(directory: Path) -> dict[str, Any] | None:
    """What the run that made the reader says of itself; None for a reader that no run of ours made."""
    path = directory / RUN
    return read_object_if_any(path, ModelError)


def seen_by(run: Mapping[str, Any] | None, examples: Sequence[Example]) -> list[str]:
    """What the reader's run had to do with these examples before, in sentences; empty where nothing is known
    of it.

    Data are the same by their fingerprint, whatever the file is called; where a file that the run names is
    still there, single questions and paragraphs are looked up in it too.
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
        found.append("it is the data that the reader's best weights were chosen by")
    if found:
        return found
    for use, path in _sources(run.get("recipe") or {}):
        questions, contexts = _shared(path, examples)
        if questions:
            found.append(
                f"{questions:,} of its {len(examples):,} questions are in {path}, which the reader was {use} "
                "on"
            )
        elif contexts:
            found.append(
                f"{contexts:,} of its {len(examples):,} questions are on paragraphs of {path}, which it was "
                f"{use} on"
            )
    return found


def unchecked(run: Mapping[str, Any] | None) -> list[str]:
    """The data that the run names and that lie in no file here: whether single questions were in them cannot
    be told.
    """
    recipe = (run or {}).get("recipe") or {}
    there = {str(path) for _, path in _sources(recipe)}
    return list(dict.fromkeys(name for _, name in _named(recipe) if str(Path(name)) not in there))


def _sources(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the files that a recipe names and that are there, with what each was used for."""
    for use, name in dict.fromkeys(_named(recipe)):
        if Path(name).is_file():
            yield use, Path(name)


def _named(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the data that a recipe names, files and Hub ids, with what each was used for."""
    data = recipe.get("data") or {}
    named = [("trained", data.get("train"))]
    named += [("trained", stage.get("data")) for stage in recipe.get("stages") or ()]
    named.append(("measured", data.get("dev")))
    for use, name in named:
        if name is not None:
            yield use, str(name)


def _shared(path: Path, examples: Sequence[Example]) -> tuple[int, int]:
    """How many of the examples are in the file, and how many are on a context that is in it."""
    questions: set[tuple[int, str]] = set()
    contexts: set[int] = set()
    try:
        for other in iter_examples(path, on_bad="skip"):
            context = hash(other.context)
            contexts.add(context)
            questions.add((context, other.question.strip()))
    except TinyreaderError:  # the file is another one by now: nothing to compare with
        return 0, 0
    own = [(hash(e.context), e.question.strip()) for e in examples]
    return sum(key in questions for key in own), sum(context in contexts for context, _ in own)
