"""`distil.optimiser`: AdamW as torch has it, on fp32 masters, and the learning rate of every step."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tinyreader.distil.optimiser import MasterAdamW, OptimiserSettings, Schedule, learning_rate_at

SETTINGS = OptimiserSettings(1e-2, weight_decay=0.1, max_grad_norm=None)


def toy(dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """A matrix, an embedding, a norm and biases."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 2)).to(dtype)


def loss_of(model: nn.Module, step: int) -> Tensor:
    """Some loss that differs from step to step."""
    ids = torch.arange(8).add(step).remainder(11)
    out = model(ids).float()
    return (out - out.new_tensor([1.0, -2.0]) * (step + 1)).square().mean()


def optimiser_of(model: nn.Module, settings: OptimiserSettings = SETTINGS) -> MasterAdamW:
    """Our optimiser on a model's parameters."""
    return MasterAdamW(dict(model.named_parameters()), settings)


def train(model: nn.Module, optimiser: MasterAdamW, steps: range, rate: float = 1e-2) -> None:
    """A few updates."""
    for step in steps:
        loss_of(model, step).backward()  # type: ignore[no-untyped-call]
        optimiser.accumulate()
        optimiser.step(rate / (step + 1), optimiser.gradient_norm())


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a model's weights."""
    return {n: p.detach().clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize("limit", [None, 0.5])
def test_fp32_steps_are_those_of_torch(limit: float | None) -> None:
    """In fp32 the weights after some steps are those of `torch.optim.AdamW` with its groups and its
    clipping.
    """
    ours, theirs = toy(), toy()
    optimiser = optimiser_of(ours, OptimiserSettings(1e-2, 0.1, (0.8, 0.95), 1e-6, limit))
    decayed = [p for n, p in theirs.named_parameters() if n in ("0.weight", "1.weight", "3.weight")]
    others = [p for n, p in theirs.named_parameters() if n in ("1.bias", "2.weight", "2.bias", "3.bias")]
    assert len(decayed) + len(others) == len(list(theirs.parameters()))
    reference = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.8, 0.95),
        eps=1e-6,
        foreach=False,
    )
    train(ours, optimiser, range(6))
    for step in range(6):
        reference.zero_grad()
        loss_of(theirs, step).backward()  # type: ignore[no-untyped-call]
        if limit is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), limit)
        for group in reference.param_groups:
            group["lr"] = 1e-2 / (step + 1)
        reference.step()
    for name, weight in weights(theirs).items():
        torch.testing.assert_close(weights(ours)[name], weight, atol=2e-6, rtol=1e-5)


def test_only_matrices_decay() -> None:
    """With gradients of 0 matrices and embeddings shrink by rate times decay; biases and norms stay as they
    are.
    """
    model = toy()
    before = weights(model)
    optimiser = optimiser_of(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.accumulate()
    optimiser.step(0.5, optimiser.gradient_norm())
    for name, weight in weights(model).items():
        shrunk = name in ("0.weight", "1.weight", "3.weight")
        torch.testing.assert_close(weight, before[name] * (1 - 0.5 * 0.1) if shrunk else before[name])


def test_weights_without_gradient_are_left_alone() -> None:
    """A weight that the loss does not depend on is neither moved nor decayed."""
    model = toy()
    optimiser = optimiser_of(model)
    before = weights(model)
    model[0](torch.arange(3)).sum().backward()
    optimiser.accumulate()
    optimiser.step(0.1, optimiser.gradient_norm())
    after = weights(model)
    assert {n for n, w in after.items() if not torch.equal(w, before[n])} == {"0.weight"}


def test_small_steps_survive_bf16() -> None:
    """Steps far below what bf16 can hold add up in the masters until the bf16 weight moves; without masters
    none would.
    """
    weight = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
    optimiser = MasterAdamW({"w": weight}, OptimiserSettings(1e-4, weight_decay=0.0))
    for _ in range(100):
        weight.grad = torch.ones_like(weight)
        optimiser.accumulate()
        optimiser.step(1e-4, optimiser.gradient_norm())
    torch.testing.assert_close(optimiser.masters["w"], torch.full((4, 4), 0.99), atol=1e-5, rtol=0)
    assert torch.equal(weight.detach(), torch.full((4, 4), 0.99).bfloat16())
    assert float(torch.ones((), dtype=torch.bfloat16) - 1e-4) == 1.0


def test_masters_start_from_the_unrounded_weights() -> None:
    """Where the weights before rounding are known they are the masters, so that a step of size 0 loses
    nothing.
    """
    exact = torch.full((2, 2), 1.0 + 1e-3)
    rounded = nn.Parameter(exact.bfloat16())
    optimiser = MasterAdamW({"w": rounded}, OptimiserSettings(1e-3, weight_decay=0.0), {"w": exact.clone()})
    rounded.grad = torch.zeros_like(rounded)
    optimiser.accumulate()
    optimiser.step(1e-3, optimiser.gradient_norm())
    assert torch.equal(optimiser.masters["w"], exact)
    assert torch.equal(MasterAdamW({"w": rounded}, SETTINGS).masters["w"], rounded.detach().float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_parts_add_up_in_fp32(dtype: torch.dtype) -> None:
    """Many small gradients are added up in fp32; the parameters' own gradients are cleared."""
    weight = nn.Parameter(torch.zeros(3, 3, dtype=dtype))
    optimiser = MasterAdamW({"w": weight}, SETTINGS)
    for value in (1.0, *[2.0**-10] * 512):
        weight.grad = torch.full_like(weight, value)
        optimiser.accumulate()
    assert weight.grad is None
    assert optimiser.gradient_norm() == pytest.approx(3 * 1.5, rel=1e-6)
    optimiser.clear()
    assert optimiser.masters["w"].grad is None


def test_clipping_scales_all_gradients_by_one_factor() -> None:
    """Gradients whose norm exceeds the limit are scaled to it together; smaller ones are left."""
    for scale in (0.1, 10.0):
        model, free = toy(), toy()
        clipped, plain = (
            optimiser_of(model, OptimiserSettings(1.0, 0.0)),
            optimiser_of(free, OptimiserSettings(1.0, 0.0)),
        )
        for parameter, other in zip(model.parameters(), free.parameters(), strict=True):
            parameter.grad = torch.full_like(parameter, scale)
            other.grad = torch.full_like(other, scale)
        clipped.accumulate()
        plain.accumulate()
        norm = clipped.gradient_norm()
        assert norm == pytest.approx(scale * math.sqrt(sum(p.numel() for p in model.parameters())), rel=1e-5)
        clipped.step(1.0, norm)
        factor = min(1.0, 1.0 / norm)
        first = clipped.state()["adam.exp_avg.1.weight"]
        torch.testing.assert_close(first, torch.full_like(first, 0.1 * scale * factor))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_norm_tells_of_bad_gradients(bad: float) -> None:
    """One element that is not finite makes the norm not finite."""
    model = toy()
    optimiser = optimiser_of(model)
    loss_of(model, 0).backward()  # type: ignore[no-untyped-call]
    model[1].weight.grad[0, 0] = bad
    optimiser.accumulate()
    assert not math.isfinite(optimiser.gradient_norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_goes_to_disk_and_back_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    """Training that is saved, loaded into a fresh model and continued gives the very bits of training without
    a break.
    """
    whole = toy(dtype)
    optimiser = optimiser_of(whole)
    train(whole, optimiser, range(3))
    save_file(optimiser.state(), tmp_path / "state.safetensors")
    train(whole, optimiser, range(3, 7))
    again = toy(dtype, seed=9)
    resumed = optimiser_of(again)
    resumed.load_state(load_file(tmp_path / "state.safetensors"))
    train(again, resumed, range(3, 7))
    assert all(torch.equal(w, weights(again)[n]) for n, w in weights(whole).items())
    assert optimiser.state().keys() == resumed.state().keys()
    assert all(torch.equal(t, resumed.state()[n]) for n, t in optimiser.state().items())


def test_loaded_state_is_a_copy() -> None:
    """Training on after loading does not change the tensors that were loaded."""
    model = toy()
    optimiser = optimiser_of(model)
    train(model, optimiser, range(2))
    kept = {n: t.clone() for n, t in optimiser.state().items()}
    given = {n: t.clone() for n, t in kept.items()}
    fresh = copy.deepcopy(model)
    resumed = optimiser_of(fresh)
    resumed.load_state(given)
    train(fresh, resumed, range(2, 4))
    assert all(torch.equal(t, kept[n]) for n, t in given.items())


def test_frozen_parameters_stay_out() -> None:
    """A parameter that takes no gradient has no master and is not in the state."""
    model = toy()
    model[0].weight.requires_grad_(False)
    assert "0.weight" not in optimiser_of(model).masters


@pytest.mark.parametrize(
    ("schedule", "warmup_share", "expected"),
    [
        ("linear", 0.2, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("constant", 0.2, [0.5] + [1.0] * 9),
        ("cosine", 0.2, [0.5, 1.0] + [0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]),
        ("linear", 0.0, [1.0 - k / 10 for k in range(10)]),
        ("linear", 0.15, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
    ],
)
def test_learning_rates_of_ten_steps(schedule: Schedule, warmup_share: float, expected: list[float]) -> None:
    """The rate rises over the warm-up (rounded up to whole steps) to its peak and then follows the
    schedule.
    """
    rates = [learning_rate_at(step, 10, 2.0, schedule, warmup_share) for step in range(10)]
    assert rates == pytest.approx([2.0 * e for e in expected])


@given(
    st.integers(1, 200),
    st.sampled_from(["linear", "cosine", "constant"]),
    st.floats(0, 0.999),
    st.floats(1e-7, 1.0),
)
@settings(deadline=None, max_examples=100)
def test_learning_rates_are_always_usable(
    total: int, schedule: Schedule, warmup_share: float, peak: float
) -> None:
    """Every step of every length of training has a rate above 0 and not above the peak, rising, then never
    rising.
    """
    rates = [learning_rate_at(step, total, peak, schedule, warmup_share) for step in range(total)]
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    warmup = math.ceil(total * warmup_share)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
