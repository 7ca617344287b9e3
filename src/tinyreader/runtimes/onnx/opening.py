"""From a model directory to an `OnnxRuntime`: its model.onnx, or one that is written once into the user's
cache.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import model_fingerprint
from tinyreader.runtimes import PrecisionName
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.cache import kept
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.facts import exported_precision, facts_of, is_known, read_facts, write_facts
from tinyreader.runtimes.int8 import Int8Plan, read_plan
from tinyreader.runtimes.onnx.engine import OnnxRuntime, open_session

ONNX_FILE = "model.onnx"
FORM = 1
"""Counts the changes of what is written, so that what an older version left in the cache is not taken for it.
"""


def open_onnx(directory: Path, precision: PrecisionName = "auto", threads: int | None = None) -> OnnxRuntime:
    """The runtime of the reader in that directory, by its model.onnx or, where it has none, from its weights.

    "auto" is fp32, or what the model.onnx was exported at. bf16 is a `SettingsError`: ONNX Runtime does not
    compute in it on a CPU.
    """
    if precision == "bf16":
        raise SettingsError(
            'ONNX Runtime does not compute in bf16 on a CPU; set precision to "fp32" or "int8".'
        )
    holder = directory
    if not (directory / ONNX_FILE).is_file():
        holder = written(directory, "fp32" if precision == "auto" else precision)
    held = exported_precision(holder) or "fp32"
    if precision not in ("auto", held):
        raise ModelError(
            f'{directory / ONNX_FILE} holds a network at {held}, not {precision}; set precision to "{held}" or "auto", or '
            f"export the original with --precision {precision}"
        )
    session = open_session(holder / ONNX_FILE, threads)
    return OnnxRuntime(session, read_facts(holder, {one.name for one in session.get_inputs()}), held)


def written(directory: Path, precision: Literal["fp32", "int8"]) -> Path:
    """The directory in the user's cache that holds the model as ONNX, written now or before."""
    if not is_known(directory):
        if precision == "int8":
            raise ModelError(f"{directory}: this architecture has no int8 with ONNX; read it at fp32")
        return kept("onnx", f"{model_fingerprint(directory)}-{FORM}", lambda to: convert_onnx(directory, to))
    plan = read_plan(directory, read_architecture(directory).linears()) if precision == "int8" else None
    mark = (
        ""
        if plan is None
        else "-" + hashlib.blake2b(json.dumps(plan.as_dict()).encode(), digest_size=8).hexdigest()
    )
    name = f"{model_fingerprint(directory)}-{FORM}{mark}"
    return kept("onnx", name, lambda target: write_model(directory, target, plan))


def write_model(directory: Path, target: Path, plan: Int8Plan | None = None) -> None:
    """Write the model of a known architecture into the directory `target`, with what has to be known of
    it.
    """
    try:
        from tinyreader.runtimes.onnx.graph import build_onnx, write_onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"writing {directory} as ONNX", "onnx") from error
    architecture = read_architecture(directory)
    weights = Checkpoint(directory, architecture.family.prefix)
    weights.check(architecture.tensors(), architecture.n_layers)
    write_onnx(build_onnx(architecture, weights, plan), target / ONNX_FILE)
    write_facts(target, facts_of(architecture), "onnx", "fp32" if plan is None else "int8")


def convert_onnx(directory: Path, target: Path) -> None:
    """Write a model of any other architecture into the directory `target`, by way of torch."""
    try:
        from tinyreader.runtimes.onnx.convert import convert
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"converting {directory} to ONNX", "train,onnx") from error
    write_facts(target, convert(directory, target / ONNX_FILE), "onnx", "fp32")
