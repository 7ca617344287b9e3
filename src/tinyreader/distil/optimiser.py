"""AdamW on fp32 master weights, for models whose own weights may be bf16.

A bf16 weight cannot take a step smaller than 1/256 of itself; the masters can, and the model gets their
rounded copy after each step. Gradients are added up in fp32, whatever number of parts a batch is computed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, slots=True)
class OptimiserSettings:
    """AdamW's constants (Loshchilov and Hutter, arXiv 1711.05101); no decay on biases and norms."""

    learning_rate: float
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    max_grad_norm: float | None = 1.0


class MasterAdamW:
    """AdamW over `named` parameters; call `accumulate` after each backward pass and `step` once a batch.

    `unrounded` holds the fp32 values that parameters had before they were rounded, where they are known; they
    become the masters.
    """

    def __init__(
        self,
        named: dict[str, nn.Parameter],
        settings: OptimiserSettings,
        unrounded: dict[str, Tensor] | None = None,
    ) -> None:
        self.settings = settings
        self.parameters = {n: p for n, p in named.items() if p.requires_grad}
        exact = unrounded or {}
        # fp32 weights are their own masters
        self.masters = {n: exact[n] if n in exact else p.detach().float() for n, p in self.parameters.items()}
        decayed = [m for n, m in self.masters.items() if _decays(n, m)]
        others = [m for n, m in self.masters.items() if not _decays(n, m)]
        groups = [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW(
            [g for g in groups if g["params"]],
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.epsilon,
            fused=True,
        )

    def accumulate(self) -> None:
        """Adds the parameters' gradients to the masters' and clears them."""
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            master = self.masters[name]
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad += parameter.grad
            parameter.grad = None

    def reduce(self, add_up: Callable[[Tensor], Tensor]) -> None:
        """Replaces each gradient by `add_up` of it: the sum over processes."""
        for master in self.masters.values():
            if master.grad is not None:
                master.grad = add_up(master.grad)

    def gradient_norm(self) -> float:
        """The L2 norm of all gradients; not finite when any of them is not."""
        grads = [m.grad for m in self.masters.values() if m.grad is not None]
        return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads])))

    def step(self, learning_rate: float, norm: float) -> None:
        """One update at `learning_rate`, gradients clipped to `max_grad_norm` given that their norm is
        `norm`.
        """
        limit = self.settings.max_grad_norm
        if limit is not None and norm > limit:
            for master in self.masters.values():
                if master.grad is not None:
                    master.grad.mul_(limit / norm)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self.clear()
        self._publish()

    def clear(self) -> None:
        """Drops the gradients gathered so far."""
        self._adam.zero_grad(set_to_none=True)
        for parameter in self.parameters.values():
            parameter.grad = None

    def _publish(self) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if parameter.dtype != torch.float32:
                    parameter.copy_(self.masters[name])

    def state(self) -> dict[str, Tensor]:
        """Masters and moments by name, for a checkpoint; these are the live tensors, not copies."""
        tensors = {f"master.{n}": m for n, m in self.masters.items()}
        for name, master in self.masters.items():
            for key, value in self._adam.state.get(master, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Takes over what `state` gave and writes the weights into the model."""
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(tensors[f"master.{name}"])
                moments = {
                    key: tensors[f"adam.{key}.{name}"].to(master.device, copy=True)
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if f"adam.{key}.{name}" in tensors
                }
                if moments:
                    self._adam.state[master] = moments
        self._publish()


def _decays(name: str, tensor: Tensor) -> bool:
    """Whether weight decay applies: matrices and embeddings, not biases and the vectors of norms."""
    return tensor.ndim >= 2 and not name.endswith("bias")


def learning_rate_at(step: int, total: int, peak: float, schedule: Schedule, warmup_share: float) -> float:
    """The rate of update `step` (from 0) of `total`: a linear rise over the warm-up, then the schedule down
    to 0.
    """
    warmup = math.ceil(total * warmup_share)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup) / max(1, total - warmup)
    return peak * (1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done)))
