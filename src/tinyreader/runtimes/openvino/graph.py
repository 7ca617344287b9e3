"""A reader's network as an OpenVINO model, built operation by operation for any batch and any length.

Four things differ from the textbook, for speed and precision on a CPU:

- A LayerNorm's scale and shift are not applied. They are folded into the weights of the products that follow,
  and into the residual sum, which takes them in passing (`Normed`); Wei et al., arXiv 2209.13325, do the same
  so that int8 ranges come out even.
- At bf16 the last layer is no matrix product but a sum of products. OpenVINO's CPU plugin leaves in fp32
  whatever leads from the last matrix products to the outputs, and so keeps every residual sum and LayerNorm
  in fp32: the logits' error is 0.6 of what it is otherwise. Half of the rest is there as soon as the weights
  are bf16.
- At int8 what goes into a product has each channel divided by its scale, and is then mapped from [low, high]
  to [0, high - low]: so it is unsigned with no zero point, which the processor's dot products want. The
  weights take in the scales, the bias what the shift adds. What is not int8 is bf16 or fp32.
- At bf16 a product that goes into a residual sum is clamped to what fp32 can hold. That changes no number,
  but lets the plugin write fp32 at once, where it would round to bf16 and convert back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from tinyreader.arrays import Float32
from tinyreader.runtimes.architecture import (
    EMBEDDINGS_NORM,
    HEAD,
    POSITIONS,
    PROJECTION,
    RELATIVE_BIAS,
    SEGMENTS,
    WORDS,
    Architecture,
    mpnet_buckets,
)
from tinyreader.runtimes.int8 import Int8Plan, Range, quantised

Precision = Literal["fp32", "bf16"]
Tensor = Any  # an output of an OpenVINO node; the package has no types

HIDDEN = -1e9  # added to the attention scores of padding; its weight becomes 0
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Normed:
    """The output of a LayerNorm, `centred` [B, L, width] * scale [width] + shift [width], not multiplied out.

    `smooth` says that the scales of int8 have been divided out of `centred` already, and are in `scale`.
    """

    centred: Tensor
    scale: Float32
    shift: Float32
    smooth: bool = False


def build_model(
    architecture: Architecture,
    weights: Mapping[str, Float32],
    precision: Precision,
    plan: Int8Plan | None = None,
) -> ov.Model:
    """The network with inputs input_ids, attention_mask and, where it knows segments, token_type_ids, int64
    [B, L]; outputs start_logits and end_logits, fp32 [B, L].

    Rows are padded on the right. `precision` shapes the graph only where the module's docstring says so; it
    has to be compiled with the same. The products that a `plan` has ranges for are computed in int8. Products
    with weights are named as in the checkpoint ("encoder.layer.0.output.dense").
    """
    return _Builder(architecture, weights, precision, plan or Int8Plan({})).model()


class _Builder:
    """Adds one operation after the other; what the methods take and return is [B, L, width] unless said."""

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Float32], precision: Precision, plan: Int8Plan
    ) -> None:
        self.a = architecture
        self.weights = weights
        self.precision = precision
        self.plan = plan
        self._stepped: tuple[Tensor, Tensor] | None = None
        self._smoothed: tuple[Tensor, Tensor] | None = None
        self.inputs = {name: _input(name) for name in ("input_ids", "attention_mask")}
        if architecture.takes_segments:
            self.inputs["token_type_ids"] = _input("token_type_ids")
        self.length = ops.gather(ops.shape_of(self.inputs["input_ids"], "i32"), _whole(1), _whole(0))

    def model(self) -> ov.Model:
        hidden = self.embeddings()
        biases = self.attention_biases()
        for number in range(self.a.n_layers):
            hidden = self.layer(number, hidden, biases)
        outputs = []
        for name, logits in zip(("start_logits", "end_logits"), self.head(hidden), strict=True):
            logits.output(0).set_names({name})
            outputs.append(ops.result(logits, name=name))
        return ov.Model(outputs, list(self.inputs.values()), "reader")

    def embeddings(self) -> Normed | Tensor:
        """Word, position and segment embeddings summed and normed, [B, L, width]."""
        positions = self.weights[POSITIONS][self.a.first_position :]
        if self.a.n_segments == 1:
            positions = positions + self.weights[SEGMENTS]
        summed = ops.add(
            ops.gather(_constant(self.weights[WORDS]), self.inputs["input_ids"], _whole(0)),
            ops.slice(
                _constant(positions[None]),
                _wholes(0),
                ops.unsqueeze(self.length, _whole(0)),
                _wholes(1),
                _wholes(1),
            ),
        )
        if self.a.takes_segments:
            segments = ops.gather(_constant(self.weights[SEGMENTS]), self.inputs["token_type_ids"], _whole(0))
            summed = ops.add(summed, segments)
        if self.a.embedding_width != self.a.width:
            return self.linear(self.norm(summed, EMBEDDINGS_NORM), PROJECTION)
        return self.norm(summed, EMBEDDINGS_NORM, feeds=self.a.layer(0, "query"))

    def attention_biases(self) -> list[Tensor]:
        """What is added to the attention scores [B, heads, L, L] of every layer, each broadcast to them."""
        hidden = ops.subtract(_real(1.0), ops.convert(self.inputs["attention_mask"], "f32"))
        biases = [ops.unsqueeze(ops.multiply(hidden, _real(HIDDEN)), _wholes(1, 2))]
        if self.a.family.relative_bias:
            max_length = self.a.max_tokens
            by_distance = self.weights[RELATIVE_BIAS][mpnet_buckets(max_length)].T
            places = ops.range(_whole(0), self.length, _whole(1), "i32")
            distances = ops.subtract(ops.unsqueeze(places, _whole(0)), ops.unsqueeze(places, _whole(1)))
            bias = ops.gather(_constant(by_distance), ops.add(distances, _whole(max_length - 1)), _whole(1))
            biases.append(ops.unsqueeze(bias, _whole(0)))
        return biases

    def layer(self, number: int, hidden: Normed | Tensor, biases: list[Tensor]) -> Normed:
        """One encoder layer: attention and feed-forward, each added to what went in and normed."""
        attended = self.attention(number, hidden, biases)
        attended = self.linear(attended, self.a.layer(number, "attended"), into_sum=True)
        feeds = self.a.layer(number, "inner")
        hidden = self.norm(_add(attended, hidden), self.a.layer(number, "attended_norm"), feeds=feeds)
        inner = self.activation(self.linear(hidden, self.a.layer(number, "inner")))
        outer = self.linear(inner, self.a.layer(number, "outer"), into_sum=True)
        return self.norm(
            _add(outer, hidden), self.a.layer(number, "outer_norm"), feeds=self.a.layer(number + 1, "query")
        )

    def attention(self, number: int, hidden: Normed | Tensor, biases: list[Tensor]) -> Tensor:
        """softmax(Q K^T / sqrt(d) + biases) V, heads side by side."""
        heads = [0, 0, self.a.n_heads, self.a.width // self.a.n_heads]
        query, key, value = (
            ops.transpose(
                ops.reshape(self.linear(hidden, self.a.layer(number, part)), _wholes(*heads), True),
                _wholes(0, 2, 1, 3),
            )
            for part in ("query", "key", "value")
        )
        scores = ops.multiply(ops.matmul(query, key, False, True), _real(heads[-1] ** -0.5))
        for bias in biases:
            scores = ops.add(scores, bias)
        mixed = ops.transpose(ops.matmul(ops.softmax(scores, -1), value, False, False), _wholes(0, 2, 1, 3))
        return ops.reshape(mixed, _wholes(0, 0, self.a.width), True)

    def linear(self, x: Normed | Tensor, name: str, *, into_sum: bool = False) -> Tensor:
        """x W^T + b."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        is_smooth = False
        if isinstance(x, Normed):
            is_smooth = x.smooth
            x, weight, bias = x.centred, weight * x.scale, weight @ x.shift + bias
        if found := self.plan.range_of(name):
            if not is_smooth and not found.is_plain:
                x, weight = self.smoothed(x, found), weight * found.scale
            return self.int8_linear(x, weight, bias, name, found)
        product = ops.matmul(x, _constant(weight), False, True)
        product.set_friendly_name(name)
        result = ops.add(product, _constant(bias[None, None]))
        return ops.clamp(result, -LARGEST, LARGEST) if into_sum and self.precision == "bf16" else result

    def int8_linear(self, x: Tensor, weight: Float32, bias: Float32, name: str, found: Range) -> Tensor:
        """x W^T + b with x, already smooth, in 256 steps over its range and W in int8."""
        whole, scale = quantised(weight)
        product = ops.matmul(
            self.in_steps(x, found),
            ops.multiply(ops.convert(ops.constant(whole), "f32"), _constant(scale)),
            False,
            True,
        )
        product.set_friendly_name(name)
        shifted = bias + found.low * scale[:, 0] * whole.sum(axis=1, dtype=np.int32)
        return ops.add(product, _constant(shifted[None, None]))

    def in_steps(self, x: Tensor, found: Range) -> Tensor:
        """x - low in 256 steps from 0 to high - low; made once for products that share their input."""
        if self._stepped is None or self._stepped[0] is not x:
            low, high, span = _real(found.low), _real(found.high), _real(found.high - found.low)
            self._stepped = (x, ops.fake_quantize(x, low, high, _real(0.0), span, 256))
        return self._stepped[1]

    def smoothed(self, x: Tensor, found: Range) -> Tensor:
        """x / scale, by channel; made once for products that share their input."""
        if self._smoothed is None or self._smoothed[0] is not x:
            self._smoothed = (x, ops.multiply(x, _constant(np.reciprocal(found.scale)[None, None])))
        return self._smoothed[1]

    def norm(self, x: Tensor, name: str, *, feeds: str = "") -> Normed:
        """LayerNorm over the last axis, smooth for the int8 product that it `feeds`.

        The residual sum takes the smooth form too: with one form the division costs nothing, and all of it
        stays in fp32.
        """
        centred = ops.mvn(x, _wholes(-1), True, self.a.epsilon, "INSIDE_SQRT")
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        found = self.plan.ranges.get(feeds)
        if found is None or found.is_plain:
            return Normed(centred, scale, shift)
        even = ops.multiply(centred, _constant(np.reciprocal(found.scale)[None, None]))
        return Normed(even, scale * found.scale, shift, smooth=True)

    def activation(self, x: Tensor) -> Tensor:
        """The feed-forward part's non-linearity."""
        match self.a.activation:
            case "gelu":
                return ops.gelu(x, "erf")
            case "gelu_tanh":
                return ops.gelu(x, "tanh")
            case "silu":
                return ops.swish(x)
            case "tanh":
                return ops.tanh(x)
        return ops.relu(x)

    def head(self, hidden: Normed) -> list[Tensor]:
        """Start and end logits [B, L]."""
        if self.precision == "fp32":
            both = ops.split(self.linear(hidden, HEAD), _whole(2), 2)
            return [ops.squeeze(logits, _whole(2)) for logits in both.outputs()]
        weight, bias = self.weights[f"{HEAD}.weight"], self.weights[f"{HEAD}.bias"]
        bias = weight @ hidden.shift + bias
        weight = weight * hidden.scale
        return [
            ops.add(
                ops.reduce_sum(ops.multiply(hidden.centred, _constant(w[None, None])), _wholes(2), False),
                _real(b),
            )
            for w, b in zip(weight, bias, strict=True)
        ]


def _add(x: Tensor, hidden: Normed | Tensor) -> Tensor:
    """The residual sum x + hidden."""
    if isinstance(hidden, Normed):
        scaled = ops.multiply(hidden.centred, _constant(hidden.scale[None, None]))
        hidden = ops.add(scaled, _constant(hidden.shift[None, None]))
    return ops.add(x, hidden)


def _input(name: str) -> Tensor:
    node = ops.parameter([-1, -1], ov.Type.i64, name=name)
    node.output(0).set_names({name})
    return node


def _constant(values: Float32) -> Tensor:
    """A constant that shares the array's memory where it can."""
    return ops.constant(np.ascontiguousarray(values, np.float32), shared_memory=True)


def _real(value: float) -> Tensor:
    return ops.constant(np.float32(value))


def _whole(value: int) -> Tensor:
    return ops.constant(np.int32(value))


def _wholes(*values: int) -> Tensor:
    return ops.constant(np.array(values, np.int32))
