"""`distil.losses`: the formulae of the papers, summed over what is real and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinyreader.distil.losses import (
    attention_loss,
    hidden_loss,
    label_loss,
    prediction_loss,
    relation_loss,
    squared_differences,
)

lengths_of_windows = st.lists(st.integers(2, 7), min_size=1, max_size=4)
seeds = st.integers(0, 2**16)
temperatures = st.sampled_from([0.5, 1.0, 2.0, 7.0])


def draws(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Normal numbers in fp32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def mask_of(lengths: list[int], longest: int | None = None) -> Tensor:
    """The int64 mask [B, L] of windows of these lengths."""
    return (torch.arange(longest or max(lengths)) < torch.tensor(lengths)[:, None]).long()


def allowed_of(lengths: list[int], first: int = 1) -> Tensor:
    """The null position and all from `first` up to each window's end."""
    allowed = mask_of(lengths).bool()
    allowed[:, 1:first] = False
    return allowed


def naive_hidden(student: Tensor, teacher: Tensor, lengths: list[int]) -> float:
    """Equation 8 token by token, in float64."""
    s, t = student.double().tolist(), teacher.double().tolist()
    width = student.shape[-1]
    return math.fsum(
        math.fsum((s[b][i][k] - t[b][i][k]) ** 2 for k in range(width)) / width
        for b, n in enumerate(lengths)
        for i in range(n)
    )


def naive_attention(student: Tensor, teacher: Tensor, lengths: list[int]) -> float:
    """Equation 7 pair by pair, in float64."""
    s, t = student.double().tolist(), teacher.double().tolist()
    heads = student.shape[1]
    return math.fsum(
        math.fsum((s[b][h][i][j] - t[b][h][i][j]) ** 2 for h in range(heads)) / heads
        for b, n in enumerate(lengths)
        for i, j in product(range(n), repeat=2)
    )


def naive_relations(student: Tensor, teacher: Tensor, lengths: list[int], heads: int) -> float:
    """MiniLMv2's divergence token by token and head by head, in float64."""
    total = 0.0
    for b, n in enumerate(lengths):
        for head, i in product(range(heads), range(n)):
            rows = []
            for vectors in (teacher, student):
                width = vectors.shape[-1] // heads
                own = vectors[b, :n, head * width : (head + 1) * width].double()
                rows.append(softmax([float(own[i] @ own[j]) / math.sqrt(width) for j in range(n)]))
            total += math.fsum(p * math.log(p / q) for p, q in zip(*rows, strict=True))
    return total / heads


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    """A softmax by the book, in float64."""
    scaled = [x / temperature for x in logits]
    exponentials = [math.exp(x - max(scaled)) for x in scaled]
    return [e / math.fsum(exponentials) for e in exponentials]


def naive_prediction(
    students: list[Tensor], teachers: list[Tensor], allowed: Tensor, temperature: float
) -> float:
    """τ² KL(teacher ‖ student) over the allowed positions, start and end averaged, in float64."""
    total = 0.0
    for student, teacher in zip(students, teachers, strict=True):
        for b in range(len(allowed)):
            places = [i for i, ok in enumerate(allowed[b].tolist()) if ok]
            p = softmax([float(teacher[b, i]) for i in places], temperature)
            q = softmax([float(student[b, i]) for i in places], temperature)
            total += math.fsum(x * math.log(x / y) for x, y in zip(p, q, strict=True) if x > 0)
    return temperature**2 * total / 2


def naive_labels(students: list[Tensor], labels: list[list[int]], allowed: Tensor) -> float:
    """Cross-entropy over the allowed positions, start and end averaged, in float64."""
    total = 0.0
    for student, label in zip(students, labels, strict=True):
        for b, place in enumerate(label):
            places = [i for i, ok in enumerate(allowed[b].tolist()) if ok]
            total -= math.log(softmax([float(student[b, i]) for i in places])[places.index(place)])
    return total / 2


def gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The derivative of a scalar loss."""
    leaf = at.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf), leaf)
    return found


@given(lengths_of_windows, st.integers(1, 5), seeds)
@settings(deadline=None, max_examples=30)
def test_hidden_loss_is_equation_8(lengths: list[int], width: int, seed: int) -> None:
    """The hidden loss is the sum over real tokens of the mean squared difference over the width."""
    shape = (len(lengths), max(lengths), width)
    student, teacher = draws(seed, *shape), draws(seed + 1, *shape)
    loss = hidden_loss(student, teacher, mask_of(lengths))
    assert float(loss) == pytest.approx(naive_hidden(student, teacher, lengths), rel=1e-5)
    assert loss.dtype == torch.float32


@given(lengths_of_windows, st.integers(1, 3), seeds)
@settings(deadline=None, max_examples=30)
def test_attention_loss_is_equation_7(lengths: list[int], heads: int, seed: int) -> None:
    """The attention loss is the sum over pairs of real tokens of the mean squared difference over the
    heads.
    """
    shape = (len(lengths), heads, max(lengths), max(lengths))
    student, teacher = draws(seed, *shape), draws(seed + 1, *shape)
    loss = attention_loss(student, teacher, mask_of(lengths))
    assert float(loss) == pytest.approx(naive_attention(student, teacher, lengths), rel=1e-5)


@given(lengths_of_windows, st.integers(1, 3), st.integers(1, 3), seeds)
@settings(deadline=None, max_examples=30)
def test_relation_loss_is_the_divergence_of_relations(
    lengths: list[int], heads: int, width: int, seed: int
) -> None:
    """The relation loss is the sum over real tokens of the mean over heads of the divergence, whatever the
    two widths.
    """
    student = draws(seed, len(lengths), max(lengths), 2 * heads)
    teacher = draws(seed + 1, len(lengths), max(lengths), width * heads)
    loss = relation_loss(student, teacher, mask_of(lengths), heads)
    assert float(loss) == pytest.approx(naive_relations(student, teacher, lengths, heads), rel=1e-4, abs=1e-6)
    assert float(relation_loss(student, student, mask_of(lengths), heads)) == 0.0
    strange = student.masked_fill(mask_of(lengths)[:, :, None] == 0, 1e6)
    assert float(relation_loss(strange, teacher, mask_of(lengths), heads)) == pytest.approx(
        float(loss), rel=1e-5, abs=1e-7
    )


@given(lengths_of_windows, temperatures, seeds)
@settings(deadline=None, max_examples=30)
def test_prediction_loss_is_the_divergence(lengths: list[int], temperature: float, seed: int) -> None:
    """The prediction loss is τ² KL(teacher ‖ student) over the allowed positions, start and end averaged."""
    allowed = allowed_of(lengths, first=2)
    logits = [draws(seed + n, *allowed.shape, scale=4.0) for n in range(4)]
    loss = prediction_loss(*logits, allowed, temperature)
    expected = naive_prediction(logits[:2], logits[2:], allowed, temperature)
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-5 * max(1.0, temperature**2))


@given(lengths_of_windows, seeds)
@example(lengths=[2], seed=1866)
@settings(deadline=None, max_examples=30)
def test_label_loss_is_the_cross_entropy(lengths: list[int], seed: int) -> None:
    """The label loss is the negative log-probability of the labels over the allowed positions, averaged."""
    allowed = allowed_of(lengths)
    logits = [draws(seed + n, *allowed.shape, scale=4.0) for n in range(2)]
    labels = [[(seed + n) % n_tokens for n_tokens in lengths] for n in range(2)]
    start, end = (torch.tensor(x) for x in labels)
    assert float(label_loss(*logits, start, end, allowed)) == pytest.approx(
        naive_labels(logits, labels, allowed),
        rel=1e-5,
        abs=1e-6,  # fp32: a loss near 0 is a difference of large numbers
    )


def test_mask_of_ones_changes_nothing() -> None:
    """A batch without padding gives the same loss and gradient with a mask and without."""
    hidden, attention = draws(0, 2, 5, 8), draws(1, 2, 3, 5, 5)
    for loss, student in ((hidden_loss, hidden), (attention_loss, attention)):
        teacher = torch.zeros_like(student)
        with_mask = gradient(lambda x, f=loss, t=teacher: f(x, t, mask_of([5, 5])), student)  # type: ignore[misc]
        without = gradient(lambda x, f=loss, t=teacher: f(x, t, None), student)  # type: ignore[misc]
        assert torch.equal(with_mask, without)
        assert torch.equal(loss(student, teacher, mask_of([5, 5])), loss(student, teacher, None))


@pytest.mark.parametrize("size", ["hidden", "attention"])
def test_square_losses_have_the_gradient_of_the_formula(size: str) -> None:
    """The hand-written backward pass gives what autograd finds for the plain formula in float64, scaled or
    not.
    """
    lengths = [6, 3]
    shape = (2, 6, 8) if size == "hidden" else (2, 4, 6, 6)
    real = mask_of(lengths).double()
    mask = real[:, :, None] if size == "hidden" else real[:, None, :, None] * real[:, None, None, :]
    share = 8 if size == "hidden" else 4
    loss = hidden_loss if size == "hidden" else attention_loss
    student, teacher = draws(0, *shape), draws(1, *shape)
    expected = gradient(
        lambda x: 0.37 * (((x - teacher.double()) ** 2) * mask).sum() / share, student.double()
    )
    found = gradient(lambda x: 0.37 * loss(x, teacher, mask_of(lengths)), student)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-7)
    assert not found[1, ..., 3:, :].any()


def test_distribution_losses_have_the_gradient_of_probabilities() -> None:
    """The gradients are τ(q - p)/2 for the prediction and (q - 1[label])/2 for the labels, 0 where not
    allowed.
    """
    allowed = allowed_of([7, 4], first=3)
    start, end, teacher = (draws(n, 2, 7, scale=3.0) for n in range(3))
    label = torch.tensor([5, 0])
    q = start.masked_fill(~allowed, -torch.inf)
    p = teacher.masked_fill(~allowed, -torch.inf)
    expected = 2.0 * ((q / 2).softmax(-1) - (p / 2).softmax(-1)) / 2
    found = gradient(lambda x: prediction_loss(x, end, teacher, teacher, allowed, 2.0), start)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    wanted = (q.softmax(-1) - torch.nn.functional.one_hot(label, 7)) / 2
    found = gradient(lambda x: label_loss(x, end, label, label, allowed), start)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
    assert not found[~allowed].any()


@pytest.mark.parametrize("rubbish", [0.0, 50.0, -1e4])
def test_what_stands_at_padding_never_matters(rubbish: float) -> None:
    """Whatever states, attention and logits hold at padding, losses are the same and no gradient goes
    there.
    """
    lengths, allowed = [6, 3], allowed_of([6, 3], first=2)
    mask = mask_of(lengths)
    hidden, attention, logits = draws(0, 2, 6, 8), draws(1, 2, 2, 6, 6), draws(2, 2, 6)
    pairs = (mask[:, :, None] * mask[:, None, :])[:, None].expand(2, 2, 6, 6).bool()
    places = (mask[:, :, None].expand(2, 6, 8).bool(), pairs, allowed)
    losses: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda s, t: hidden_loss(s, t, mask),
        lambda s, t: attention_loss(s, t, mask),
        lambda s, t: prediction_loss(s, s, t, t, allowed, 1.5),
    ]
    for loss, student, real in zip(losses, (hidden, attention, logits), places, strict=True):
        teacher = student.flip(0)
        changed = student.masked_fill(~real, rubbish)
        assert torch.equal(loss(changed, teacher), loss(student, teacher))
        assert torch.equal(loss(student, teacher.masked_fill(~real, rubbish)), loss(student, teacher))
        found = gradient(lambda x, f=loss, t=teacher: f(x, t), changed)  # type: ignore[misc]
        assert not found[~real].any()


def test_equal_teacher_and_student_lose_nothing() -> None:
    """A student that computes what its teacher computes has the loss 0 and the gradient 0, at every
    temperature.
    """
    states, scores, logits = draws(0, 2, 6, 8), draws(1, 2, 2, 6, 6), draws(2, 2, 6, scale=20.0)
    allowed, mask = allowed_of([6, 3]), mask_of([6, 3])
    assert float(hidden_loss(states, states, mask)) == 0.0
    assert float(attention_loss(scores, scores, mask)) == 0.0
    assert not gradient(lambda x: hidden_loss(x, states, mask), states).any()
    for temperature in (0.5, 1.0, 4.0):
        shifted = logits + 3.0  # a softmax knows no level
        assert float(prediction_loss(logits, logits, logits, logits, allowed, temperature)) == 0.0
        loss = prediction_loss(shifted, shifted, logits, logits, allowed, temperature)
        assert float(loss) == pytest.approx(0.0, abs=1e-4)


def test_temperature_keeps_the_size_of_gradients() -> None:
    """With τ² before it the gradient hardly depends on a high temperature: the factor is neither forgotten
    nor doubled.
    """
    allowed = allowed_of([6, 6])
    student, teacher = draws(0, 2, 6, scale=0.1), draws(1, 2, 6, scale=0.1)
    sizes = [
        float(gradient(lambda x, t=t: prediction_loss(x, x, teacher, teacher, allowed, t), student).norm())  # type: ignore[misc]
        for t in (10.0, 40.0)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_extreme_logits_stay_finite() -> None:
    """Logits at the edge of what half precision stores give a finite loss and finite gradients."""
    allowed = allowed_of([5, 3])
    teacher = draws(0, 2, 5).sign() * 6e4
    student = -teacher
    for temperature in (0.25, 1.0):
        loss = prediction_loss(student, student, teacher, teacher, allowed, temperature)
        found = gradient(
            lambda x, t=temperature: prediction_loss(x, x, teacher, teacher, allowed, t), student
        )  # type: ignore[misc]
        assert loss.isfinite()
        assert found.isfinite().all()


def test_relations_teach_the_student_only() -> None:
    """No gradient flows to the teacher's queries, keys and values, and steps along the student's bring the
    two nearer.
    """
    student, teacher = draws(1, 2, 5, 6).requires_grad_(), draws(2, 2, 5, 12).requires_grad_()
    mask = mask_of([5, 3])
    loss = relation_loss(student, teacher, mask, 3)
    loss.backward()  # type: ignore[no-untyped-call]
    assert teacher.grad is None
    assert student.grad is not None
    assert not student.grad[1, 3:].any()
    double = student.detach().double().requires_grad_()
    plain = torch.zeros(())
    for b, n in enumerate((5, 3)):
        split = [x[b, :n].view(n, 3, -1).transpose(0, 1) for x in (double, teacher.detach().double())]
        q, p = ((x @ x.transpose(1, 2) / x.shape[-1] ** 0.5).softmax(-1) for x in split)
        plain = plain + (p * (p / q).log()).sum() / 3
    (expected,) = torch.autograd.grad(plain, double)
    torch.testing.assert_close(student.grad.double(), expected, rtol=1e-4, atol=1e-6)
    nearer = student.detach() - 0.1 * student.grad
    assert relation_loss(nearer, teacher, mask, 3) < loss.detach()


def test_teacher_gets_no_gradient() -> None:
    """No loss sends a gradient to the teacher, also where it is computed with gradients on."""
    student = draws(0, 2, 4, 8).requires_grad_()
    teacher = draws(1, 2, 4, 8).requires_grad_()
    squared_differences(student, teacher, None).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert teacher.grad is None


def test_bf16_differences_are_added_up_in_fp32() -> None:
    """Sums of bf16 differences do not stall at 256 times their terms, as they would in bf16 itself."""
    student = torch.ones(1, 64, 64, dtype=torch.bfloat16)
    teacher = torch.zeros(1, 64, 64)
    loss = squared_differences(student, teacher, None)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(4096.0, rel=1e-5)
    found = gradient(lambda x: squared_differences(x, teacher, None) / 4096, student)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, torch.full_like(found, 2 / 4096))


@given(lengths_of_windows, seeds)
@settings(deadline=None, max_examples=20)
def test_parts_add_up_to_the_whole(lengths: list[int], seed: int) -> None:
    """The loss of a batch is the sum of the losses of its windows, each with no more padding than it
    needs.
    """
    longest = max(lengths)
    student, teacher = draws(seed, len(lengths), longest, 4), draws(seed + 1, len(lengths), longest, 4)
    whole = hidden_loss(student, teacher, mask_of(lengths))
    parts = [hidden_loss(student[b : b + 1, :n], teacher[b : b + 1, :n], None) for b, n in enumerate(lengths)]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-5)
    allowed = allowed_of(lengths)
    s, t = draws(seed, *allowed.shape), draws(seed + 1, *allowed.shape)
    whole = prediction_loss(s, t, t, s, allowed, 2.0)
    parts = [
        prediction_loss(
            s[b : b + 1, :n],
            t[b : b + 1, :n],
            t[b : b + 1, :n],
            s[b : b + 1, :n],
            allowed[b : b + 1, :n],
            2.0,
        )
        for b, n in enumerate(lengths)
    ]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-4, abs=1e-5)
