"""Tensors of a safetensors checkpoint as fp32 arrays, read by numpy alone: bf16 has no numpy type and is
widened here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tinyreader.errors import MissingExtraError, ModelError
from tinyreader.model_files import PICKLE_FILE, weight_files

FloatArray = npt.NDArray[np.float32]


def _widened(stored: npt.NDArray[np.uint16]) -> FloatArray:
    """bf16, which is the upper half of an fp32 number, as fp32."""
    return (stored.astype(np.uint32) << 16).view(np.float32)


FORMATS: dict[str, tuple[str, Callable[[Any], FloatArray]]] = {
    "F32": ("<f4", lambda stored: stored),
    "BF16": ("<u2", _widened),
    "F16": ("<f2", lambda stored: stored.astype(np.float32)),
    "F64": ("<f8", lambda stored: stored.astype(np.float32)),
    "I8": ("<i1", lambda stored: stored.astype(np.float32)),
}
SIZES = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor lies in its file, in bytes, and what it is; `name` is the one that the file uses."""

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int


class Checkpoint(Mapping[str, FloatArray]):
    """The tensors of a model directory; each is read from disk, and checked to be finite, when it is asked
    for.

    Names are the encoder's own: without the `prefix` it has inside a reader and without the `module.` of
    models saved from several GPUs; the LayerNorm parts that old files call gamma and beta are weight and
    bias.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self.directory = directory
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        for path in _safetensors(directory):
            for entry in _entries(path):
                own = _own_name(entry.name, prefix)
                if own not in self.entries or f"{prefix}." in entry.name:
                    self.entries[own] = entry

    def __getitem__(self, name: str) -> FloatArray:
        entry = self.entries[name]
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # by scales that are not finite, or too large: found below
            tensor = (
                _read(entry)
                if entry.kind != "I8"
                else _read(entry) * _read(self._scale_of(name, entry))[:, None]
            )
        if not _is_finite(tensor):
            raise ModelError(
                f"{self.directory}: {entry.name} holds values that are not finite; the weights are damaged"
            )
        return tensor

    def _scale_of(self, name: str, entry: Entry) -> Entry:
        """Where the scales of a packed matrix's rows lie."""
        scale = self.entries.get(f"{name}.scale")
        if scale is None or scale.kind == "I8" or scale.shape != entry.shape[:1] or len(entry.shape) != 2:
            raise ModelError(f"{entry.path}: {entry.name} is stored as int8 without a scale for each row")
        return scale

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def check(self, expected: Mapping[str, tuple[int, ...]], n_layers: int) -> None:
        """Raise `ModelError` unless these are the whole reader that the configuration describes; reads no
        tensor.
        """
        missing = sorted(expected.keys() - self.entries.keys())
        if lacking := [f"{self.prefix}.{name}" for name in missing if not name.startswith("qa_outputs.")]:
            raise ModelError(
                f"{self.directory}: the weights lack {_some(lacking)}: they are not those of this config.json"
            )
        if missing:
            raise ModelError(
                f"{self.directory} has no trained question-answering head: it is an encoder, not a reader. "
                f"'tinyreader finetune {self.directory} DATA -o OUT' makes a reader of it"
            )
        for name, shape in expected.items():
            entry = self.entries[name]
            if entry.shape != shape:
                raise ModelError(
                    f"{self.directory}: {entry.name} has shape {entry.shape}, but config.json asks for "
                    f"{shape}: they do "
                    "not belong together"
                )
        numbers = {
            entry.name: re.search(r"\.layers?\.(\d+)\.", f".{name}") for name, entry in self.entries.items()
        }
        if extra := sorted(name for name, found in numbers.items() if found and int(found[1]) >= n_layers):
            raise ModelError(
                f"{self.directory}: the weights have {_some(extra)}, but config.json only {n_layers} layers"
            )


def _safetensors(directory: Path) -> list[Path]:
    """The safetensors files of a model directory; a pickle is converted once, which takes torch."""
    files = weight_files(directory)
    if files != [directory / PICKLE_FILE]:
        return files
    try:
        from tinyreader.models.weights import converted_pickle
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"converting the pickle {files[0]}", "train") from error
    return [converted_pickle(files[0])]


def _entries(path: Path) -> list[Entry]:
    """The tensors that a safetensors file says it has, all within the file."""
    try:
        with path.open("rb") as file:
            return _read_header(path, file)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: fetch the model again") from None
    except PermissionError:
        raise ModelError(
            f"{path} may not be read by this user; allow it, as with: chmod a+r {path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is damaged or no safetensors file: {error}. Fetch the model again"
        ) from error


def _read_header(path: Path, file: BinaryIO) -> list[Entry]:
    """What the file's JSON header lists; `ValueError` and its like where it cannot be so."""
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    first = 8 + length
    if size < 8 or first > size:
        raise ValueError(f"a header of {length} bytes does not fit into {size} bytes")
    header = json.loads(file.read(length))
    entries = []
    for name, about in header.items():
        if name == "__metadata__":
            continue
        shape = tuple(int(n) for n in about["shape"])
        begin, end = (int(place) for place in about["data_offsets"])
        kind = str(about["dtype"])
        wanted = math.prod(shape) * SIZES.get(kind, 0)
        if (
            min(shape, default=0) < 0
            or not 0 <= begin <= end <= size - first
            or (kind in SIZES and end - begin != wanted)
        ):
            raise ValueError(f"{name} does not fit: shape {shape}, bytes {begin} to {end} of {size - first}")
        entries.append(Entry(path, name, kind, shape, first + begin))
    return entries


def _read(entry: Entry) -> FloatArray:
    """The tensor as it is stored, in fp32."""
    if entry.kind not in FORMATS:
        raise ModelError(
            f"{entry.path}: {entry.name} is stored as {entry.kind}; only {', '.join(FORMATS)} can be read"
        )
    stored, convert = FORMATS[entry.kind]
    with entry.path.open("rb") as file:
        read = np.fromfile(file, stored, math.prod(entry.shape), offset=entry.begin)
    with np.errstate(over="ignore"):  # fp64 that fp32 cannot hold is found not finite by who asked for it
        return np.ascontiguousarray(convert(read).reshape(entry.shape))


def _own_name(name: str, prefix: str) -> str:
    name = name.removeprefix("module.").removeprefix(f"{prefix}.")
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def _is_finite(tensor: FloatArray) -> bool:
    """Whether all values are finite; a finite sum shows it in one pass."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(tensor.sum())) or bool(np.isfinite(tensor).all())


def _some(names: list[str]) -> str:
    """A few of the names and how many there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
