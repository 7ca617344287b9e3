"""`distil.objectives`: the terms of each stage's loss, their values, their weights and where their gradients
go.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tiny_batches import batch, label_windows, model, network, store
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.features import FeatureStore
from tinyreader.distil.losses import label_loss, prediction_loss, relation_loss
from tinyreader.distil.network import Batch, Network
from tinyreader.distil.objectives import (
    Compared,
    Intermediate,
    Labels,
    Objective,
    Prediction,
    Relations,
    Totals,
)
from tinyreader.distil.teacher_cache import TeacherLabels
from tinyreader.errors import SettingsError

LENGTHS = [13, 6, 9]


def student_of(teacher: Network, n_layers: int = 2, **changes: int) -> Network:
    """A random student with dropout off, beside the teacher."""
    assert teacher.random is None
    return network(model("bert", n_layers=n_layers, seed=3, **changes), "fp32", StepRandom(), dropout=0.0)


def totals_of(on: Batch) -> Totals:
    """The counts of a step that is this one batch."""
    return Totals.of(on.lengths.tolist())


def values(objective: Objective, on: Batch, totals: Totals | None = None) -> dict[str, float]:
    """Each term's value as a number."""
    terms = objective.terms(on, totals or totals_of(on))
    return {name: float(term.value.detach()) for name, term in terms.items()}


def gradients(
    objective: Objective, student: Network, on: Batch, totals: Totals | None = None
) -> dict[str, Tensor]:
    """The gradient of the weighted sum of the terms by parameter."""
    student.model.zero_grad()
    terms = objective.terms(on, totals or totals_of(on)).values()
    torch.stack([t.weight * t.value for t in terms]).sum().backward()  # type: ignore[no-untyped-call]
    return {n: p.grad.clone() for n, p in student.model.named_parameters() if p.grad is not None}


def select(on: Batch, rows: slice, longest: int) -> Batch:
    """Some windows of a batch, cut or padded to `longest`."""
    parts = {}
    for name in ("input_ids", "segment_ids", "mask", "allowed"):
        part = getattr(on, name)[rows, :longest]
        parts[name] = torch.nn.functional.pad(part, (0, longest - part.shape[1]))
    few = {name: getattr(on, name)[rows] for name in ("start", "end", "rows", "lengths")}
    return replace(on, **parts, **few, padded=bool((few["lengths"] != longest).any()))


@pytest.fixture
def teacher() -> Network:
    """A random BERT of four layers."""
    return network(model("bert", n_layers=4, seed=1))


@pytest.fixture
def windows(tmp_path: Path) -> FeatureStore:
    """A few windows on disk."""
    return store(tmp_path / "store", LENGTHS)


@pytest.fixture
def labels(teacher: Network, windows: FeatureStore, tmp_path: Path) -> TeacherLabels:
    """The teacher's outputs for them."""
    rows = torch.arange(len(windows)).numpy()
    return label_windows(teacher, windows, rows, tmp_path / "labels")


def test_totals_count_what_is_real() -> None:
    """A step's totals are its windows, their tokens and their pairs of tokens."""
    assert Totals.of([3, 5]) == Totals(windows=2, tokens=8, pairs=34)


@pytest.mark.parametrize("kind", ["scores", "probabilities"])
def test_intermediate_terms_are_means_over_what_is_real(teacher: Network, kind: str) -> None:
    """Each term is the mean over the step's real tokens or pairs, between student layer m and teacher layer
    g(m).
    """
    student, on = student_of(teacher), batch(LENGTHS)
    objective = Intermediate(student, teacher, Compared([1, 4], attention=kind))  # type: ignore[arg-type]
    found = values(objective, on)
    assert list(found) == ["hidden.1", "hidden.2", "embedding", "attention.1", "attention.2"]
    with torch.no_grad():
        ours = student.forward(on, hidden=[0, 1, 2], attention=[1, 2], kind=kind)  # type: ignore[arg-type]
        theirs = teacher.forward(on, hidden=[0, 1, 4], attention=[1, 4], kind=kind)  # type: ignore[arg-type]
    real = on.mask.bool()
    pairs = (real[:, :, None] & real[:, None, :])[:, None].expand(-1, 4, -1, -1)
    for name, m, g in (("embedding", 0, 0), ("hidden.1", 1, 1), ("hidden.2", 2, 4)):
        expected = (ours.hidden[m].double() - theirs.hidden[g].double())[real].square().mean()
        assert found[name] == pytest.approx(float(expected), rel=1e-5)
    for name, m, g in (("attention.1", 1, 1), ("attention.2", 2, 4)):
        expected = (ours.attention[m].double() - theirs.attention[g].double())[pairs].square().mean()
        assert found[name] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_copy_of_the_teacher_has_nothing_to_learn(precision: str) -> None:
    """A student that is its teacher has every term, and every gradient, exactly 0, with padding and
    without.
    """
    reader = model("bert", n_layers=2)
    teacher = network(copy.deepcopy(reader), precision)  # type: ignore[arg-type]
    student = network(reader, precision, StepRandom(), dropout=0.0)  # type: ignore[arg-type]
    objective = Intermediate(student, teacher, Compared([1, 2]))
    for lengths in (LENGTHS, [8, 8]):
        assert set(values(objective, batch(lengths)).values()) == {0.0}
        assert not any(g.any() for g in gradients(objective, student, batch(lengths)).values())


def test_weights_and_choices_decide_the_terms(teacher: Network) -> None:
    """A term has the weight of its kind; a kind with weight 0, and attention "none", is not computed at
    all.
    """
    student, on = student_of(teacher), batch(LENGTHS)
    objective = Intermediate(
        student, teacher, Compared([2, 4], embedding_weight=0.5, hidden_weight=2.0, attention_weight=3.0)
    )
    weights = {name: term.weight for name, term in objective.terms(on, totals_of(on)).items()}
    assert weights == {
        "embedding": 0.5,
        "hidden.1": 2.0,
        "hidden.2": 2.0,
        "attention.1": 3.0,
        "attention.2": 3.0,
    }
    for options, expected in (
        ({"embedding_weight": 0.0, "attention": "none"}, ["hidden.1", "hidden.2"]),
        ({"hidden_weight": 0.0, "attention_weight": 0.0}, ["embedding"]),
        ({"hidden_weight": 0.0, "embedding_weight": 0.0}, ["attention.1", "attention.2"]),
    ):
        assert list(values(Intermediate(student, teacher, Compared([2, 4], **options)), on)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["scores", "probabilities"])
def test_intermediate_padding_changes_nothing(teacher: Network, kind: str) -> None:
    """More padding, and other ids at the padding, leave every term and every gradient what they were."""
    student, on = student_of(teacher), batch(LENGTHS)
    objective = Intermediate(student, teacher, Compared([2, 4], attention=kind))  # type: ignore[arg-type]
    expected, slopes = values(objective, on), gradients(objective, student, on)
    wider = select(on, slice(None), 40)
    strange = replace(wider, input_ids=wider.input_ids.masked_fill(wider.mask == 0, 17))
    for other in (wider, strange):
        assert values(objective, other) == pytest.approx(expected, rel=1e-5)
        for name, gradient in gradients(objective, student, other).items():
            torch.testing.assert_close(gradient, slopes[name], atol=1e-6, rtol=1e-4)


def test_parts_of_a_step_add_up(teacher: Network, windows: FeatureStore, labels: TeacherLabels) -> None:
    """For every kind of stage the terms of a step's parts, each padded for itself, sum up to the step's;
    gradients too.
    """
    student = student_of(teacher)
    on = windows.batch(torch.arange(3).numpy(), 0)
    parts = [select(on, slice(n, n + 1), LENGTHS[n]) for n in range(3)]
    objectives: list[Objective] = [
        Intermediate(student, teacher, Compared([2, 4])),
        Intermediate(student, teacher, Compared([2, 4], relations=Relations(layer=3, heads=2))),
        Prediction(student, labels, temperature=2.0, weight=0.3),
        Labels(student),
    ]
    for objective in objectives:
        whole, slopes = values(objective, on), gradients(objective, student, on)
        each = [values(objective, part, totals_of(on)) for part in parts]
        assert {n: sum(e[n] for e in each) for n in whole} == pytest.approx(whole, rel=1e-5)
        pieces = [gradients(objective, student, part, totals_of(on)) for part in parts]
        for name, gradient in slopes.items():
            torch.testing.assert_close(sum(p[name] for p in pieces), gradient, atol=1e-6, rtol=1e-4)


def test_only_the_student_learns(teacher: Network) -> None:
    """No gradient reaches the teacher; under the intermediate loss none reaches the student's answer head."""
    student = student_of(teacher)
    found = gradients(Intermediate(student, teacher, Compared([2, 4])), student, batch(LENGTHS))
    assert all(p.grad is None for p in teacher.model.parameters())
    assert {n for n, _ in student.model.named_parameters()} - found.keys() == {
        "qa_outputs.weight",
        "qa_outputs.bias",
    }


def test_narrow_students_get_learned_projections(teacher: Network) -> None:
    """Where widths differ each layer and the embedding has a projection, which is compared, trained, named
    and seeded.
    """
    student, on = student_of(teacher, hidden_size=16, num_attention_heads=4), batch(LENGTHS)
    objective = Intermediate(student, teacher, Compared([2, 4]), seed=5)
    learned = objective.learned()
    assert {n: tuple(p.shape) for n, p in learned.items()} == {
        f"projection.{m}.weight": (32, 16) for m in (0, 1, 2)
    }
    found = values(objective, on)
    with torch.no_grad():
        ours, theirs = student.forward(on, hidden=[2]), teacher.forward(on, hidden=[4])
        projected = ours.hidden[2] @ learned["projection.2.weight"].T
    expected = (projected - theirs.hidden[4])[on.mask.bool()].square().mean()
    assert found["hidden.2"] == pytest.approx(float(expected), rel=1e-5)
    gradients(objective, student, on)
    assert all(p.grad is not None and p.grad.any() for p in learned.values())
    again = Intermediate(student, teacher, Compared([2, 4]), seed=5).learned()
    other = Intermediate(student, teacher, Compared([2, 4]), seed=6).learned()
    assert all(torch.equal(again[n], p) and not torch.equal(other[n], p) for n, p in learned.items())
    assert Intermediate(student_of(teacher), teacher, Compared([2, 4])).learned() == {}


def test_drawing_projections_leaves_other_random_numbers_alone(teacher: Network) -> None:
    """Torch's global generator stands where it stood, so that a projection does not change what is drawn
    elsewhere.
    """
    student = student_of(teacher, hidden_size=16)
    before = torch.get_rng_state()
    Intermediate(student, teacher, Compared([2, 4]), seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_bf16_students_are_compared_with_bf16_teachers(teacher: Network) -> None:
    """Under bf16 terms are fp32, near those of fp32, also through projections, and gradients are finite."""
    on = batch(LENGTHS)
    wide = network(copy.deepcopy(teacher.model), "bf16")
    for changes in ({}, {"hidden_size": 16}):
        exact = values(Intermediate(student_of(teacher, **changes), teacher, Compared([2, 4])), on)
        reader = model("bert", n_layers=2, seed=3, **changes)
        student = network(reader, "bf16", StepRandom(), dropout=0.0)
        objective = Intermediate(student, wide, Compared([2, 4]))
        assert all(t.value.dtype == torch.float32 for t in objective.terms(on, totals_of(on)).values())
        assert values(objective, on) == pytest.approx(exact, rel=0.03)
        assert all(g.isfinite().all() for g in gradients(objective, student, on).values())


def test_attention_that_cannot_be_compared_is_refused(teacher: Network) -> None:
    """Unequal numbers of heads, and models that hide their attention, are errors that name the way out."""
    with pytest.raises(SettingsError, match=r"teacher has 4 heads and the student 2.*-4h"):
        Intermediate(student_of(teacher, num_attention_heads=2), teacher, Compared([2, 4]))
    closed = network(model("mpnet", n_layers=4))
    with pytest.raises(SettingsError, match=r'attention of the teacher, a mpnet model.*attention = "none"'):
        Intermediate(student_of(teacher), closed, Compared([2, 4]))
    few_heads = student_of(teacher, num_attention_heads=2)
    assert "hidden.2" in values(
        Intermediate(few_heads, teacher, Compared([2, 4], attention="none")), batch(LENGTHS)
    )


def test_relations_are_those_of_the_last_layer_with_the_one_named(teacher: Network) -> None:
    """One term for queries, keys and values each, for any widths and numbers of heads, without
    projections.
    """
    student, on = student_of(teacher, hidden_size=24, num_attention_heads=2), batch(LENGTHS)
    alone: dict[str, Any] = {"hidden_weight": 0.0, "embedding_weight": 0.0, "attention": "none"}
    objective = Intermediate(
        student, teacher, Compared([2, 4], relations=Relations(3, heads=8, weight=0.5), **alone)
    )
    terms = objective.terms(on, totals_of(on))
    assert {name: term.weight for name, term in terms.items()} == dict.fromkeys(
        ("relation.query", "relation.key", "relation.value"), 0.5
    )
    assert objective.learned() == {}
    with torch.no_grad():
        ours, theirs = (
            student.forward(on, vectors=[2]).vectors[2],
            teacher.forward(on, vectors=[3]).vectors[3],
        )
    for term, one, other in zip(terms.values(), ours, theirs, strict=True):
        expected = relation_loss(one, other, on.mask, 8) / sum(LENGTHS)
        assert float(term.value.detach()) == pytest.approx(float(expected), rel=1e-6)
    slopes = gradients(objective, student, on)
    assert all(
        slopes[f"bert.encoder.layer.1.attention.self.{part}.weight"].any()
        for part in ("query", "key", "value")
    )


def test_a_copy_of_the_teacher_has_no_relations_to_learn() -> None:
    """Every term is exactly 0, with padding and without, beside hidden states too."""
    reader = model("mpnet", n_layers=2)
    student = network(copy.deepcopy(reader), "fp32", StepRandom(), dropout=0.0)
    objective = Intermediate(
        student, network(reader), Compared([1, 2], attention="none", relations=Relations(2, heads=4))
    )
    for lengths in (LENGTHS, [8, 8]):
        found = values(objective, batch(lengths, pad_id=1))
        assert len(found) == 6
        assert set(found.values()) == {0.0}


def test_relations_that_cannot_be_compared_are_refused(teacher: Network) -> None:
    """Heads that do not divide a width, a layer that is not there, and models without parts for each, name
    the way out.
    """
    student = student_of(teacher)
    for relations, said in (
        (Relations(4, heads=5), "relation_heads = 5 cannot share the teacher's width of 32 evenly"),
        (Relations(5, heads=4), "relation_layer = 5, but the teacher has layers 1 to 4"),
    ):
        with pytest.raises(SettingsError, match=said):
            Intermediate(student, teacher, Compared([2, 4], relations=relations))
    narrow = student_of(teacher, hidden_size=24)
    with pytest.raises(SettingsError, match="relation_heads = 16 cannot share the student's width of 24"):
        Intermediate(narrow, teacher, Compared([2, 4], attention="none", relations=Relations(4, heads=16)))
    fused = network(model("modernbert", n_layers=4))
    with pytest.raises(SettingsError, match=r"in the teacher, a modernbert model.*Take relation_weight out"):
        Intermediate(student, fused, Compared([2, 4], relations=Relations(4, heads=4)))


def test_prediction_terms_mix_teacher_and_labels(
    teacher: Network, windows: FeatureStore, labels: TeacherLabels
) -> None:
    """The terms are the divergence from the stored teacher at the temperature and the label loss, weighted w
    and 1 - w.
    """
    student = student_of(teacher)
    on = windows.batch(torch.tensor([2, 0]).numpy(), 0)
    objective = Prediction(student, labels, temperature=3.0, weight=0.25)
    terms, found = objective.terms(on, totals_of(on)), values(objective, on)
    assert {n: t.weight for n, t in terms.items()} == {"prediction": 0.25, "labels": 0.75}
    with torch.no_grad():
        ours, theirs = student.forward(on), teacher.forward(on)
    distance = prediction_loss(
        ours.start_logits, ours.end_logits, theirs.start_logits, theirs.end_logits, on.allowed, 3.0
    )
    assert found["prediction"] == pytest.approx(float(distance) / 2, rel=1e-2)  # stored in half precision
    expected = label_loss(ours.start_logits, ours.end_logits, on.start, on.end, on.allowed) / 2
    assert found["labels"] == pytest.approx(float(expected), rel=1e-6)
    assert values(Labels(student), on) == {"labels": pytest.approx(float(expected), rel=1e-6)}
    assert list(values(Prediction(student, labels, temperature=1.0, weight=1.0), on)) == ["prediction"]


def test_prediction_padding_changes_nothing(
    teacher: Network, windows: FeatureStore, labels: TeacherLabels
) -> None:
    """More padding leaves the prediction and label terms and their gradients what they were."""
    student = student_of(teacher)
    on = windows.batch(torch.arange(3).numpy(), 0)
    for objective in (Prediction(student, labels, temperature=2.0, weight=0.5), Labels(student)):
        expected, slopes = values(objective, on), gradients(objective, student, on)
        wider = select(on, slice(None), 30)
        assert values(objective, wider) == pytest.approx(expected, rel=1e-5)
        for name, gradient in gradients(objective, student, wider).items():
            torch.testing.assert_close(gradient, slopes[name], atol=1e-6, rtol=1e-4)
