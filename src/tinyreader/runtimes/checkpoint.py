"""The tensors of a safetensors checkpoint as fp32 arrays, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.arrays import Float32
from tinyreader.errors import MissingExtraError, ModelError
from tinyreader.model_files import PICKLE_FILE, check_shapes, current_name, open_safetensors, weight_files

READABLE = ("F32", "BF16", "F16", "F64", "I8")


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in its file; `name` and `dtype` are those that the file uses."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Any

    def read(self) -> Float32:
        """The tensor as it is stored, in fp32; raises `ModelError` for integers other than int8."""
        if self.dtype not in READABLE:
            raise ModelError(
                f"{self.path}: {self.name} is stored as {self.dtype}; only {', '.join(READABLE)} can be read"
            )
        if self.dtype == "BF16":
            import ml_dtypes  # noqa: F401 - gives numpy the bfloat16 that safetensors reads such tensors as
        with np.errstate(over="ignore"):  # fp64 that fp32 cannot hold becomes infinite, which callers check
            stored: Float32 = self.file.get_tensor(self.name).astype(np.float32, copy=False)
        return stored


class Checkpoint(Mapping[str, Float32]):
    """The tensors of a model directory; each is read, and checked to be finite, when it is asked for.

    Names are the encoder's own, as `current_name` has them, without the `prefix` it has inside a reader.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self.directory = directory
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        for path in _safetensors(directory):
            file = open_safetensors(path)  # mapped, not read, and open for as long as the entries are used
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                own, stored = current_name(name).removeprefix(f"{prefix}."), file.get_slice(name)
                if own not in self.entries or f"{prefix}." in name:
                    shape = tuple(stored.get_shape())
                    self.entries[own] = Entry(path, name, stored.get_dtype(), shape, file)

    def __getitem__(self, name: str) -> Float32:
        entry = self.entries[name]
        tensor = entry.read()
        if entry.dtype == "I8":
            with np.errstate(invalid="ignore", over="ignore"):  # scales not finite, or too large: found below
                tensor = tensor * self._scale_of(name, entry).read()[:, None]
        if not _is_finite(tensor):
            raise ModelError(
                f"{self.directory}: {entry.name} holds values that are not finite; the weights are damaged"
            )
        return tensor

    def _scale_of(self, name: str, entry: Entry) -> Entry:
        """The scales of a packed matrix's rows."""
        scale = self.entries.get(f"{name}.scale")
        if scale is None or scale.dtype == "I8" or scale.shape != entry.shape[:1] or len(entry.shape) != 2:
            raise ModelError(f"{entry.path}: {entry.name} is stored as int8 without a scale for each row")
        return scale

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def check(self, expected: Mapping[str, tuple[int, ...]], n_layers: int) -> None:
        """Raise `ModelError` unless this is the complete reader that the configuration describes; no tensor is
        read.
        """
        head = {name for name in expected.keys() - self.entries.keys() if name.startswith("qa_outputs.")}
        check_shapes(
            {self._shown(name): entry.shape for name, entry in self.entries.items()},
            {self._shown(name): shape for name, shape in expected.items() if name not in head},
            n_layers,
            self.directory,
        )
        if head:
            raise ModelError(
                f"{self.directory} has no trained question-answering head: it is an encoder, not a reader. "
                f"'tinyreader finetune {self.directory} DATA -o OUT' makes a reader of it"
            )

    def _shown(self, name: str) -> str:
        """The name as messages give it: with the prefix it has inside a reader."""
        return name if name.startswith("qa_outputs.") else f"{self.prefix}.{name}"


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


def _is_finite(tensor: Float32) -> bool:
    """Whether all values are finite; a finite sum shows it in one pass."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(tensor.sum())) or bool(np.isfinite(tensor).all())
