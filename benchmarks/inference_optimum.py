"""Optimum's side of inference.py: its ONNX model in the question-answering pipeline, and the export that
comes before.

    python inference_optimum.py MODEL OUT         # writes OUT/fp32 and OUT/int8, as Optimum's documentation
    shows

Weights are quantised per channel, which is the more exact of the two documented ways.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from inference_transformers import PipelineSide

PACKAGES = ["optimum-onnx", "onnxruntime", "transformers", "tokenizers"]


def open_side(model: str, settings: dict[str, Any], threads: int) -> PipelineSide:
    """The pipeline over an exported model."""
    import onnxruntime
    from optimum.onnxruntime import ORTModelForQuestionAnswering
    from transformers import AutoTokenizer, pipeline

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    directory = Path(model) / settings["precision"]
    network = ORTModelForQuestionAnswering.from_pretrained(directory, session_options=options)
    pipe = pipeline("question-answering", model=network, tokenizer=AutoTokenizer.from_pretrained(directory))
    return PipelineSide(pipe, by_length=settings.get("by_length", False))


def export(model: str, out: Path) -> None:
    """Write the model as ONNX, in fp32 and quantised dynamically per channel for AVX-512 with VNNI."""
    from optimum.onnxruntime import ORTModelForQuestionAnswering, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ORTModelForQuestionAnswering.from_pretrained(model, export=True).save_pretrained(out / "fp32")
    quantizer = ORTQuantizer.from_pretrained(out / "fp32")
    configuration = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer.quantize(save_dir=out / "int8", quantization_config=configuration)
    for precision in ("fp32", "int8"):
        tokenizer.save_pretrained(out / precision)


if __name__ == "__main__":
    export(sys.argv[1], Path(sys.argv[2]))
