"""The choice of an engine: OpenVINO where possible, ONNX Runtime for ONNX files, torch for architectures that
only Transformers has.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import has_weights
from tinyreader.runtimes import PrecisionName, Runtime
from tinyreader.runtimes.facts import exported_precision, is_known
from tinyreader.runtimes.openvino import IR_FILE, EngineSettings, open_openvino, resolve_precision

log = logging.getLogger(__name__)

Engine = Literal["auto", "openvino", "onnx", "torch"]
ONNX_FILE = "model.onnx"
FILES = {"openvino": IR_FILE, "onnx": ONNX_FILE}
"""The network files of each engine."""

PARTS = {"onnx": ("onnxruntime",), "torch": ("torch", "transformers")}
"""The packages of the optional engines."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine for a model, and the reason for it."""

    engine: Literal["openvino", "onnx", "torch"]
    reason: str


def open_engine(
    directory: Path,
    engine: Engine,
    precision: PrecisionName,
    threads: int | None = None,
    device: str | None = None,
) -> Runtime:
    """The runtime of the model in that directory; for "auto", that of `choose_engine`.

    The runtime's `facts` say which engine and precision were taken, and so does the log. "auto" is never int8,
    unless the directory holds nothing but an int8 export. `device` is torch's name for one; None is the CPU,
    or for torch the accelerator if there is one. Only torch runs on other devices than the CPU.
    """
    for name, value, allowed in (
        ("engine", engine, get_args(Engine)),
        ("precision", precision, get_args(PrecisionName)),
    ):
        if value not in allowed:
            known = ", ".join(f'"{one}"' for one in allowed)
            raise SettingsError(f"{name} is {value!r}; it must be one of {known}.")
    choice = choose_engine(directory, precision) if engine == "auto" else Choice(engine, "as asked for")
    if device not in (None, "cpu") and choice.engine != "torch":
        if engine != "auto":
            raise SettingsError(
                f'{engine} runs on the CPU, not on {device}; set engine to "torch", or leave the device out.'
            )
        choice = Choice("torch", f"it is to run on {device}")
    _require_files(directory, choice.engine)
    if choice.engine == "torch":
        runtime = _open_torch(directory, precision, threads, device)
    else:
        runtime = _OPENERS[choice.engine](directory, precision, threads)
    facts = runtime.facts
    log.info("%s is read by %s in %s: %s", directory, facts.engine, facts.precision, choice.reason)
    return runtime


def choose_engine(directory: Path, precision: PrecisionName = "auto") -> Choice:
    """The engine that suits the model and what is installed. Raises `ModelError` or `MissingExtraError` where
    none does.

    OpenVINO for every architecture that is built here, and for its own files; ONNX Runtime for a directory
    with nothing but a model.onnx; torch for other architectures (for int8 OpenVINO, whose error says why
    there is none).
    """
    if is_known(directory) and has_weights(directory):
        return Choice("openvino", "the architecture is built from its weights")
    if (directory / IR_FILE).is_file():
        return Choice("openvino", f"it holds {IR_FILE}")
    if (directory / ONNX_FILE).is_file():
        return Choice("onnx", f"it holds {ONNX_FILE}")
    if is_known(directory) or precision == "int8":
        return Choice(
            "openvino", "the architecture is built from its weights"
        )  # where it has any: that error names them
    if "torch" not in installed_engines():
        raise MissingExtraError(
            f"reading {directory}, an architecture that only Transformers knows,", "train"
        )
    return Choice("torch", "only Transformers knows the architecture")


def held_engines(directory: Path) -> tuple[str, ...]:
    """The engines whose network files the directory holds."""
    return tuple(engine for engine, name in FILES.items() if (directory / name).is_file())


def _require_files(directory: Path, engine: str) -> None:
    """Raise `ModelError` where the directory holds only another engine's network."""
    held = held_engines(directory)
    if not held or engine in held or has_weights(directory):
        return
    precision = exported_precision(directory)
    network = " and ".join(held) + ("" if precision is None else f" at {precision}")
    raise ModelError(
        f"{directory} holds a network for {network}, and no weights that {engine} reads: choose the engine "
        f"{held[0]} "
        f"(--engine {held[0]}) or auto, or take the model that it was exported from"
    )


def installed_engines() -> tuple[str, ...]:
    """The engines whose packages are installed."""
    found = [
        name
        for name, parts in PARTS.items()
        if all(importlib.util.find_spec(part) is not None for part in parts)
    ]
    return ("openvino", *found)


def precisions_of(engine: str, directory: Path) -> tuple[str, ...]:
    """The precisions that an engine offers for a model on this machine, except int8, which needs calibration."""
    if engine == "onnx":
        return (exported_precision(directory) or "fp32",) if (directory / ONNX_FILE).is_file() else ("fp32",)
    return ("fp32", "bf16") if resolve_precision("auto") == "bf16" else ("fp32",)


def _open_openvino(directory: Path, precision: PrecisionName, threads: int | None) -> Runtime:
    return open_openvino(directory, EngineSettings(precision, threads))


def _open_onnx(directory: Path, precision: PrecisionName, threads: int | None) -> Runtime:
    try:
        from tinyreader.runtimes.onnx.engine import open_onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {directory} with ONNX Runtime", "onnx") from error
    return open_onnx(directory, precision, threads)


def _open_torch(
    directory: Path, precision: PrecisionName, threads: int | None, device: str | None
) -> Runtime:
    try:
        from tinyreader.runtimes.torch_runtime import open_torch
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {directory} with torch", "train") from error
    if precision == "int8":
        raise SettingsError(
            'torch has no int8 here; set engine to "openvino", or precision to "bf16" or "fp32".'
        )
    return open_torch(directory, precision, threads, device)


_OPENERS = {"openvino": _open_openvino, "onnx": _open_onnx}
