"""The exceptions Tinyreader raises on purpose.

    TinyreaderError
    ├── DataError          a data set, a prediction file or one of their parts is wrong
    ├── SettingsError      a recipe, an option or their combination is wrong
    ├── ModelError         a model directory, a checkpoint of weights or a tokenizer cannot be used
    ├── MissingExtraError  a feature needs packages that are not installed
    ├── RunError           a training run cannot start or go on
    │   └── CheckpointError    no usable checkpoint, or one that belongs to another run
    ├── ServiceError       a server of Tinyreader could not be reached, or did not answer
    └── Interrupted        the user or the system asked to stop; the work is saved

Each message says what is wrong, names the offending value or place, and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class TinyreaderError(Exception):
    """Base of every error that Tinyreader raises on purpose."""


class DataError(TinyreaderError):
    """A data set, a prediction file or one of their parts is wrong."""


class SettingsError(TinyreaderError):
    """A recipe, an option or their combination is wrong."""


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
    """A training run cannot start or go on."""


class CheckpointError(RunError):
    """There is no usable checkpoint, or it belongs to another run."""


class ServiceError(TinyreaderError):
    """A server of Tinyreader could not be reached, or did not answer."""


class Interrupted(TinyreaderError):  # noqa: N818 - it is a request that was honoured, not a mistake
    """The user or the system asked to stop; what was done is saved."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence, after a blank, that names the known name most similar to `name`; "" if none is."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
