"""From what Haystack's components are told about a model to a tokenizer and an engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tinyreader.errors import MissingExtraError, SettingsError
from tinyreader.model_files import model_directory
from tinyreader.reader.settings import read_settings
from tinyreader.runtimes import PrecisionName, Runtime
from tinyreader.runtimes.engines import Engine, open_engine
from tinyreader.tokenizer import load_tokenizer

log = logging.getLogger(__name__)

PRECISIONS: dict[str, PrecisionName] = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "auto",
    "auto": "auto",
}
"""Numbers by the names torch has for them; no engine computes in float16 on a CPU, so the best of the others
is taken.
"""

USED_KWARGS = ("device_map", "dtype", "revision", "torch_dtype")


@dataclass(frozen=True, slots=True)
class Model:
    """A model ready to read: its tokenizer, its engine, and the null odds up to which it says that there is
    an answer.
    """

    tokenizer: Tokenizer
    runtime: Runtime
    no_answer_threshold: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model and how to run it: `device` as torch names it, or None for what suits the engine."""

    model: str
    revision: str | None
    device: str | None
    engine: Engine
    precision: PrecisionName
    threads: int | None


def wanted(
    model: str,
    device: str | None,
    model_kwargs: Mapping[str, Any],
    engine: Engine,
    precision: PrecisionName | None,
    threads: int | None,
) -> Wanted:
    """What the arguments ask for; `precision` None is what `model_kwargs` say, else fp32, as Transformers has
    it.

    Of `model_kwargs`, the revision, the number format and the device are taken; the others are about
    Transformers' own loading and are named in a warning.
    """
    others = sorted(set(model_kwargs) - set(USED_KWARGS))
    if others:
        log.warning(
            "model_kwargs of %s that do not apply here and have no effect: %s", model, ", ".join(others)
        )
    if precision is None:
        asked = model_kwargs.get("dtype", model_kwargs.get("torch_dtype", "float32"))
        name = str(asked).removeprefix("torch.")
        if name not in PRECISIONS:
            raise SettingsError(
                f"model_kwargs ask for numbers of type {asked!r}; there are: {', '.join(PRECISIONS)}."
            )
        precision = PRECISIONS[name]
    if "device_map" in model_kwargs:
        if device is not None:
            log.warning("%s was given both a device and a device_map; the device_map counts", model)
        device = _device(model_kwargs["device_map"])
    return Wanted(model, model_kwargs.get("revision"), device, engine, precision, threads)


def load(asked: Wanted, token: str | None) -> Model:
    """The model, from its directory or from the Hub.

    Raises `ModelError` for what is no question-answering model, `SettingsError` for devices that the engine
    does not have.
    """
    directory = model_directory(asked.model, asked.revision, token)
    runtime = _runtime(directory, asked)
    return Model(load_tokenizer(directory), runtime, read_settings(directory).no_answer_threshold)


def _runtime(directory: Path, asked: Wanted) -> Runtime:
    device = asked.device
    if device is None or (device == "cpu" and asked.engine != "torch"):
        return open_engine(directory, asked.engine, asked.precision, asked.threads)
    if asked.engine not in ("auto", "torch"):
        raise SettingsError(
            f'{asked.engine} runs on the CPU, not on {device}; set engine="torch", or leave the device out.'
        )
    if asked.precision == "int8":
        raise SettingsError(
            "torch does not compute in int8; leave engine and device out, or set another precision."
        )
    try:
        import torch

        from tinyreader.models import best_precision, load_reader
        from tinyreader.runtimes.torch_runtime import TorchRuntime
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {directory} on {device}", "train") from error
    place = torch.device(device)
    precision = best_precision(place) if asked.precision == "auto" else asked.precision
    return TorchRuntime(load_reader(directory), precision, place)


def _device(device_map: Any) -> str | None:
    """The one device that a Transformers `device_map` names, or None for "auto"."""
    places = set(device_map.values()) if isinstance(device_map, Mapping) else {device_map}
    names = {f"cuda:{place}" if isinstance(place, int) else str(place) for place in places}
    names = {"cpu" if name.startswith("cpu") else name for name in names}
    if len(names) > 1:
        log.warning("a reader is not split over devices (%s); one is chosen", ", ".join(sorted(names)))
        return None
    (name,) = names or {"auto"}
    return None if name in ("auto", "balanced", "balanced_low_0", "sequential", "None") else name
