"""The exceptions that Tinyreader raises on purpose.

    TinyreaderError
    ├── DataError          a data set or a prediction file is malformed
    ├── SettingsError      a recipe or an option is invalid
    ├── ModelError         a model directory, a file of weights or a tokenizer cannot be used
    ├── MissingExtraError  a feature needs packages that are not installed
    ├── RunError           a run cannot start or resume
    │   └── CheckpointError    no usable checkpoint, or one of another run
    ├── ServiceError       a Tinyreader server cannot be reached or does not answer
    └── Interrupted        the user or the system asked to stop; finished work is saved

Each message says what is wrong, gives the offending value or place, and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class TinyreaderError(Exception):
    """Base class of all errors that Tinyreader raises on purpose."""


class DataError(TinyreaderError):
    """A data set or a prediction file is malformed."""


class SettingsError(TinyreaderError):
    """A recipe or an option, or a combination of them, is invalid."""


class ModelError(TinyreaderError):
    """A model directory, a file of weights or a tokenizer cannot be used."""


class MissingExtraError(TinyreaderError):
    """A feature needs packages that are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed. Install them with: "
            f'pip install "tinyreader[{extra}]"'
        )
        self.extra = extra


class RunError(TinyreaderError):
    """A run cannot start or resume."""


class CheckpointError(RunError):
    """There is no usable checkpoint, or it belongs to another run."""


class ServiceError(TinyreaderError):
    """A Tinyreader server cannot be reached or does not answer."""


class Interrupted(TinyreaderError):  # noqa: N818 - a request that was granted, not an error
    """The user or the system asked to stop; finished work is saved."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence, after a blank, that names the known name most similar to `name`; "" if none is."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
