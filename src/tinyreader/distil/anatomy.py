"""Where the parts of a Transformers question-answering model are, found the same way for every architecture."""

from __future__ import annotations

from typing import Any

from torch import nn

from tinyreader.errors import ModelError

_HEADS = ("qa_outputs", "classifier")


def encoder_layers(model: Any) -> nn.ModuleList:
    """The encoder's layers in order: the longest list of like modules under the model's base."""
    base = model.base_model
    lists = [m for m in base.modules() if isinstance(m, nn.ModuleList) and len({type(x) for x in m}) == 1]
    layers = max(lists, key=len, default=None)
    if layers is None or len(layers) != model.config.num_hidden_layers:
        raise ModelError(f"the layers of a {model.config.model_type} model cannot be found; its shape is not supported.")
    return layers


def qa_head(model: Any) -> nn.Module:
    """The linear layer that turns token states into start and end logits."""
    for name in _HEADS:
        head = getattr(model, name, None)
        if isinstance(head, nn.Module):
            return head
    raise ModelError(f"a {type(model).__name__} has no question-answering head; it is not an extractive reader.")
