"""Readers run on a CPU by OpenVINO, built from config.json and model.safetensors without torch or an export."""

from __future__ import annotations

from tinyreader.runtimes.architecture import FAMILIES, Architecture, read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.openvino.engine import (
    IR_FILE,
    EngineSettings,
    OpenVinoRuntime,
    load_model,
    open_openvino,
    resolve_precision,
)
from tinyreader.runtimes.openvino.graph import Precision, build_model

__all__ = [
    "FAMILIES",
    "IR_FILE",
    "Architecture",
    "Checkpoint",
    "EngineSettings",
    "OpenVinoRuntime",
    "Precision",
    "build_model",
    "load_model",
    "open_openvino",
    "read_architecture",
    "resolve_precision",
]
