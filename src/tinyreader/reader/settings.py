"""A reader's settings, and how they are stored beside a model in `reader.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from tinyreader.errors import ModelError, SettingsError
from tinyreader.model_files import read_sections
from tinyreader.storage import write_json
from tinyreader.windows import WindowSettings

NAME = "reader.json"


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Lengths are in tokens. A document longer than a window is read in windows that share `doc_stride`
    tokens.

    `no_answer_threshold` is the largest null odds, in logits, at which a span counts as an answer. The
    temperatures and offsets shape `score` and `no_answer_score`; `tinyreader calibrate` learns them and stores
    them beside the model. Answers overlap by at most `max_overlap` of the shorter one; `word_boundaries`
    widens them to whole words. With `passages` above 0, only that many passages are read: those that share
    most words with the question.
    """

    max_seq_len: int = 384
    doc_stride: int = 128
    max_answer_tokens: int = 30
    top_k: int = 3
    score_threshold: float = 0.0
    no_answer_threshold: float = 0.0
    temperature: float = 1.0
    score_offset: float = 0.0
    no_answer_temperature: float | None = None
    no_answer_offset: float | None = None
    max_overlap: float = 0.0
    word_boundaries: bool = False
    on_long_question: Literal["error", "truncate"] = "error"
    passages: int = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            _require_type(each.name, getattr(self, each.name), each.default)
        _ = self.windows  # refuses what leaves no room
        if self.passages < 0:
            raise SettingsError(
                f"passages is {self.passages}; it must be at least 0, which reads documents whole."
            )
        if self.top_k < 1:
            raise SettingsError(f"top_k is {self.top_k}; it must be at least 1.")
        if self.max_answer_tokens < 1:
            raise SettingsError(f"max_answer_tokens is {self.max_answer_tokens}; it must be at least 1.")
        for name in ("score_threshold", "max_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be from 0 to 1.")
        if math.isnan(self.no_answer_threshold):
            raise SettingsError(
                "no_answer_threshold is not a number; give one, or infinity for always an answer."
            )
        for name in ("temperature", "no_answer_temperature"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise SettingsError(f"{name} is {value}; it must be above 0.")
        for name in ("score_offset", "no_answer_offset"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise SettingsError(f"{name} is {value}; it must be a finite number.")

    @property
    def windows(self) -> WindowSettings:
        """How texts are cut into windows."""
        return WindowSettings(self.max_seq_len, self.doc_stride, on_long_question=self.on_long_question)

    def fitted(self, max_tokens: int | None) -> ReaderSettings:
        """These settings with windows no longer than the model takes; None means that it sets no limit."""
        if max_tokens is None or self.max_seq_len <= max_tokens:
            return self
        return replace(self, max_seq_len=max_tokens, doc_stride=min(self.doc_stride, max_tokens // 3))

    def score(self, null_odds: float) -> float:
        """The confidence in an answer with these odds, 0 to 1: sigmoid((score_offset - odds) / temperature)."""
        return logistic((self.score_offset - null_odds) / self.temperature)

    def no_answer_score(self, null_odds: float) -> float:
        """The probability that there is no answer where the best span has these odds: a sigmoid of them.

        It has an offset and temperature of its own, since the best span may be wrong though there is an
        answer. Where these are None, the score's are used, and the two add up to 1.
        """
        offset = self.score_offset if self.no_answer_offset is None else self.no_answer_offset
        return logistic((null_odds - offset) / (self.no_answer_temperature or self.temperature))

    def changed(self, changes: dict[str, Any]) -> ReaderSettings:
        """These settings with those of `changes` that are not None, by name; 0 and False are values."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise SettingsError(f"{name} is not a setting of a reader; there are: {', '.join(known)}.")
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def _require_type(name: str, value: object, default: object) -> None:
    """Raises `SettingsError` unless a setting has its default's type. An int is a number, a bool is not."""
    if default is None and value is None:
        return
    wanted: tuple[Any, str] = Real, "a number"
    if isinstance(default, bool):
        wanted = bool, "True or False"
    elif isinstance(default, int):
        wanted = Integral, "an integer"
    elif isinstance(default, str):
        wanted = str, "a string"
    if not isinstance(value, wanted[0]) or (isinstance(value, bool) and wanted[0] is not bool):
        raise SettingsError(f"{name} is {value!r}; it must be {wanted[1]}.")


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def read_settings(directory: Path) -> ReaderSettings:
    """The settings in the model's `reader.json`, or the defaults where it has none."""
    content = read_sections(directory).get("settings", {})
    if not isinstance(content, dict):
        raise ModelError(
            f"{directory / NAME}: settings is {content!r}; it must be an object of settings by name"
        )
    try:
        return ReaderSettings().changed(content)
    except (SettingsError, TypeError) as error:
        raise ModelError(f"{directory / NAME}: {error}") from None


def write_settings(settings: ReaderSettings, directory: Path, notes: Mapping[str, Any] | None = None) -> None:
    """Writes the settings to `reader.json`, and `notes` as sections beside them; keeps its other sections."""
    path = directory / NAME
    content = read_sections(directory) | dict(notes or {})
    usual = asdict(ReaderSettings())
    content["settings"] = {name: value for name, value in asdict(settings).items() if value != usual[name]}
    write_json(path, content)
