"""Readers by ONNX Runtime, from a model.onnx that is there or that is written straight from safetensors; no
torch.
"""

from __future__ import annotations
