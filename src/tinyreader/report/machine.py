"""The machine a report was measured on, and the size of a model, from the system and from file headers."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from typing import Any

from tinyreader.errors import ModelError
from tinyreader.model_files import SETTINGS_FILES, open_safetensors, weight_files
from tinyreader.runtimes import n_cores
from tinyreader.storage import file_hash

PACKAGES = ("tinyreader", "numpy", "openvino", "tokenizers")
ENGINE_PACKAGES = {"torch": ("torch", "transformers"), "onnx": ("onnxruntime",)}
"""Further packages whose versions a report states, by engine."""


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory and system; None for what the system does not say."""
    return {
        "processor": _processor(),
        "cores": n_cores(),
        "memory_bytes": _memory(),
        "platform": platform.platform(),
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def peak_memory_bytes() -> int | None:
    """The peak memory of this process so far; None on systems that do not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def model_facts(directory: Path, name: str) -> dict[str, Any]:
    """What a report says of the model in that directory: its size, and the fingerprint of its weights."""
    return {
        "name": name,
        "parameters": parameters(directory),
        "size_bytes": size_on_disk(directory),
        "weights": weights_fingerprint(directory),
    }


def size_on_disk(directory: Path) -> int:
    """Bytes of the files that a model needs: weights, configuration, tokenizer; of all files where the weights
    are of an unknown kind.
    """
    try:
        weights = weight_files(directory)
    except ModelError:
        return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    others = [path for name in SETTINGS_FILES if (path := directory / name).is_file()]
    return sum(path.stat().st_size for path in {*weights, *others})


def parameters(directory: Path) -> int | None:
    """How many numbers the model learned, from the headers of its safetensors files; None where it has no
    such files.
    """
    try:
        files = weight_files(directory)
    except ModelError:
        return None
    if any(path.suffix != ".safetensors" for path in files):
        return None
    return sum(_numbers(path) for path in files)


def weights_fingerprint(directory: Path) -> str | None:
    """The fingerprint of the model's weights, which identifies the reader; None for weights of an unknown kind."""
    try:
        files = weight_files(directory)
    except ModelError:
        return None
    return "-".join(file_hash(path) for path in files)


def counted(n: int, what: str) -> str:
    """A number with its noun: 1 core, 2 cores."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _numbers(path: Path) -> int:
    """The number of weights in a safetensors file: floating-point ones, and int8 ones (packed) without their
    scales; other integers are positions.
    """
    file = open_safetensors(path)
    stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return sum(
        prod(tensor.get_shape())
        for name, tensor in stored.items()
        if ("F" in tensor.get_dtype() or tensor.get_dtype() == "I8")
        and not (name.endswith(".scale") and name.removesuffix(".scale") in stored)
    )


def _processor() -> str:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
