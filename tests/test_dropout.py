"""`distil.dropout`: cheap random bits that are right in number, size and place, and the same again when
asked.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinyreader.distil.dropout import Dropout, StepRandom, drop, replace_dropout

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def seeded(*key: int) -> StepRandom:
    """A source at the start of the key's stream."""
    random = StepRandom()
    random.reseed(*key)
    return random


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_share_of_zeros_is_the_rate(rate: float) -> None:
    """About `rate` of the elements are zeroed, rounded to 1/256, wherever in the tensor one looks."""
    dropped = drop(torch.ones(64, 4096), rate, seeded(1)) == 0
    expected = round(rate * 256) / 256
    assert abs(expected - rate) <= 1 / 512
    assert float(dropped.double().mean()) == pytest.approx(expected, abs=4 * (expected / 64 / 4096) ** 0.5)
    assert (
        float((dropped.double().mean(0) - expected).abs().max()) < 6 * (expected * (1 - expected) / 64) ** 0.5
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_kept_is_scaled_to_keep_the_mean(dtype: torch.dtype) -> None:
    """Kept elements are the input times 256 / (256 - 256·rate), so that the expectation is the input."""
    x = torch.randn(3, 7, 11, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = drop(x, 0.25, seeded(1))
    assert y.dtype == dtype
    assert y.shape == x.shape
    kept = y != 0
    torch.testing.assert_close(y[kept], (x * (256 / 192))[kept])
    mean = torch.stack([drop(torch.ones(1000), 0.25, seeded(n)) for n in range(200)]).mean()
    assert float(mean) == pytest.approx(1.0, abs=0.01)


def test_same_key_same_bits() -> None:
    """A stream is fixed by its key; other keys, and the next draw, give other bits; the length of earlier
    draws counts.
    """
    x = torch.ones(4, 1001)
    random = seeded(3, 1, 4)
    first, second = drop(x, 0.5, random), drop(x, 0.5, random)
    random.reseed(3, 1, 4)
    assert torch.equal(drop(x, 0.5, random), first)
    assert torch.equal(drop(x, 0.5, random), second)
    assert not torch.equal(first, second)
    assert not torch.equal(drop(x, 0.5, seeded(3, 1, 5)), first)
    assert not torch.equal(drop(x, 0.5, seeded(3, 1)), first)


def test_reseed_reaches_torch_itself() -> None:
    """What draws from torch's own generator, as dropout on another device does, is fixed by the key too."""
    seeded(7, 7)
    first = torch.rand(5)
    seeded(7, 8)
    assert not torch.equal(torch.rand(5), first)
    seeded(7, 7)
    assert torch.equal(torch.rand(5), first)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_passes_where_the_value_did(dtype: torch.dtype) -> None:
    """The gradient of a kept element is the scale, of a dropped one 0, also for a gradient that is not
    contiguous.
    """
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    y = drop(x, 0.5, seeded(2))
    upstream = torch.arange(1.0, 31.0).view(5, 6).to(dtype).t()
    y.backward(upstream)  # type: ignore[no-untyped-call]
    expected = torch.where(y.detach() == 0, torch.zeros_like(upstream), upstream * 2)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected)
    assert torch.equal(upstream, torch.arange(1.0, 31.0).view(5, 6).to(dtype).t())


def test_input_is_left_as_it_was() -> None:
    """Dropping works on a copy, for views and transposed tensors too."""
    x = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    y = drop(x.t(), 0.5, seeded(1))
    assert torch.equal(x, before)
    kept = y != 0
    assert torch.equal(y[kept], (x.t() * 2)[kept])


@pytest.mark.parametrize(("rate", "possible"), [(0.0, {0.0}), (1e-6, {1 / 256}), (0.9999, {255 / 256})])
def test_rates_at_the_ends(rate: float, possible: set[float]) -> None:
    """The rate 0 drops nothing; a tiny one still drops now and then; one near 1 keeps now and then."""
    y = drop(torch.ones(512, 512), rate, seeded(1))
    share = float((y == 0).double().mean())
    assert min(abs(share - p) for p in possible) < 0.001
    assert y.isfinite().all()


def test_module_drops_only_in_training() -> None:
    """`Dropout` is the identity in evaluation and with the rate 0, and draws no bits then."""
    random = seeded(1)
    x = torch.ones(100)
    assert Dropout(0.5, random).eval()(x) is x
    assert Dropout(0.0, random).train()(x) is x
    assert torch.equal(Dropout(0.5, random).train()(x), drop(x, 0.5, seeded(1)))


def test_every_dropout_of_a_model_is_replaced() -> None:
    """Dropout layers at any depth become ours with their own rate, or with the one rate that was asked
    for.
    """

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_dropout = 0.3
            self.parts = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2)), nn.Dropout(0.4)])

    random = StepRandom()
    for rate, expected in ((None, [0.2, 0.4]), (0.0, [0.0, 0.0]), (0.1, [0.1, 0.1])):
        model = nn.Sequential(Inner())
        replace_dropout(model, random, rate)
        found = [m for m in model.modules() if isinstance(m, nn.Dropout)]
        assert [type(m) for m in found] == [Dropout, Dropout]
        assert [m.p for m in found] == expected
        assert model[0].attention_dropout == (0.3 if rate is None else rate)
        assert all(m.random is random for m in found if isinstance(m, Dropout))
        assert all(m.training for m in found)
    model = nn.Sequential(Inner()).eval()
    replace_dropout(model, random)
    assert not any(m.training for m in model.modules())
