"""A reader's network as an ONNX model, written node by node for any batch and any length; the twin of
`openvino/graph.py`.

Standard operators of opset 17 alone, in the forms that ONNX Runtime fuses: LayerNormalization with its scale
and shift, GELU from Erf. At int8 the scale and shift are folded into the products that follow, as for
OpenVINO, since that is where an `Int8Plan` has its ranges; inputs go through QuantizeLinear and
DequantizeLinear, and so do the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

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
from tinyreader.runtimes.checkpoint import FloatArray
from tinyreader.runtimes.int8 import Int8Plan, Range, quantised

OPSET = 17
IR_VERSION = 8  # what opset 17 came with: older runtimes read it

HIDDEN = -1e9  # added to the attention scores of padding; its weight becomes 0


@dataclass(frozen=True, slots=True)
class Normed:
    """The name of a LayerNorm's output before its scale [width] and shift [width].

    `smooth` says that the scales of int8 have been divided out of `centred` already, and are in `scale`.
    """

    centred: str
    scale: FloatArray
    shift: FloatArray
    smooth: bool


def build_onnx(
    architecture: Architecture, weights: Mapping[str, FloatArray], plan: Int8Plan | None = None
) -> onnx.ModelProto:
    """The network with inputs input_ids, attention_mask and, where it knows segments, token_type_ids, int64
    [B, L]; outputs start_logits and end_logits, fp32 [B, L].

    The products that a `plan` has ranges for are computed in int8, all else in fp32.
    """
    return _Builder(architecture, weights, plan).model()


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the model; weights beyond the 2 GB that one file may hold go into a second one beside it."""
    large = model.ByteSize() > 2**31 - 2**20
    onnx.save_model(model, path, save_as_external_data=large, location=f"{path.name}.data" if large else None)


class _Builder:
    """Adds one node after the other; what the methods take and return are names of values [B, L, width]
    unless said.
    """

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, FloatArray], plan: Int8Plan | None
    ) -> None:
        self.a = architecture
        self.weights = weights
        self.plan = plan
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.counts: dict[str, int] = {}
        self._stepped: dict[str, str] = {}
        self._smoothed: dict[str, str] = {}
        self.inputs = [
            "input_ids",
            "attention_mask",
            *(["token_type_ids"] if architecture.takes_segments else []),
        ]

    def model(self) -> onnx.ModelProto:
        hidden = self.embeddings()
        biases = self.attention_biases()
        for number in range(self.a.n_layers):
            hidden = self.layer(number, hidden, biases)
        both = self.linear(hidden, HEAD)
        split = ("start", "end")
        self.nodes.append(helper.make_node("Split", [both, self.whole([1, 1])], split, name="split", axis=2))
        for name, logits in zip(("start_logits", "end_logits"), split, strict=True):
            self.nodes.append(helper.make_node("Squeeze", [logits, self.whole([2])], [name], name=name))
        shape = ["batch", "length"]
        graph = helper.make_graph(
            self.nodes,
            "reader",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in self.inputs],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name in ("start_logits", "end_logits")
            ],
            list(self.constants.values()),
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        made.producer_name = "tinyreader"
        return made

    def embeddings(self) -> str | Normed:
        """Word, position and segment embeddings summed and normed."""
        positions = self.weights[POSITIONS][self.a.first_position :]
        if self.a.n_segments == 1:
            positions = positions + self.weights[SEGMENTS]
        first = self.add(
            "Slice", self.constant("positions", positions), self.whole([0]), self.length(), self.whole([0])
        )
        summed = self.add(
            "Add", self.add("Gather", self.constant(WORDS, self.weights[WORDS]), "input_ids"), first
        )
        if self.a.takes_segments:
            segments = self.add("Gather", self.constant(SEGMENTS, self.weights[SEGMENTS]), "token_type_ids")
            summed = self.add("Add", summed, segments)
        if self.a.embedding_width != self.a.width:
            return self.linear(self.norm(summed, EMBEDDINGS_NORM), PROJECTION)
        return self.norm(summed, EMBEDDINGS_NORM, feeds=self.a.layer(0, "query"))

    def length(self) -> str:
        """The number of tokens in a row, int64 [1]."""
        return self.add("Shape", "input_ids", start=1, end=2)

    def attention_biases(self) -> list[str]:
        """What is added to the attention scores [B, heads, L, L] of every layer, each broadcast to them."""
        hidden = self.add("Sub", self.real(1.0), self.add("Cast", "attention_mask", to=TensorProto.FLOAT))
        biases = [self.add("Unsqueeze", self.add("Mul", hidden, self.real(HIDDEN)), self.whole([1, 2]))]
        if self.a.family.relative_bias:
            most = self.a.max_tokens
            table = self.constant(RELATIVE_BIAS, self.weights[RELATIVE_BIAS][mpnet_buckets(most)].T)
            length = self.add("Squeeze", self.length(), self.whole([0]))
            places = self.add("Range", self.whole(0), length, self.whole(1))
            columns = self.add("Unsqueeze", places, self.whole([0]))
            rows = self.add("Unsqueeze", places, self.whole([1]))
            distances = self.add("Add", self.add("Sub", columns, rows), self.whole(most - 1))
            bias = self.add("Gather", table, distances, axis=1)
            biases.append(self.add("Unsqueeze", bias, self.whole([0])))
        return biases

    def layer(self, number: int, hidden: str | Normed, biases: list[str]) -> str | Normed:
        """One encoder layer: attention and feed-forward, each added to what went in and normed."""
        attended = self.linear(self.attention(number, hidden, biases), self.a.layer(number, "attended"))
        feeds = self.a.layer(number, "inner")
        hidden = self.norm(self.sum(attended, hidden), self.a.layer(number, "attended_norm"), feeds=feeds)
        inner = self.activation(self.linear(hidden, self.a.layer(number, "inner")))
        outer = self.linear(inner, self.a.layer(number, "outer"))
        feeds = self.a.layer(number + 1, "query")
        return self.norm(self.sum(outer, hidden), self.a.layer(number, "outer_norm"), feeds=feeds)

    def attention(self, number: int, hidden: str | Normed, biases: list[str]) -> str:
        """softmax(Q K^T / sqrt(d) + biases) V, heads side by side."""
        size = self.a.width // self.a.n_heads
        heads = self.whole([0, 0, self.a.n_heads, size])
        split = {
            part: self.add("Reshape", self.linear(hidden, self.a.layer(number, part)), heads)
            for part in ("query", "key", "value")
        }
        query = self.add("Transpose", split["query"], perm=[0, 2, 1, 3])
        key = self.add("Transpose", split["key"], perm=[0, 2, 3, 1])
        value = self.add("Transpose", split["value"], perm=[0, 2, 1, 3])
        scores = self.add("Mul", self.add("MatMul", query, key), self.real(size**-0.5))
        for bias in biases:
            scores = self.add("Add", scores, bias)
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        return self.add(
            "Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), self.whole([0, 0, self.a.width])
        )

    def linear(self, x: str | Normed, name: str) -> str:
        """x W^T + b."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if isinstance(x, Normed):
            weight, bias = weight * x.scale, weight @ x.shift + bias
        source = x.centred if isinstance(x, Normed) else x
        if self.plan is not None and (found := self.plan.range_of(name)):
            if not (found.is_plain or (isinstance(x, Normed) and x.smooth)):
                source, weight = self.smoothed(source, found), weight * found.scale
            product = self.add(
                "MatMul", self.in_steps(source, found), self.int8_weight(weight, name), called=name
            )
        else:
            product = self.add("MatMul", source, self.constant(f"{name}.weight", weight.T), called=name)
        return self.add("Add", product, self.constant(f"{name}.bias", bias))

    def int8_weight(self, weight: FloatArray, name: str) -> str:
        """W^T from int8 and a scale for each column."""
        whole, scale = quantised(weight)
        zero = np.zeros(len(weight), np.int8)
        return self.add(
            "DequantizeLinear",
            self.constant(f"{name}.weight", whole.T),
            self.constant(f"{name}.scale", scale[:, 0]),
            self.constant(f"{name}.zero", zero),
            axis=1,
        )

    def in_steps(self, x: str, found: Range) -> str:
        """x rounded to 256 steps over its range, one of them at 0; made once for products that share their
        input.
        """
        if x not in self._stepped:
            size = (found.high - found.low) / 255
            step = self.constant(f"{x}.step", np.float32(size))
            zero = self.constant(f"{x}.zero", np.uint8(np.clip(round(-found.low / size), 0, 255)))
            self._stepped[x] = self.add(
                "DequantizeLinear", self.add("QuantizeLinear", x, step, zero), step, zero
            )
        return self._stepped[x]

    def smoothed(self, x: str, found: Range) -> str:
        """x / scale, by channel; made once for products that share their input."""
        if x not in self._smoothed:
            self._smoothed[x] = self.add("Mul", x, self.constant(f"{x}.smooth", 1 / found.scale))
        return self._smoothed[x]

    def norm(self, x: str, name: str, *, feeds: str = "") -> str | Normed:
        """LayerNorm over the last axis; at int8 without its scale and shift, but smooth for the product that
        it `feeds`.
        """
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if self.plan is None:
            parts = self.constant(f"{name}.weight", scale), self.constant(f"{name}.bias", shift)
            return self.add("LayerNormalization", x, *parts, axis=-1, epsilon=self.a.epsilon)
        found = self.plan.ranges.get(feeds)
        smooth = np.ones_like(scale) if found is None else found.scale
        parts = self.constant(f"{name}.smooth", 1 / smooth), self.constant(f"zeros.{len(scale)}", 0 * scale)
        centred = self.add("LayerNormalization", x, *parts, axis=-1, epsilon=self.a.epsilon)
        return Normed(centred, scale * smooth, shift, found is not None)

    def sum(self, x: str, hidden: str | Normed) -> str:
        """The residual sum x + hidden."""
        if isinstance(hidden, Normed):
            scaled = self.add("Mul", hidden.centred, self.constant("scale", hidden.scale, fresh=True))
            hidden = self.add("Add", scaled, self.constant("shift", hidden.shift, fresh=True))
        return self.add("Add", x, hidden)

    def activation(self, x: str) -> str:
        """The feed-forward part's non-linearity."""
        match self.a.activation:
            case "gelu":
                inside = self.add("Erf", self.add("Div", x, self.real(2**0.5)))
            case "gelu_tanh":
                cube = self.add("Mul", self.add("Mul", x, self.add("Mul", x, x)), self.real(0.044715))
                inside = self.add(
                    "Tanh", self.add("Mul", self.add("Add", x, cube), self.real((2 / np.pi) ** 0.5))
                )
            case "silu":
                return self.add("Mul", x, self.add("Sigmoid", x))
            case "tanh":
                return self.add("Tanh", x)
            case _:
                return self.add("Relu", x)
        return self.add("Mul", self.add("Mul", x, self.add("Add", inside, self.real(1.0))), self.real(0.5))

    def add(self, kind: str, *inputs: str, called: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns that one's name."""
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        name = called or f"{kind}_{count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(
        self, name: str, values: npt.NDArray[np.generic] | np.generic, *, fresh: bool = False
    ) -> str:
        """The name of a constant, stored once; a `fresh` one gets a number."""
        name = f"{name}.{len(self.constants)}" if fresh else name
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def real(self, value: float) -> str:
        return self.constant(f"real.{value!r}", np.array(value, np.float32))

    def whole(self, value: int | list[int]) -> str:
        return self.constant(f"whole.{value}", np.array(value, np.int64))
