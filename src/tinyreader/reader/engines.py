"""Which engine runs a reader: OpenVINO wherever it can, torch for what only Transformers knows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.openvino import FAMILIES, EngineSettings, open_openvino
from tinyreader.tokenizer import read_json

log = logging.getLogger(__name__)

Engine = Literal["auto", "openvino", "torch"]
PrecisionName = Literal["auto", "bf16", "fp32"]


def open_engine(directory: Path, engine: Engine, precision: PrecisionName, threads: int | None = None) -> Runtime:
    """The runtime of the model in that directory; "auto" takes OpenVINO where it knows the architecture, else torch."""
    if engine not in ("auto", "openvino", "torch"):
        raise SettingsError(f'engine is {engine!r}; it must be "auto", "openvino" or "torch".')
    if engine == "auto":
        engine = "openvino" if _is_known(directory) else "torch"
        log.info("%s is read by %s", directory, engine)
    if engine == "openvino":
        return open_openvino(directory, EngineSettings(precision, threads, streams=1))
    try:
        from tinyreader.runtimes.torch_runtime import open_torch
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {directory} with torch", "train") from error
    return open_torch(directory, precision, threads)


def _is_known(directory: Path) -> bool:
    """Whether OpenVINO's graph is built for the model's architecture."""
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(f"{directory} has no config.json: it is no Transformers model directory")
    model_type = read_json(path).get("model_type", "bert")
    return isinstance(model_type, str) and model_type in FAMILIES
