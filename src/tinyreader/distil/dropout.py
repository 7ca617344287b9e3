"""Dropout whose random bits cost little on a CPU, and which a step's seed alone determines.

Torch draws one Mersenne number an element on one thread: a fifth of a CPU training step went there. Here one
byte an element comes from numpy's SFC64, so the rate is rounded to a multiple of 1/256 (0.1 becomes 26/256 =
0.1016, and the kept values are scaled by exactly 256/230). On other devices torch's own dropout is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_INT_VIEW = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


class StepRandom:
    """The random source of all dropout in a run; `reseed` before each forward pass makes that pass
    reproducible.
    """

    def __init__(self) -> None:
        self._bits = np.random.Generator(np.random.SFC64(0))

    def reseed(self, *key: int) -> None:
        """Starts the stream that `key` (seed, stage, step, part, rank) names, for torch's generators too."""
        sequence = np.random.SeedSequence(key)
        self._bits = np.random.Generator(np.random.SFC64(sequence))
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))

    def keep(self, shape: torch.Size, threshold: int) -> Tensor:
        """A bool tensor of `shape`, each element False with probability `threshold` / 256."""
        n = shape.numel()
        words = self._bits.integers(0, 2**64, size=(n + 7) // 8, dtype=np.uint64)
        return torch.from_numpy(words.view(np.uint8)[:n] >= threshold).view(shape)


class _MaskedScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return _apply(x, keep, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return _apply(grads[0].contiguous(), keep, ctx.scale), None, None


def _apply(x: Tensor, keep: Tensor, scale: float) -> Tensor:
    """`x` where kept, times `scale`; a bit mask is ten times cheaper here than a product with bools."""
    as_int = _INT_VIEW.get(x.dtype)
    if as_int is None:
        return x * keep * scale
    mask = keep.to(as_int).neg_()
    return (x.view(as_int) & mask).view(x.dtype).mul_(scale)


def drop(x: Tensor, rate: float, random: StepRandom) -> Tensor:
    """`x` with each element zeroed with probability `rate` (to 1/256 on a CPU) and the others scaled up to
    match.
    """
    if rate <= 0.0:
        return x
    if x.device.type != "cpu":
        return nn.functional.dropout(x, rate, training=True)
    threshold = min(255, max(1, round(rate * 256)))
    keep = random.keep(x.shape, threshold)
    scaled: Tensor = _MaskedScale.apply(x.contiguous(), keep, 256 / (256 - threshold))  # type: ignore[no-untyped-call]
    return scaled


class Dropout(nn.Dropout):
    """A drop-in for `nn.Dropout` that takes its bits from a `StepRandom`."""

    def __init__(self, p: float, random: StepRandom) -> None:
        super().__init__(p)
        self.random = random

    def forward(self, input: Tensor) -> Tensor:
        return drop(input, self.p, self.random) if self.training else input


def replace_dropout(module: nn.Module, random: StepRandom, rate: float | None = None) -> None:
    """Replaces every `nn.Dropout` under `module` by ours, in place; `rate` overrides the model's own
    rates.
    """
    if rate is not None and isinstance(getattr(module, "attention_dropout", None), float):
        setattr(module, "attention_dropout", rate)  # noqa: B010 - ModernBERT keeps a number where others keep a module
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Dropout):
            setattr(module, name, Dropout(child.p if rate is None else rate, random).train(child.training))
        else:
            replace_dropout(child, random, rate)
