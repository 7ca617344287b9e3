"""Conversion to ONNX, from Transformers' own model; needs the train extra."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnxruntime
import torch

from tinyreader.runtimes import ModelFacts
from tinyreader.runtimes.tracing import MAX_DIFFERENCE, first_line, refusal, traceable


def convert(directory: Path, path: Path) -> ModelFacts:
    """Write the network of the reader in that directory to `path`, and return its facts.

    Raises `ModelError` where torch cannot convert it, or its logits differ from the model's.
    """
    source = traceable(directory)
    outputs = ("start_logits", "end_logits")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of constants in the trace: checked below
            torch.onnx.export(
                source.model,
                source.example(2, 24),
                str(path),
                dynamo=False,
                opset_version=17,
                input_names=list(source.names),
                output_names=list(outputs),
                dynamic_axes={name: {0: "batch", 1: "length"} for name in (*source.names, *outputs)},
            )
        onnxruntime.disable_telemetry_events()
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        difference = source.difference(lambda inputs: session.run(list(outputs), inputs))
    except Exception as error:  # the tracer raises anything
        raise refusal(directory, "ONNX", f"{type(error).__name__}: {first_line(error)}") from error
    if not difference < MAX_DIFFERENCE:
        raise refusal(directory, "ONNX", f"logits would be off by {difference:.2g}")
    return source.facts
