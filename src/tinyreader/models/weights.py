"""Tensors of a checkpoint, read without running anything that came with it.

Safetensors files are plain data. A `pytorch_model.bin` is a pickle: it is read once by
`torch.load(weights_only=True)`, which builds tensors and nothing else, and kept as safetensors in the user's
cache directory under its content's hash.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinyreader.errors import ModelError
from tinyreader.model_files import PICKLE_FILE, current_name, hash_of, open_safetensors, weight_files
from tinyreader.storage import atomic_path, cache_directory, match_parent_mode

log = logging.getLogger(__name__)


def read_weights(directory: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors by the names they have in it."""
    weights: dict[str, Tensor] = {}
    for path in weight_files(directory):
        weights |= _read_pickle(path) if path.name == PICKLE_FILE else _read_safetensors(path)
    return _unpacked(weights, directory)


def _unpacked(weights: dict[str, Tensor], directory: Path) -> dict[str, Tensor]:
    """The weights with int8 rows multiplied out by their scales, which go."""
    packed = [name for name, tensor in weights.items() if tensor.dtype == torch.int8]
    for name in packed:
        scale = weights.pop(f"{name}.scale", None)
        if scale is None or weights[name].ndim != 2 or scale.shape != weights[name].shape[:1]:
            raise ModelError(f"{directory}: {name} is stored as int8 without a scale for each row")
        weights[name] = weights[name].float() * scale.float()[:, None]
    return weights


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    open_safetensors(path)  # reports a file that is missing, closed or damaged
    return dict(load_file(path))


def converted_pickle(path: Path) -> Path:
    """The safetensors file in the user's cache that the pickle was converted to, now or before."""
    _read_pickle(path)
    cached = _cached(path)
    if not cached.is_file():
        raise ModelError(
            f"{path} was converted but cannot be kept in {cached.parent}; make that directory writable"
        )
    return cached


def _cached(path: Path) -> Path:
    return cache_directory() / "converted" / f"{hash_of([path])}.safetensors"


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The pickle's tensors, from the cache where it was converted before."""
    cached = _cached(path)
    if cached.is_file():
        try:
            return dict(load_file(cached))
        except (SafetensorError, OSError) as error:
            log.warning("%s is damaged (%s); converting %s again", cached, error, path)
    weights = _unpickle(path)
    try:
        with atomic_path(cached) as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
            match_parent_mode(temporary)
    except OSError as error:
        log.warning("%s was converted but cannot be kept in %s: %s", path, cached.parent, error)
    return weights


def _unpickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling errors, zip errors and torch's own
        raise ModelError(
            f"{path} is refused: it is damaged, or holds more than tensors, and loading that could run any code "
            f"({type(error).__name__})"
        ) from error
    if (
        not isinstance(content, Mapping)
        or not all(isinstance(v, Tensor) for v in content.values())
        or not content
    ):
        raise ModelError(f"{path} should hold a dictionary of tensors by name and nothing else")
    # Storage that tensors share is written out once for each; safetensors knows no sharing.
    return {str(name): tensor.detach().clone().contiguous() for name, tensor in content.items()}


def fit_names(weights: Mapping[str, Tensor], expected: Iterable[str], prefix: str) -> dict[str, Tensor]:
    """The tensors under the names that a model expects; see `current_name`.

    An encoder saved by itself leaves out the `prefix` that it has inside a reader.
    """
    known = set(expected)
    fitted = {}
    for name, tensor in weights.items():
        name = current_name(name)
        inside = f"{prefix}.{name}"
        fitted[inside if name not in known and inside in known else name] = tensor
    return fitted
