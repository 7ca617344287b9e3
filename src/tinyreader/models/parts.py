"""The parts of a model that training needs to reach, found without naming each architecture, and the precision
that they compute at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tinyreader.errors import ModelError

Precision = Literal["bf16", "fp32"]


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The encoder's layers, from the one next to the embeddings up."""
    wanted = model.config.num_hidden_layers
    for name, module in model.base_model.named_modules():
        if (
            isinstance(module, nn.ModuleList)
            and name.split(".")[-1] in ("layer", "layers")
            and len(module) == wanted
        ):
            return module
    raise ModelError(
        f"a {model.config.model_type} model does not keep its {wanted} layers in one list; they cannot be "
        "compared or "
        "copied one by one. Known to work: BERT, RoBERTa, ELECTRA, DistilBERT, MPNet, DeBERTa-v2, ModernBERT"
    )


_VECTORS = tuple(
    frozenset((name, name[0], f"{name}_proj", f"{name[0]}_proj", f"{name[0]}_lin"))
    for name in ("query", "key", "value")
)


def attention_vectors(layer: nn.Module) -> tuple[nn.Linear, nn.Linear, nn.Linear] | None:
    """What makes the queries, the keys and the values of an encoder layer; None where one part for each was
    not found.
    """
    linear = [
        (name.split(".")[-1], part) for name, part in layer.named_modules() if isinstance(part, nn.Linear)
    ]
    queries, keys, values = ([part for name, part in linear if name in names] for names in _VECTORS)
    if not len(queries) == len(keys) == len(values) == 1:
        return None
    return queries[0], keys[0], values[0]


def qa_head(model: PreTrainedModel) -> nn.Linear:
    """The last layer, which gives each token its start and end logit."""
    for name in ("qa_outputs", "classifier"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Linear) and head.out_features == 2:
            return head
    raise ModelError(f"no question-answering head was found in a {type(model).__name__}")


def takes_segments(model: PreTrainedModel) -> bool:
    """Whether the model tells question and context apart by segment ids."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


def max_tokens(model: PreTrainedModel) -> int | None:
    """The longest input in tokens, or None where positions have no table that ends."""
    for name, module in model.base_model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its like count positions from the padding id up.
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - first
    return None


def best_precision(device: torch.device) -> Precision:
    """bf16 where the device multiplies bf16 matrices in hardware, else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return "bf16"
    return "fp32"


def round_to_bf16(model: Any, kept: Iterable[nn.Module], unrounded: dict[str, Tensor] | None = None) -> None:
    """Turns a model's weights to bf16 in place, but for the embeddings and the modules `kept`, which stay in
    fp32.

    The embeddings then give bf16; what reaches the modules `kept` is the caller's to convert. Buffers stay as
    they are. `unrounded` takes in, by name, the weights as they were.
    """
    embeddings = getattr(model.base_model, "embeddings", None)
    exact = {id(p) for part in (*kept, embeddings) if part is not None for p in part.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in exact:
            if unrounded is not None:
                unrounded[name] = parameter.data
            parameter.data = parameter.data.to(torch.bfloat16)
    if embeddings is not None:
        embeddings.register_forward_hook(lambda _, __, output: output.to(torch.bfloat16))
