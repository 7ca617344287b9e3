"""Models from and to disk: found, loaded without trusting them, looked into, saved as Transformers
directories.
"""

from __future__ import annotations

from tinyreader.model_files import model_directory, model_fingerprint
from tinyreader.models.masked import LoadedMaskedLM, load_masked_lm
from tinyreader.models.parts import (
    Precision,
    attention_vectors,
    best_precision,
    encoder_layers,
    max_tokens,
    qa_head,
    takes_segments,
)
from tinyreader.models.reader import LoadedReader, load_configuration, load_encoder_as_reader, load_reader
from tinyreader.models.save import save_reader

__all__ = [
    "LoadedMaskedLM",
    "LoadedReader",
    "Precision",
    "attention_vectors",
    "best_precision",
    "encoder_layers",
    "load_configuration",
    "load_encoder_as_reader",
    "load_masked_lm",
    "load_reader",
    "max_tokens",
    "model_directory",
    "model_fingerprint",
    "qa_head",
    "save_reader",
    "takes_segments",
]
