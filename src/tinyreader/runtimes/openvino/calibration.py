"""The input range of each product of a network, measured on real windows and chosen for int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import openvino as ov

from tinyreader.arrays import Float32
from tinyreader.runtimes import Inputs
from tinyreader.runtimes.architecture import Architecture
from tinyreader.runtimes.facts import facts_of
from tinyreader.runtimes.int8 import Range, quantised
from tinyreader.runtimes.openvino.graph import build_model

SAMPLE_ROWS = 192
"""About this many tokens of each tensor are kept to try ranges on."""

SCALING_MUST_REACH = 0.7
"""Channels are scaled only if that brings the mean square error down to this share: at run time scaling costs
one more pass over the numbers.
"""

MIGRATION_STRENGTHS = (0.0, 0.3, 0.5, 0.7)
CLIP_RATIOS = (1.0, 0.85, 0.7, 0.5)
STEPS = 255


@dataclass(slots=True)
class InputStatistics:
    """What is known of a product's input: the extremes of each channel [n_in] over real tokens, and a sample
    of tokens, float32 [rows, n_in].
    """

    low: Float32 | None = None
    high: Float32 | None = None
    rows: list[Float32] = field(default_factory=list)

    def add(self, values: Float32, share: float, rng: np.random.Generator) -> None:
        """Count tokens [n, n_in] into the extremes, and a random share of them into the sample."""
        low, high = values.min(axis=0), values.max(axis=0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        self.rows.append(values[rng.random(len(values)) < share])

    def best_range(self, weights: Float32) -> Range:
        """The range with the least mean square error of the product with `weights` [n_out, n_in], on the
        sample.

        The search is a grid: channel scales max|x|^a / max|W|^(1-a) (SmoothQuant, arXiv 2211.10438, equation
        4) for several a, and for each of them several clipped shares of the range that results.
        """
        assert self.low is not None  # a calibration has at least one token
        assert self.high is not None
        x = np.concatenate(self.rows)
        exact = x @ weights.T
        reach = np.maximum(np.maximum(-self.low, self.high), 1e-5)
        width = np.maximum(np.abs(weights).max(axis=0), 1e-5)
        best, least_error = Range(0.0, 1.0, np.ones_like(reach)), np.inf
        for strength in MIGRATION_STRENGTHS:
            scale = _channel_scale(reach, width, strength)
            rows, row_scale = quantised(weights * scale)
            rounded_weights, scaled = rows * row_scale, x / scale
            low, high = float((self.low / scale).min()), float((self.high / scale).max())
            for ratio in CLIP_RATIOS:
                found = Range(min(low * ratio, 0.0), max(high * ratio, 0.0, low * ratio + 1e-6), scale)
                error = float(np.square(_rounded(scaled, found) @ rounded_weights.T - exact).mean())
                if error < least_error * (1.0 if found.is_plain or not best.is_plain else SCALING_MUST_REACH):
                    best, least_error = found, error
        return best


def _channel_scale(reach: Float32, width: Float32, strength: float) -> Float32:
    """The divisor of each input channel [n_in], with geometric mean 1, in the four digits of `reader.json`.

    Rounded here, the scales that are tried are the ones that a later process reads back from the file.
    """
    scale = reach**strength / width ** (1 - strength) if strength else np.ones_like(reach)
    scale = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
    return np.array([float(f"{value:.4g}") for value in scale], np.float32)


def _rounded(x: Float32, found: Range) -> Float32:
    """x clipped to the range and rounded to its 256 steps."""
    step = np.float32((found.high - found.low) / STEPS)
    levels: Float32 = np.rint((np.clip(x, found.low, found.high) - found.low) / step)
    return levels * step + np.float32(found.low)


def measure_ranges(
    architecture: Architecture,
    weights: Mapping[str, Float32],
    batches: Iterable[Inputs],
    n_tokens: int,
    *,
    seed: int = 0,
) -> dict[str, Range]:
    """The input range of each product inside the layers, by the product's name. `n_tokens` is the number of
    real tokens in the batches.
    """
    model = build_model(architecture, weights, "fp32")
    products = {op.get_friendly_name(): op for op in model.get_ops() if op.get_type_name() == "MatMul"}
    products_of_output = _expose_inputs(model, products, architecture.linears())
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts, rng = facts_of(architecture), np.random.default_rng(seed)
    statistics = {output: InputStatistics() for output in products_of_output}
    for batch in batches:
        results, is_real = compiled(facts.named_inputs(batch)), batch[1] == 1
        for output, own in statistics.items():
            own.add(results[output][is_real], min(1.0, SAMPLE_ROWS / n_tokens), rng)
    ranges: dict[str, Range] = {}
    for output, names in products_of_output.items():
        of_all = np.concatenate([products[name].input_value(1).get_node().data for name in names])
        # One Range object for all products of an input: graphs divide and shift the input once.
        ranges |= dict.fromkeys(names, statistics.pop(output).best_range(of_all))
    return {name: ranges[name] for name in architecture.linears()}


def _expose_inputs(
    model: ov.Model, products: Mapping[str, ov.Node], names: Iterable[str]
) -> dict[int, list[str]]:
    """Make the inputs of the named products outputs of the model. Returns, by the number of each such output,
    the products that read it (query, key and value read the same).
    """
    number_of: dict[str, int] = {}
    products_of_output: dict[int, list[str]] = {}
    for name in names:
        source = products[name].input_value(0)
        key = f"{source.get_node().get_name()}:{source.get_index()}"
        if key not in number_of:
            number_of[key] = len(model.outputs)
            model.add_outputs([source])
        products_of_output.setdefault(number_of[key], []).append(name)
    return products_of_output
