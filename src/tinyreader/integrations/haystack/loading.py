"""From the model arguments of Haystack's component to a tokenizer and an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from tinyreader.errors import SettingsError
from tinyreader.model_files import model_directory
from tinyreader.reader.settings import read_settings
from tinyreader.runtimes import PrecisionName, Runtime
from tinyreader.runtimes.engines import Engine, open_engine
from tinyreader.runtimes.reading import windower_cache
from tinyreader.tokenizer import load_tokenizer
from tinyreader.windows import Windower, WindowSettings

log = logging.getLogger(__name__)

PRECISIONS: dict[str, PrecisionName] = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "auto",  # no engine computes in float16 on a CPU
    "auto": "auto",
}
"""Precisions by torch's names for number formats."""

USED_KWARGS = ("device_map", "dtype", "revision", "torch_dtype")


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to read. An answer counts where the null odds are at most the threshold."""

    tokenizer: Tokenizer
    runtime: Runtime
    no_answer_threshold: float

    @cached_property
    def windower(self) -> Callable[[WindowSettings], Windower]:
        """The windower for given lengths."""
        return windower_cache(self.tokenizer)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model and how to run it; `device` is torch's name for one, or None for what suits the engine."""

    model: str
    revision: str | None
    device: str | None
    engine: Engine
    precision: PrecisionName
    threads: int | None

    def load(self, token: str | None) -> LoadedModel:
        """The model, from its directory or from the Hub.

        Raises `ModelError` if it is not a question-answering model, `SettingsError` if the engine does not
        run on the device.
        """
        directory = model_directory(self.model, self.revision, token)
        runtime = open_engine(directory, self.engine, self.precision, self.threads, self.device)
        return LoadedModel(load_tokenizer(directory), runtime, read_settings(directory).no_answer_threshold)


def model_request(
    model: str,
    device: str | None,
    model_kwargs: Mapping[str, Any],
    engine: Engine,
    precision: PrecisionName | None,
    threads: int | None,
) -> ModelRequest:
    """The request that the arguments make. `precision` None is that of `model_kwargs`, else fp32, the default
    of Transformers.

    Revision, number format and device are read from `model_kwargs`; its other entries are about Transformers'
    own loading and are named in a warning.
    """
    others = sorted(set(model_kwargs) - set(USED_KWARGS))
    if others:
        log.warning("model_kwargs of %s that have no effect here: %s", model, ", ".join(others))
    if precision is None:
        dtype = model_kwargs.get("dtype", model_kwargs.get("torch_dtype", "float32"))
        name = str(dtype).removeprefix("torch.")
        if name not in PRECISIONS:
            raise SettingsError(
                f"model_kwargs ask for numbers of type {dtype!r}; it must be one of {', '.join(PRECISIONS)}."
            )
        precision = PRECISIONS[name]
    if "device_map" in model_kwargs:
        if device is not None:
            log.warning("%s was given both a device and a device_map; the device_map is used", model)
        device = _device(model_kwargs["device_map"])
    return ModelRequest(model, model_kwargs.get("revision"), device, engine, precision, threads)


def _device(device_map: Any) -> str | None:
    """The one device that a Transformers `device_map` names, or None for "auto"."""
    values = set(device_map.values()) if isinstance(device_map, Mapping) else {device_map}
    names = {f"cuda:{value}" if isinstance(value, int) else str(value) for value in values}
    names = {"cpu" if name.startswith("cpu") else name for name in names}
    if len(names) > 1:
        log.warning("a reader is not split over devices (%s); one is chosen", ", ".join(sorted(names)))
        return None
    (name,) = names or {"auto"}
    return None if name in ("auto", "balanced", "balanced_low_0", "sequential", "None") else name
