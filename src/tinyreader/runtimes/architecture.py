"""The encoder that a model directory's config.json describes, and the tensor names of each family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.arrays import Int64
from tinyreader.errors import ModelError
from tinyreader.storage import read_object

MPNET_BUCKETS = 32  # Transformers' MPNet counts to 32, whatever relative_attention_num_buckets says
MPNET_MAX_DISTANCE = 128
HEAD = "qa_outputs"
WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
SEGMENTS = "embeddings.token_type_embeddings.weight"
EMBEDDINGS_NORM = "embeddings.LayerNorm"
PROJECTION = "embeddings_project"
RELATIVE_BIAS = "encoder.relative_attention_bias.weight"


@dataclass(frozen=True, slots=True)
class Family:
    """A family's names for the parts of a layer, and how its configuration differs from BERT's."""

    prefix: str
    layer: str = "encoder.layer"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attended: str = "attention.output.dense"
    attended_norm: str = "attention.output.LayerNorm"
    inner: str = "intermediate.dense"
    outer: str = "output.dense"
    outer_norm: str = "output.LayerNorm"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    positions_after_padding: bool = False
    relative_bias: bool = False


ROBERTA = Family("roberta", defaults={"pad_token_id": 1, "vocab_size": 50265}, positions_after_padding=True)
FAMILIES = {
    "bert": Family("bert"),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "electra": Family(
        "electra",
        defaults={
            "hidden_size": 256,
            "embedding_size": 128,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
        },
    ),
    "distilbert": Family(
        "distilbert",
        "transformer.layer",
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
        defaults={"num_hidden_layers": 6, "type_vocab_size": 0},
        called={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
        },
    ),
    "mpnet": Family(
        "mpnet",
        "encoder.layer",
        "attention.attn.q",
        "attention.attn.k",
        "attention.attn.v",
        "attention.attn.o",
        "attention.LayerNorm",
        defaults={"pad_token_id": 1, "vocab_size": 30527, "type_vocab_size": 0},
        positions_after_padding=True,
        relative_bias=True,
    ),
}
DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """An encoder's sizes. `first_position` is the row of the first token in the table of positions."""

    family: Family
    vocab_size: int
    width: int
    embedding_width: int
    inner_width: int
    n_layers: int
    n_heads: int
    n_positions: int
    n_segments: int
    first_position: int
    pad_id: int
    activation: str
    epsilon: float

    @property
    def max_tokens(self) -> int:
        """The longest input in tokens."""
        return self.n_positions - self.first_position

    @property
    def takes_segments(self) -> bool:
        """Whether the model tells question and context apart by segment ids."""
        return self.n_segments > 1

    def layer(self, number: int, part: str) -> str:
        """The checkpoint's name for a part ("query", "outer_norm", ...) of a layer."""
        return f"{self.family.layer}.{number}.{getattr(self.family, part)}"

    def linears(self) -> dict[str, int]:
        """The layers' linear products in the order of computation, with their number of input channels."""
        parts = {
            **dict.fromkeys(("query", "key", "value", "attended", "inner"), self.width),
            "outer": self.inner_width,
        }
        return {self.layer(number, part): n for number in range(self.n_layers) for part, n in parts.items()}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor of such a reader, by its name without the family's prefix."""
        wide, narrow, inner = self.width, self.embedding_width, self.inner_width
        shapes: dict[str, tuple[int, ...]] = {
            WORDS: (self.vocab_size, narrow),
            POSITIONS: (self.n_positions, narrow),
        }
        if self.n_segments:
            shapes[SEGMENTS] = (self.n_segments, narrow)
        shapes |= _norm(EMBEDDINGS_NORM, narrow)
        if narrow != wide:
            shapes |= _linear(PROJECTION, narrow, wide)
        if self.family.relative_bias:
            shapes[RELATIVE_BIAS] = (MPNET_BUCKETS, self.n_heads)
        for number in range(self.n_layers):
            for part in ("query", "key", "value", "attended"):
                shapes |= _linear(self.layer(number, part), wide, wide)
            shapes |= _norm(self.layer(number, "attended_norm"), wide)
            shapes |= _linear(self.layer(number, "inner"), wide, inner)
            shapes |= _linear(self.layer(number, "outer"), inner, wide)
            shapes |= _norm(self.layer(number, "outer_norm"), wide)
        return shapes | _linear(HEAD, wide, 2)


def _linear(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def read_architecture(directory: Path) -> Architecture:
    """The architecture of the encoder in that directory. Raises `ModelError` where it cannot be built here."""
    kind, path = model_type_of(directory), directory / "config.json"
    content = read_object(path, ModelError)
    if kind not in FAMILIES:
        raise ModelError(
            f"{path}: {kind!r} models are not built for OpenVINO. Supported are {', '.join(FAMILIES)}; read "
            "others with "
            'the torch engine (pip install "tinyreader[train]")'
        )
    family = FAMILIES[kind]
    config = {**DEFAULTS, **family.defaults}
    for key in config:
        config[key] = content.get(family.called.get(key, key), config[key])
    config.setdefault("embedding_size", config["hidden_size"])
    _refuse_variants(path, content)
    return _architecture(path, family, config)


def model_type_of(directory: Path) -> str:
    """The model type in config.json. Raises `ModelError` where there is no such file."""
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(f"{directory} has no config.json: it is not a Transformers model directory")
    content = read_object(path, ModelError)
    return str(content.get("model_type") or _guess_type(content))


def _guess_type(content: dict[str, Any]) -> str | None:
    """BERT for configurations of its first years, which did not name their type."""
    return "bert" if {"hidden_size", "intermediate_size", "type_vocab_size"} <= content.keys() else None


def _refuse_variants(path: Path, content: dict[str, Any]) -> None:
    """Raise `ModelError` for options that change the arithmetic in ways that are not built here."""
    for key, usual in (
        ("is_decoder", False),
        ("add_cross_attention", False),
        ("position_embedding_type", "absolute"),
    ):
        if content.get(key, usual) != usual:
            raise ModelError(
                f"{path}: {key} is {content[key]!r}; only {usual!r} is built here. Read it with the torch "
                "engine"
            )


def _architecture(path: Path, family: Family, config: dict[str, Any]) -> Architecture:
    def whole(key: str, least: int = 1) -> int:
        value = config[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ModelError(
                f"{path}: {family.called.get(key, key)} is {value!r}; it should be a whole number from "
                f"{least} up"
            )
        return value

    width, n_heads = whole("hidden_size"), whole("num_attention_heads")
    if width % n_heads:
        raise ModelError(f"{path}: a width of {width} cannot be divided among {n_heads} attention heads")
    activation, epsilon = config["hidden_act"], config["layer_norm_eps"]
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ModelError(
            f"{path}: activation {activation!r} is not built for OpenVINO; {', '.join(ACTIVATIONS)} are"
        )
    if not isinstance(epsilon, float | int) or not 0 < epsilon < 1:
        raise ModelError(f"{path}: layer_norm_eps is {epsilon!r}; it should be a small positive number")
    pad_id = 0 if config["pad_token_id"] is None else whole("pad_token_id", 0)
    padding_row = 1 if family.relative_bias else pad_id  # MPNet's is fixed in its code
    architecture = Architecture(
        family=family,
        vocab_size=whole("vocab_size"),
        width=width,
        embedding_width=whole("embedding_size"),
        inner_width=whole("intermediate_size"),
        n_layers=whole("num_hidden_layers"),
        n_heads=n_heads,
        n_positions=whole("max_position_embeddings"),
        n_segments=whole("type_vocab_size", 0),
        first_position=padding_row + 1 if family.positions_after_padding else 0,
        pad_id=pad_id,
        activation=ACTIVATIONS[activation],
        epsilon=float(epsilon),
    )
    if architecture.max_tokens < 1:
        raise ModelError(f"{path}: {architecture.n_positions} positions leave no room for a token")
    return architecture


def mpnet_buckets(max_length: int) -> Int64:
    """The row of MPNet's table of relative biases for each distance key - query, from -(max_length - 1) to
    max_length - 1.

    Half of the rows are for each direction; half of these for one distance each, the others for ranges that
    grow logarithmically up to MPNET_MAX_DISTANCE tokens (as T5's, arXiv 1910.10683).
    """
    distance = np.arange(-(max_length - 1), max_length)
    half = MPNET_BUCKETS // 2
    exact = half // 2
    n = np.abs(distance)
    far = np.log(np.maximum(n, 1).astype(np.float32) / np.float32(exact)) / np.float32(
        np.log(MPNET_MAX_DISTANCE / exact)
    )
    ranged = np.minimum(exact + (far * np.float32(half - exact)).astype(np.int64), half - 1)
    return np.where(distance > 0, half, 0) + np.where(n < exact, n, ranged)
