"""Readers run by ONNX Runtime: a model.onnx needs no torch, converting a model to one does."""

from __future__ import annotations
