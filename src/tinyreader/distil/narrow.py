"""Tensors of a narrower student, cut out of its teacher's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

FUSED = {"Wqkv": 3, "Wi": 2}  # ModernBERT keeps several projections in one matrix, one below the other
HEADS = {"query", "key", "value", "q", "k", "v", "q_lin", "k_lin", "v_lin", "query_proj", "key_proj", "value_proj", "Wqkv"}


class Narrowing:
    """Cuts a teacher's tensor down to the student's shape."""

    def __init__(self, teacher: PreTrainedModel, student: PreTrainedModel, mode="energy") -> None:
        self.width = int(teacher.config.hidden_size), int(student.config.hidden_size)
        self.heads = int(teacher.config.num_attention_heads), int(student.config.num_attention_heads)
        self.hidden = _loudest(teacher, self.width[1]) if mode=="energy" else evenly(*self.width)

    def __call__(self, name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
        """The part of the teacher's `tensor` that the student's parameter `name` of that shape starts with."""
        if tensor.shape == shape:
            return tensor
        parts = name.split(".")
        role = parts[-2]
        attention = any("att" in part for part in parts[:-1]) and tensor.ndim <= 2 and "norm" not in role.lower()
        for axis, (old, new) in enumerate(zip(tensor.shape, shape, strict=True)):
            if old == new:
                continue
            heads = attention and "layer" in name and (role in HEADS) == (axis == 0)
            copies = FUSED.get(role, 1) if axis == 0 else 1
            one = self._places(old // copies, new // copies, heads)
            places = torch.cat([one + copy * (old // copies) for copy in range(copies)])
            tensor = tensor.index_select(axis, places)
        if tensor.ndim == 2 and "embed" not in name: tensor = tensor * SCALE(old, new)
        return tensor

    def _places(self, old: int, new: int, heads: bool) -> Tensor:
        """Which places of an axis stay."""
        if (old, new) != self.width:
            return evenly(old, new)
        if not heads:
            return self.hidden
        return head_places(self.width, self.heads)


def SCALE(old,new): return 1.0
def evenly(old: int, new: int) -> Tensor:
    """`new` of the places 0 to old - 1, evenly spaced, ascending."""
    return (torch.arange(new) * 2 + 1) * old // (2 * new)


def head_places(width: tuple[int, int], heads: tuple[int, int]) -> Tensor:
    """Places that stay on the axis of all heads together: evenly spaced heads, and evenly spaced places within each."""
    size = width[0] // heads[0], width[1] // heads[1]
    kept = evenly(heads[0], heads[1])
    return (kept[:, None] * size[0] + evenly(size[0], size[1])).flatten() if size[1] <= size[0] else evenly(*width)


def _loudest(teacher: PreTrainedModel, n: int) -> Tensor:
    """The hidden dimensions in which the word embeddings vary most, ascending."""
    words = teacher.get_input_embeddings().weight.detach().float()
    variance = words.var(dim=0)
    return variance.topk(n).indices.sort().values
