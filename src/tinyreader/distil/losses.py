"""The losses of distillation, each a sum and a count, so that parts of a batch add up to exactly the whole.

A term's value is sum / count with the count taken over the whole optimiser step; a step computed in one piece
or in eight gives the same gradient. Padding never enters: hidden states and relations count over real tokens,
attention over pairs of real tokens, span distributions over the null position and the context tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _MaskedSquares(torch.autograd.Function):
    """Sum of squared differences where `mask` is 1, in fp32; saves only the difference."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        difference = student - teacher
        if mask is not None:
            difference.mul_(mask)
        ctx.save_for_backward(difference)
        norm: Tensor = torch.linalg.vector_norm(difference, dtype=torch.float32)
        return norm.square()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (difference,) = ctx.saved_tensors
        return difference * (2.0 * grads[0]).to(difference.dtype), None, None


def squared_differences(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """Scalar fp32: the sum of (student - teacher)² over elements whose `mask` (broadcastable, 0 or 1) is 1.

    No gradient flows to the teacher.
    """
    total: Tensor = _MaskedSquares.apply(student, teacher.detach().to(student.dtype), mask)  # type: ignore[no-untyped-call]
    return total


def hidden_loss(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """Sum over real tokens of the mean over the width of (H_student - H_teacher)², both [B, L, width].

    `mask` [B, L] is 1 on real tokens, None where all are. TinyBERT, arXiv 1909.10351, equations 8 and 9;
    divide by the number of real tokens.
    """
    token_mask = None if mask is None else mask.to(student.dtype)[:, :, None]
    return squared_differences(student, teacher, token_mask) / student.shape[-1]


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """Sum over pairs of real tokens of the mean over heads of (A_student - A_teacher)², both [B, heads, L,
    L].

    With scores before softmax this is TinyBERT's equation 7 (arXiv 1909.10351), with probabilities what
    Haystack 1 computed; divide by the number of pairs of real tokens.
    """
    if mask is None:
        pair_mask = None
    else:
        real = mask.to(student.dtype)
        pair_mask = real[:, None, :, None] * real[:, None, None, :]
    return squared_differences(student, teacher, pair_mask) / student.shape[1]


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """Sum over real tokens of the mean over `heads` relation heads of KL(R_teacher ‖ R_student).

    R is the softmax over real tokens of x·xᵀ/√d, x a head's share, d wide, of queries, keys or values [B, L,
    width]; the widths of student and teacher may differ. MiniLMv2, arXiv 2012.15828, section 3; divide by the
    number of real tokens.
    """
    both = _related(student, mask, heads), _related(teacher.detach(), mask, heads)
    total: Tensor = _Divergence.apply(*both, mask)  # type: ignore[no-untyped-call]
    return total / heads


class _Divergence(torch.autograd.Function):
    """Sum over real rows of KL(softmax(teacher) ‖ softmax(student)), fp32 scores [B, heads, L, L]; saves only
    the gradient.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
        distance = (log_p.exp() * (log_p - log_q)).sum(-1)
        slope = log_q.exp_().sub_(log_p.exp_())
        if mask is not None:
            distance, slope = distance * mask[:, None], slope.mul_(mask[:, None, :, None])
        ctx.save_for_backward(slope)
        total: Tensor = distance.sum()
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        gradient: Tensor = slope * grads[0]
        return gradient, None, None


def _related(vectors: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """How vectors [B, L, width] relate before softmax, fp32 [B, heads, L, L]; large and negative towards
    padding.
    """
    split = vectors.float().view(*vectors.shape[:2], heads, -1).transpose(1, 2)
    scores: Tensor = split @ split.transpose(-1, -2) * split.shape[-1] ** -0.5
    return scores if mask is None else scores.masked_fill(mask[:, None, None, :] == 0, -1e9)


def prediction_loss(
    student_start: Tensor,
    student_end: Tensor,
    teacher_start: Tensor,
    teacher_end: Tensor,
    allowed: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Sum over windows of τ² KL(teacher ‖ student), start and end averaged; logits [B, L], `allowed` bool [B,
    L].

    Both distributions are softmaxes over the allowed positions at temperature τ (Hinton et al., arXiv
    1503.02531); divide by the number of windows.
    """
    total = student_start.new_zeros(())
    for student, teacher in ((student_start, teacher_start), (student_end, teacher_end)):
        log_q = _log_softmax(student.float() / temperature, allowed)
        log_p = _log_softmax(teacher.float() / temperature, allowed)
        total = total + (log_p.exp() * (log_p - log_q)).masked_fill(~allowed, 0.0).sum()
    return total * (0.5 * temperature**2)


def label_loss(
    student_start: Tensor, student_end: Tensor, start: Tensor, end: Tensor, allowed: Tensor
) -> Tensor:
    """Sum over windows of the cross-entropy of the labelled start and end, averaged; labels int64 [B], 0 = no
    answer.
    """
    total = student_start.new_zeros(())
    for logits, label in ((student_start, start), (student_end, end)):
        log_q = _log_softmax(logits.float(), allowed)
        total = total - log_q.gather(1, label[:, None]).sum()
    return total * 0.5


def _log_softmax(logits: Tensor, allowed: Tensor) -> Tensor:
    """Log-probabilities over allowed positions; large negative, finite numbers elsewhere."""
    return logits.masked_fill(~allowed, -1e9).log_softmax(-1)
