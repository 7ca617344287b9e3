"""Readers on a CPU by OpenVINO, built straight from config.json and model.safetensors: no torch, no export step."""

from __future__ import annotations

from tinyreader.runtimes.openvino.architecture import FAMILIES, Architecture, read_architecture
from tinyreader.runtimes.openvino.checkpoint import Checkpoint
from tinyreader.runtimes.openvino.engine import (
    EngineSettings,
    OpenVinoRuntime,
    load_model,
    open_openvino,
    resolve_precision,
)
from tinyreader.runtimes.openvino.graph import Precision, build_model

__all__ = [
    "FAMILIES",
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
