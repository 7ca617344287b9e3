"""`OnnxRuntime`: a reader's network in an ONNX file, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tinyreader.arrays import Int64
from tinyreader.errors import ModelError
from tinyreader.runtimes import Logits, ModelFacts, Runtime


class OnnxRuntime(Runtime):
    """Threads may share it; each batch is computed by all of the session's threads."""

    def __init__(self, session: Any, facts: ModelFacts, precision: str) -> None:
        self.session, self.facts = session, replace(facts, engine="onnx", precision=precision)

    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> Logits:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""
        inputs = self.facts.named_inputs((input_ids, mask, segment_ids))
        start, end = self.session.run(["start_logits", "end_logits"], inputs)
        return np.asarray(start, np.float32), np.asarray(end, np.float32)


def open_session(path: Path, threads: int | None = None) -> Any:
    """ONNX Runtime's session of a reader's file; `ModelError` where the file is damaged or no reader's."""
    onnxruntime.disable_telemetry_events()  # some builds report home unless told otherwise
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; what is warned of concerns those who write graphs
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
            f"{path} is no question-answering network: it takes {', '.join(sorted(inputs))} and gives "
            f"{', '.join(sorted(outputs))}"
        )
    return session
