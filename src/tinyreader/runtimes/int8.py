"""What int8 arithmetic needs to know of a model: the input range of each product, and which products stay in
higher precision.

OpenVINO builds its int8 graph by an `Int8Plan`. Weights are symmetric, with one scale for each
output; inputs have 256 steps over a range measured on real windows (Krishnamoorthi, arXiv 1806.08342). Before
that, each input channel is divided by a scale of its own and the weights are multiplied by it, so that a few
large channels do not take up all the steps (SmoothQuant, arXiv 2211.10438). The plan is stored in
`reader.json` beside the weights that it was measured on, with their fingerprint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Float32
from tinyreader.errors import ModelError
from tinyreader.model_files import model_fingerprint, read_section, write_section

SECTION = "int8"


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """A product's input is divided by `scale` [n_in], channel by channel, and then clipped to [low, high]."""

    low: float
    high: float
    scale: Float32

    @property
    def is_plain(self) -> bool:
        """Whether all channel scales are 1, so that there is nothing to divide."""
        return bool((self.scale == 1).all())


@dataclass(frozen=True, slots=True)
class Int8Plan:
    """The input range of each product, by its name in the checkpoint. Products in `kept` are not int8.

    Products with the same input share one `Range` object. `weights` is the fingerprint of the model that was
    measured; `findings` is what the search measured, as plain data.
    """

    ranges: Mapping[str, Range]
    kept: tuple[str, ...] = ()
    weights: str = ""
    findings: Mapping[str, Any] = field(default_factory=dict)

    def range_of(self, name: str) -> Range | None:
        """The product's input range, or None if it is not computed in int8."""
        return None if name in self.kept else self.ranges.get(name)

    def as_dict(self) -> dict[str, Any]:
        """The plan as it is stored in `reader.json`: products that share a range are one group."""
        groups: dict[int, dict[str, Any]] = {}
        for name, found in self.ranges.items():
            scale = [float(f"{value:.4g}") for value in found.scale]
            group = {"products": [], "low": found.low, "high": found.high, "scale": scale}
            groups.setdefault(id(found), group)["products"].append(name)
        return {
            "weights": self.weights,
            "kept": list(self.kept),
            "findings": dict(self.findings),
            "inputs": list(groups.values()),
        }


def quantised(weight: Float32) -> tuple[npt.NDArray[np.int8], Float32]:
    """A weight [n_out, n_in] as int8 and a scale [n_out, 1], so that int8 * scale approximates it."""
    largest = np.abs(weight).max(axis=1, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def read_plan(directory: Path, linears: Mapping[str, int]) -> Int8Plan:
    """The plan beside the model. Raises `ModelError` if there is none or it belongs to other weights.

    `linears` are the model's products that int8 applies to, with the number of their input channels.
    """
    path = directory / "reader.json"
    content = read_section(directory, SECTION)
    if content is None:
        raise ModelError(
            f"{directory} has no int8 ranges. Measure them with 'tinyreader export {directory} --precision "
            "int8 --calibrate DATA -o OUT', or choose another precision"
        )
    plan = _parse(content, path)
    found = {name: len(one.scale) for name, one in plan.ranges.items()}
    if found != dict(linears) or not set(plan.kept) <= found.keys():
        raise ModelError(f"{path}: the int8 section does not fit this model; measure again")
    if plan.weights != model_fingerprint(directory):
        raise ModelError(
            f"{path}: the int8 section was measured on other weights than those in {directory}. Measure again "
            f"with 'tinyreader export {directory} --precision int8 --calibrate DATA -o OUT'"
        )
    return plan


def write_plan(directory: Path, plan: Int8Plan) -> None:
    """Store the plan in the model's `reader.json`, keeping the other sections."""
    write_section(directory, SECTION, plan.as_dict())


def _parse(content: Mapping[str, Any], path: Path) -> Int8Plan:
    try:
        ranges: dict[str, Range] = {}
        for group in content["inputs"]:
            one = Range(
                float(group["low"]), float(group["high"]), np.array(group["scale"], np.float32).reshape(-1)
            )
            ranges |= {str(name): one for name in group["products"]}
        plan = Int8Plan(
            ranges, tuple(map(str, content["kept"])), str(content["weights"]), dict(content["findings"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path}: the int8 section cannot be read ({type(error).__name__}: {error}); measure again"
        ) from None
    for name, one in ranges.items():
        usable = (
            math.isfinite(one.low)
            and math.isfinite(one.high)
            and one.low <= 0 <= one.high
            and one.low < one.high
        )
        if not (usable and np.isfinite(one.scale).all() and (one.scale > 0).all()):
            raise ModelError(f"{path}: the int8 range of {name} cannot be used; measure again")
    return plan
