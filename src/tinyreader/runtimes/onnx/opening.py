"""From a model directory to an `OnnxRuntime`: its model.onnx, or one that is converted once and cached."""

from __future__ import annotations

from pathlib import Path

from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import model_fingerprint
from tinyreader.runtimes import PrecisionName
from tinyreader.runtimes.architecture import model_type_of
from tinyreader.runtimes.facts import exported_precision, read_facts, write_facts
from tinyreader.runtimes.onnx.engine import OnnxRuntime, open_session
from tinyreader.storage import cache_directory, cached_build

ONNX_FILE = "model.onnx"
FORM = 2
"""Raised when conversion changes, so that files cached by an older version are not used."""


def open_onnx(directory: Path, precision: PrecisionName = "auto", threads: int | None = None) -> OnnxRuntime:
    """The runtime of the reader in that directory: of its model.onnx, or of its weights, converted at fp32.

    Only a model.onnx takes no torch. "auto" is the precision that it was exported at. Raises
    `SettingsError` for bf16, in which ONNX Runtime does not compute on a CPU, `ModelError` for another
    precision than the file's, and `MissingExtraError` where converting needs torch.
    """
    if precision == "bf16":
        raise SettingsError('ONNX Runtime does not compute in bf16 on a CPU; set precision to "fp32".')
    holder = directory
    if not (directory / ONNX_FILE).is_file():
        if precision == "int8":
            raise ModelError(
                f'{directory} is converted to ONNX at fp32, not int8; set engine to "openvino" for int8'
            )
        holder = converted_onnx(directory)
    held = exported_precision(holder) or "fp32"
    if precision not in ("auto", held):
        raise ModelError(
            f'{directory / ONNX_FILE} holds a network at {held}, not {precision}; set precision to "{held}" '
            'or "auto", or read the original with engine "openvino"'
        )
    session = open_session(holder / ONNX_FILE, threads)
    return OnnxRuntime(session, read_facts(holder, {one.name for one in session.get_inputs()}), held)


def converted_onnx(directory: Path) -> Path:
    """The directory in the user's cache that holds the model as ONNX, converted now or before."""
    model_type_of(directory)  # refuses what is not a model directory
    name = f"{model_fingerprint(directory)}-{FORM}"
    return cached_build(cache_directory() / "onnx" / name, lambda target: convert_onnx(directory, target))


def convert_onnx(directory: Path, target: Path) -> None:
    """Write the model as ONNX into the directory `target`, with its facts."""
    try:
        from tinyreader.runtimes.onnx.convert import convert
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"converting {directory} to ONNX", "train,onnx") from error
    write_facts(target, convert(directory, target / ONNX_FILE), "onnx", "fp32")
