"""What goes into each product of a network, measured on real windows, and the ranges that serve int8 best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import openvino as ov

from tinyreader.runtimes import Inputs
from tinyreader.runtimes.architecture import Architecture
from tinyreader.runtimes.checkpoint import FloatArray
from tinyreader.runtimes.facts import facts_of
from tinyreader.runtimes.int8 import Range, quantised
from tinyreader.runtimes.openvino.graph import build_model

ROWS = 192
"""About so many tokens of each tensor are kept, to try ranges on."""

WORTH = 0.7
"""Channels are scaled where that leaves at most this share of the mean square error: it costs a pass over the
numbers.
"""

MIGRATIONS = (0.0, 0.3, 0.5, 0.7)
CUTS = (1.0, 0.85, 0.7, 0.5)
STEPS = 255


@dataclass(slots=True)
class Seen:
    """The extremes of each channel [n_in] at real tokens, and a sample of tokens, float32 [rows, n_in]."""

    low: FloatArray | None = None
    high: FloatArray | None = None
    rows: list[FloatArray] = field(default_factory=list)

    def add(self, values: FloatArray, share: float, rng: np.random.Generator) -> None:
        """Take in tokens [n, n_in], and a random share of them as a sample."""
        low, high = values.min(axis=0), values.max(axis=0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        self.rows.append(values[rng.random(len(values)) < share])

    def best_range(self, weights: FloatArray) -> Range:
        """The range with the least mean square error of the product with `weights` [n_out, n_in], on the
        sample.

        Tried are scales max|x|^a / max|W|^(1-a) by channel (SmoothQuant, arXiv 2211.10438, equation 4) for
        several a, and for each several shares of the range that this leaves, what lies beyond cut off.
        """
        assert self.low is not None  # a calibration has at least one token
        assert self.high is not None
        x = np.concatenate(self.rows)
        exact = x @ weights.T
        reach = np.maximum(np.maximum(-self.low, self.high), 1e-5)
        width = np.maximum(np.abs(weights).max(axis=0), 1e-5)
        best, least = Range(0.0, 1.0, np.ones_like(reach)), np.inf
        for a in MIGRATIONS:
            scale = reach**a / width ** (1 - a) if a else np.ones_like(reach)
            scale = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
            scale = np.array([float(f"{value:.4g}") for value in scale], np.float32)  # as it is written down
            whole, sizes = quantised(weights * scale)
            rounded = whole * sizes
            smooth = x / scale
            low, high = float((self.low / scale).min()), float((self.high / scale).max())
            for cut in CUTS:
                found = Range(min(low * cut, 0.0), max(high * cut, 0.0, low * cut + 1e-6), scale)
                error = float(np.square(_stepped(smooth, found) @ rounded.T - exact).mean())
                if error < least * (1.0 if found.is_plain or not best.is_plain else WORTH):
                    best, least = found, error
        return best


def _stepped(x: FloatArray, found: Range) -> FloatArray:
    """x rounded to 256 steps over the range, what lies beyond cut off."""
    step = np.float32((found.high - found.low) / STEPS)
    whole: FloatArray = np.rint((np.clip(x, found.low, found.high) - found.low) / step)
    return whole * step + np.float32(found.low)


def measure(
    architecture: Architecture,
    weights: Mapping[str, FloatArray],
    batches: Iterable[Inputs],
    n_tokens: int,
    *,
    seed: int = 0,
) -> dict[str, Range]:
    """The range of what goes into each product inside the layers, by the product's name; `n_tokens` real ones
    are coming.
    """
    model = build_model(architecture, weights, "fp32")
    products = {op.get_friendly_name(): op for op in model.get_ops() if op.get_type_name() == "MatMul"}
    shared = _tap(model, products, architecture.linears())
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts, rng = facts_of(architecture), np.random.default_rng(seed)
    seen = {place: Seen() for place in shared}
    for batch in batches:
        found = compiled(facts.named(batch))
        for place, one in seen.items():
            one.add(found[place][batch[1] == 1], min(1.0, ROWS / n_tokens), rng)
    ranges: dict[str, Range] = {}
    for place, names in shared.items():
        best = seen.pop(place).best_range(
            np.concatenate([products[name].input_value(1).get_node().data for name in names])
        )
        ranges |= dict.fromkeys(names, best)
    return {name: ranges[name] for name in architecture.linears()}


def _tap(model: ov.Model, products: Mapping[str, ov.Node], names: Iterable[str]) -> dict[int, list[str]]:
    """Make what goes into the named products outputs of the model; gives the products of each such output's
    number.
    """
    places: dict[str, int] = {}
    shared: dict[int, list[str]] = {}
    for name in names:
        source = products[name].input_value(0)
        key = f"{source.get_node().get_name()}:{source.get_index()}"
        if key not in places:
            places[key] = len(model.outputs)
            model.add_outputs([source])
        shared.setdefault(places[key], []).append(name)
    return shared
