"""Conversion of other architectures for OpenVINO, from Transformers' own model; needs the train extra."""

from __future__ import annotations

import warnings
from pathlib import Path

import openvino as ov
import torch

from tinyreader.runtimes import ModelFacts
from tinyreader.runtimes.tracing import MAX_DIFFERENCE, first_line, refusal, traceable


def convert(directory: Path) -> tuple[ov.Model, ModelFacts]:
    """The network of the reader in that directory, for any batch and length, and its facts.

    Raises `ModelError` where OpenVINO cannot convert it, or the logits differ from the model's.
    """
    source = traceable(directory)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of constants in the trace: checked below
            made = ov.convert_model(source.model, example_input=source.example(2, 24))
        for place, name in zip(made.inputs, source.names, strict=True):
            place.get_tensor().set_names({name})
            place.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        for place, name in zip(made.outputs, ("start_logits", "end_logits"), strict=True):
            place.get_tensor().set_names({name})
        made.validate_nodes_and_infer_types()
        compiled = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        difference = source.difference(lambda inputs: [compiled(inputs)[place] for place in (0, 1)])
    except Exception as error:  # the tracer and the converter raise anything
        raise refusal(directory, "OpenVINO", f"{type(error).__name__}: {first_line(error)}") from error
    if not difference < MAX_DIFFERENCE:
        raise refusal(directory, "OpenVINO", f"logits would be off by {difference:.2g}")
    return made, source.facts
