"""The types of arrays in signatures; shapes stand in the docstrings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
"""Of any width."""
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]
"""Of any width."""
Rows = Int64
"""Row numbers of a table, such as windows of a feature store."""
