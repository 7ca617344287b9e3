"""The precision that models compute at: the best one a device has, and what stays in fp32 when the rest is
bf16.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["bf16", "fp32"]


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
