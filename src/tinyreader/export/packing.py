"""A reader's weights as int8 rows with their scales: a quarter of the size, to be multiplied out when it is
opened.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from tinyreader.files import share
from tinyreader.model_files import PACKED_FILE
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.int8 import quantised

FORMAT = "tinyreader int8 rows"


def write_packed(directory: Path, target: Path) -> Path:
    """Write the weights of the reader in `directory` to `target` as `PACKED_FILE`; gives the file.

    A matrix W [rows, columns] becomes round(W / s) in -127..127 with s = max |row| / 127 for each row, so
    that no number is off by more than s / 2. Vectors stay fp32: they are few, and biases and LayerNorms are
    not forgiving. The names are those of Transformers.
    """
    architecture = read_architecture(directory)
    checkpoint = Checkpoint(directory, architecture.family.prefix)
    checkpoint.check(architecture.tensors(), architecture.n_layers)
    tensors: dict[str, npt.NDArray[np.int8 | np.float32]] = {}
    for own in architecture.tensors():
        name = own if own.startswith("qa_outputs.") else f"{checkpoint.prefix}.{own}"
        weight = checkpoint[own]
        if weight.ndim == 2:
            tensors[name], scale = quantised(weight)
            tensors[f"{name}.scale"] = np.ascontiguousarray(scale[:, 0])
        else:
            tensors[name] = weight
    path = target / PACKED_FILE
    save_file(tensors, path, metadata={"format": FORMAT})
    share(path)
    return path
