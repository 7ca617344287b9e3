"""Tensors of a narrower student, cut out of its teacher's.

Of the hidden dimensions those stay in which the word embeddings vary most, the same ones throughout, so that
every norm keeps its meaning; heads, the dimensions within a head and feed-forward units stay evenly spaced.
It is a start, not a compression: training has to repair what was cut. Tried on a 6-layer MiniLM cut to half
its width and depth, a linear map of such a student's last hidden states came nearer to the teacher's, before
and after a few steps of training, than with evenly spaced hidden dimensions, and far nearer than with random
weights; a projection on the principal directions of the word embeddings was hardly better (and norms then
hold only roughly), scaling the cut matrices up made it worse.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

# Projections to the heads: the rows of their matrices belong to heads. They go by these names in the known
# families.
TO_HEADS = {"query", "key", "value", "q", "k", "v"}
FUSED = {"Wqkv": 3, "Wi": 2}  # ModernBERT keeps several projections in one matrix, one below the other


class Narrowing:
    """Cuts tensors of a teacher down to the shapes of a student that is made after its pattern."""

    def __init__(self, teacher: PreTrainedModel, student: PreTrainedModel) -> None:
        self.width = int(teacher.config.hidden_size), int(student.config.hidden_size)
        self.heads = int(teacher.config.num_attention_heads), int(student.config.num_attention_heads)
        self.hidden = hidden_places(teacher, self.width[1])

    def __call__(self, name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
        """The part of `tensor` that stays in the student's parameter `name` of that shape."""
        for axis, (old, new) in enumerate(zip(tensor.shape, shape, strict=True)):
            if old != new:
                copies = FUSED.get(name.split(".")[-2], 1) if axis == 0 else 1
                one = self._places(old // copies, new // copies, _is_of_heads(name, axis))
                places = torch.cat([one + copy * (old // copies) for copy in range(copies)])
                tensor = tensor.index_select(axis, places)
        return tensor

    def _places(self, old: int, new: int, of_heads: bool) -> Tensor:
        """The places that stay on an axis."""
        if (old, new) != self.width:
            return evenly(old, new)
        return head_places(self.width, self.heads) if of_heads else self.hidden


def _is_of_heads(name: str, axis: int) -> bool:
    """Whether an axis as long as the model is wide counts dimensions of heads: what goes to them, or comes
    from them.
    """
    *path, role, _ = name.split(".")
    if "norm" in role.lower() or not any("att" in part for part in path):
        return False
    to_heads = (
        role in FUSED or role.removesuffix("_lin").removesuffix("_proj").removeprefix("pos_") in TO_HEADS
    )
    return to_heads == (axis == 0)


def evenly(old: int, new: int) -> Tensor:
    """`new` of the places 0 to old - 1, evenly spaced, ascending."""
    return (torch.arange(new) * 2 + 1) * old // (2 * new)


def head_places(width: tuple[int, int], heads: tuple[int, int]) -> Tensor:
    """Places that stay on the axis of all heads together: evenly spaced heads, and evenly spaced places
    within each.

    Where the student's heads are larger than the teacher's, evenly spaced places of the whole axis.
    """
    sizes = width[0] // heads[0], width[1] // heads[1]
    if sizes[1] > sizes[0]:
        return evenly(*width)
    return (evenly(*heads)[:, None] * sizes[0] + evenly(*sizes)).flatten()


def hidden_places(teacher: PreTrainedModel, n: int) -> Tensor:
    """The n hidden dimensions in which the word embeddings vary most, ascending.

    Where words are embedded in fewer dimensions (ELECTRA) and then projected, it is the projected ones that
    count.
    """
    words = teacher.get_input_embeddings().weight.detach().float()
    projection = getattr(teacher.base_model, "embeddings_project", None)
    if projection is not None:
        words = words @ projection.weight.detach().float().T
    places: Tensor = words.var(dim=0).topk(n).indices.sort().values
    return places
