"""The configuration of a student of a given shape, after the pattern of its teacher's."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from tinyreader.distil.settings import Shape
from tinyreader.errors import SettingsError


def shaped_configuration(
    pattern: PretrainedConfig, shape: Shape, layers: tuple[int, ...] | None = None
) -> PretrainedConfig:
    """The pattern's configuration with the layers, width, heads and feed-forward width of the shape.

    Heads that the shape leaves open are as many as the pattern has, so that attention can be compared head by
    head, or else of the same size; the feed-forward width keeps its proportion. `layers` are the pattern's
    layers, counted from 1, that the student's are made after, where layers differ in kind (ModernBERT's
    global and local attention).
    """
    width, size = int(pattern.hidden_size), pattern.hidden_size // pattern.num_attention_heads
    forward = feed_forward_key(pattern)
    content: dict[str, Any] = pattern.to_dict()
    names = getattr(pattern, "attribute_map", {})
    content |= {
        names.get("num_hidden_layers", "num_hidden_layers"): shape.layers,
        names.get("hidden_size", "hidden_size"): shape.width,
        names.get("num_attention_heads", "num_attention_heads"): shape.heads
        or _heads(pattern, shape.width, size),
        forward: shape.intermediate or round(getattr(pattern, forward) * shape.width / width),
    }
    for key in (
        "embedding_size",
        "pooler_hidden_size",
    ):  # ELECTRA's may differ from the width, and then stays
        if content.get(key) == width:
            content[key] = shape.width
    kinds = content.get("layer_types")
    if kinds is not None:
        places = layers or tuple(1 + m % len(kinds) for m in range(shape.layers))
        content["layer_types"] = [kinds[place - 1] for place in places]
    return type(pattern).from_dict(content)


def feed_forward_key(config: PretrainedConfig) -> str:
    """What this kind of configuration calls the feed-forward width."""
    return "hidden_dim" if hasattr(config, "hidden_dim") else "intermediate_size"


def _heads(pattern: PretrainedConfig, width: int, size: int) -> int:
    """The pattern's number of heads if it divides the width, else as many as its head size gives."""
    heads = int(pattern.num_attention_heads)
    if width % heads == 0:
        return heads
    if width % size == 0:
        return width // size
    raise SettingsError(
        f"a width of {width} can be divided neither into {heads} heads nor into heads of {size}, as the "
        "teacher has: "
        f"add the number of heads to the shape, as in '{width}d-4h'"
    )
