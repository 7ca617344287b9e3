"""The tensors of a safetensors checkpoint as fp32 arrays, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from tinyreader.errors import MissingExtraError, ModelError
from tinyreader.model_files import PICKLE_FILE, weight_files

FloatArray = npt.NDArray[np.float32]

READABLE = ("F32", "BF16", "F16", "F64", "I8")


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in its file; `name` and `dtype` are those that the file uses."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Any

    def read(self) -> FloatArray:
        """The tensor as it is stored, in fp32; raises `ModelError` for integers other than int8."""
        if self.dtype not in READABLE:
            raise ModelError(
                f"{self.path}: {self.name} is stored as {self.dtype}; only {', '.join(READABLE)} can be read"
            )
        if self.dtype == "BF16":
            import ml_dtypes  # noqa: F401 - gives numpy the bfloat16 that safetensors reads such tensors as
        with np.errstate(over="ignore"):  # fp64 that fp32 cannot hold becomes infinite, which callers check
            stored: FloatArray = self.file.get_tensor(self.name).astype(np.float32, copy=False)
        return stored


class Checkpoint(Mapping[str, FloatArray]):
    """The tensors of a model directory; each is read, and checked to be finite, when it is asked for.

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
        """Raise `ModelError` unless these are the whole reader that the configuration describes; reads no
        tensor.
        """
        missing = sorted(expected.keys() - self.entries.keys())
        if lacking := [f"{self.prefix}.{name}" for name in missing if not name.startswith("qa_outputs.")]:
            raise ModelError(
                f"{self.directory}: the weights lack {_first(lacking)}: they are not those of this config.json"
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
                f"{self.directory}: the weights have {_first(extra)}, but config.json only {n_layers} layers"
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
    """The tensors of a safetensors file, which stays open (mapped, not read) for as long as they are used."""
    try:
        path.open("rb").close()  # safe_open reports whatever it cannot open as missing
        file: Any = safe_open(path, framework="np")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: fetch the model again") from None
    except PermissionError:
        raise ModelError(
            f"{path} may not be read by this user; allow it, as with: chmod a+r {path}"
        ) from None
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} is damaged or no safetensors file: {error}. Fetch the model again"
        ) from error
    return [Entry(path, name, one.get_dtype(), tuple(one.get_shape()), file) for name, one in slices.items()]


def _own_name(name: str, prefix: str) -> str:
    name = name.removeprefix("module.").removeprefix(f"{prefix}.")
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def _is_finite(tensor: FloatArray) -> bool:
    """Whether all values are finite; a finite sum shows it in one pass."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(tensor.sum())) or bool(np.isfinite(tensor).all())


def _first(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
