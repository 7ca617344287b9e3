"""Readers on a CPU by OpenVINO, built straight from config.json and model.safetensors: no torch, no export
step.
"""

from __future__ import annotations

from tinyreader.runtimes.architecture import FAMILIES, Architecture, read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.openvino.engine import EngineSettings, OpenVinoRuntime, resolve_precision
from tinyreader.runtimes.openvino.graph import Precision, build_model
from tinyreader.runtimes.openvino.opening import IR_FILE, load_model, open_openvino

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
