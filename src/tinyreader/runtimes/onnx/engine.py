"""`OnnxRuntime`: a reader's model.onnx, there or converted once and cached, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tinyreader.arrays import Int64
from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import model_fingerprint
from tinyreader.runtimes import Logits, ModelFacts, PrecisionName, Runtime
from tinyreader.runtimes.architecture import model_type_of
from tinyreader.runtimes.facts import exported_precision, read_facts, write_facts
from tinyreader.storage import cache_directory, cached_build

ONNX_FILE = "model.onnx"
FORM = 2
"""Raised when conversion changes, so that files cached by an older version are not used."""


class OnnxRuntime(Runtime):
    """Threads may share it; each batch is computed by all of the session's threads."""

    def __init__(self, session: Any, facts: ModelFacts, precision: str) -> None:
        self.session, self.facts = session, replace(facts, engine="onnx", precision=precision)

    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> Logits:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""
        inputs = self.facts.named_inputs((input_ids, mask, segment_ids))
        start, end = self.session.run(["start_logits", "end_logits"], inputs)
        return np.asarray(start, np.float32), np.asarray(end, np.float32)


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
    session = _open_session(holder / ONNX_FILE, threads)
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


def _open_session(path: Path, threads: int | None = None) -> Any:
    """An ONNX Runtime session for a reader's file. Raises `ModelError` where it is damaged or not a reader."""
    onnxruntime.disable_telemetry_events()  # some builds report home unless told otherwise
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: warnings concern those who write graphs
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own, one class for each of its status codes
        reason = next(iter(str(error).strip().splitlines()), "")[:200]
        raise ModelError(
            f"{path} cannot be read by ONNX Runtime: {reason}. Export the model again"
        ) from error
    inputs = {one.name for one in session.get_inputs()}
    outputs = {one.name for one in session.get_outputs()}
    if (
        not {"input_ids", "attention_mask"} <= inputs <= {"input_ids", "attention_mask", "token_type_ids"}
        or not {"start_logits", "end_logits"} <= outputs
    ):
        raise ModelError(
            f"{path} is not a question-answering network: it takes {', '.join(sorted(inputs))} and gives "
            f"{', '.join(sorted(outputs))}"
        )
    return session
