"""How a reader reads, and what is kept of that beside a model in `reader.json`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from tinyreader.errors import ModelError, SettingsError
from tinyreader.files import atomic_path
from tinyreader.tokenizer import read_json

NAME = "reader.json"


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Lengths are in tokens. A document longer than a window is read in windows that share `doc_stride` tokens.

    `no_answer_threshold` is the largest null odds, in logits, at which a span counts as an answer; `temperature` divides the
    odds before they become a score. Both are learned on development data and stored beside the model. Answers overlap by at
    most `max_overlap` of the shorter one; `word_boundaries` widens them to whole words.
    """

    max_seq_len: int = 384
    doc_stride: int = 128
    max_answer_tokens: int = 30
    top_k: int = 3
    score_threshold: float = 0.0
    no_answer_threshold: float = 0.0
    temperature: float = 1.0
    max_overlap: float = 0.0
    word_boundaries: bool = False
    on_long_question: Literal["error", "truncate"] = "error"

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise SettingsError(f"top_k is {self.top_k}; it must be at least 1.")
        if self.max_answer_tokens < 1:
            raise SettingsError(f"max_answer_tokens is {self.max_answer_tokens}; it must be at least 1.")
        for name in ("score_threshold", "max_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be from 0 to 1.")
        if math.isnan(self.no_answer_threshold):
            raise SettingsError("no_answer_threshold is not a number; give one, or infinity for always an answer.")
        if not 0.0 < self.temperature < math.inf:
            raise SettingsError(f"temperature is {self.temperature}; it must be above 0.")

    def changed(self, changes: dict[str, Any]) -> ReaderSettings:
        """These settings with those of `changes` that are not None, by name; 0 and False are values."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise SettingsError(f"{name} is no setting of a reader; there are: {', '.join(known)}.")
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def read_settings(directory: Path) -> ReaderSettings:
    """The settings in the model's `reader.json`, or the usual ones where it has none."""
    path = directory / NAME
    if not path.is_file():
        return ReaderSettings()
    content = read_json(path).get("settings", {})
    try:
        return ReaderSettings().changed(content)
    except (SettingsError, TypeError) as error:
        raise ModelError(f"{path}: {error}") from None


def write_settings(settings: ReaderSettings, directory: Path) -> None:
    """Writes `reader.json`, keeping what else stands in it."""
    path = directory / NAME
    content = read_json(path) if path.is_file() else {}
    usual = asdict(ReaderSettings())
    content["settings"] = {name: value for name, value in asdict(settings).items() if value != usual[name]}
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
