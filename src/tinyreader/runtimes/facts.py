"""The facts of a model that an engine did not build itself: from its config.json, or noted at export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tinyreader.errors import ModelError
from tinyreader.model_files import READER_FILE, read_section, write_section
from tinyreader.runtimes import ModelFacts
from tinyreader.runtimes.architecture import FAMILIES, Architecture, model_type_of, read_architecture
from tinyreader.storage import read_object

EXPORT = "export"


def facts_of(architecture: Architecture) -> ModelFacts:
    """The facts of an encoder that is built here."""
    a = architecture
    return ModelFacts(
        pad_id=a.pad_id, max_tokens=a.max_tokens, vocab_size=a.vocab_size, takes_segments=a.takes_segments
    )


def is_known(directory: Path) -> bool:
    """Whether the directory's architecture is built here, without torch. Raises `ModelError` without config."""
    return model_type_of(directory) in FAMILIES


def read_facts(directory: Path, inputs: set[str]) -> ModelFacts:
    """The facts of a network file with these inputs, from the files beside it."""
    said = read_section(directory, EXPORT)
    if said is not None:
        return _exported(said, directory / READER_FILE)
    known = is_known(directory)
    facts = (
        facts_of(read_architecture(directory))
        if known
        else _configured(read_object(directory / "config.json", ModelError))
    )
    return replace(facts, takes_segments="token_type_ids" in inputs)


def write_facts(directory: Path, facts: ModelFacts, engine: str, precision: str, **more: Any) -> None:
    """Write a network's facts beside its files, for `read_facts`."""
    write_section(directory, EXPORT, {**asdict(replace(facts, engine=engine, precision=precision)), **more})


def exported_precision(directory: Path) -> str | None:
    """The precision that the directory was exported at, or None where it is not our export."""
    said = read_section(directory, EXPORT)
    return None if said is None else str(said.get("precision"))


def _exported(said: Mapping[str, Any], path: Path) -> ModelFacts:
    def whole(key: str) -> int | None:
        value = said.get(key)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise ModelError(f"{path}: {key} of the export is {value!r}; export the model again")
        return value

    return ModelFacts(
        engine=str(said.get("engine", "")),
        precision=str(said.get("precision", "")),
        pad_id=whole("pad_id") or 0,
        max_tokens=whole("max_tokens"),
        vocab_size=whole("vocab_size"),
        takes_segments=bool(said.get("takes_segments")),
    )


def _configured(content: Mapping[str, Any]) -> ModelFacts:
    """The facts in the configuration of another architecture; its positions may not count from 0."""

    def whole(key: str) -> int | None:
        value = content.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    return ModelFacts(
        pad_id=whole("pad_token_id") or 0,
        max_tokens=whole("max_position_embeddings"),
        vocab_size=whole("vocab_size"),
        takes_segments=False,
    )
