"""`distil.cross_tokenizer`: a teacher's states and attention, brought to the tokens of a student with another
tokenizer.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from test_pairs import store_of
from tiny_batches import model, network
from tinyreader.distil.alignment import overlaps
from tinyreader.distil.attention import AttentionKind
from tinyreader.distil.cross_tokenizer import CrossTokenizer
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.network import Network
from tinyreader.distil.objectives import Compared, Intermediate, Relations, Totals
from tinyreader.distil.pairs import PairStore

SIZES = {"vocab_size": 420, "max_position_embeddings": 300}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PairStore:
    """Windows of a BERT student, and those of a RoBERTa teacher on the same text."""
    return store_of(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def teacher() -> Network:
    """A random RoBERTa of four layers."""
    return network(model("roberta", n_layers=4, seed=1, **SIZES))


def taught(
    pairs: PairStore, teacher: Network, kind: AttentionKind
) -> tuple[dict[int, Tensor], dict[int, Tensor], Tensor]:
    """States and attention of layers 0 and 2, and the mask, for all windows in one batch."""
    batch = pairs.student.batch(torch.arange(len(pairs.student)).numpy(), 0)
    out, mask = CrossTokenizer(pairs, 1).teach(teacher, batch, {0, 2}, {2}, kind)
    return out.hidden, out.attention, mask


def alone(pairs: PairStore, teacher: Network, row: int, kind: AttentionKind) -> tuple[Tensor, Tensor]:
    """What the teacher computes for one of its windows by itself: states and attention of layer 2."""
    batch = pairs.windows.batch(pairs.pieces(row), 1)
    with torch.no_grad():
        out = teacher.forward(batch, hidden=[2], attention=[2], kind=kind)
    n = int(batch.lengths[0])
    return out.hidden[2][0, :n], out.attention[2][0, :, :n, :n]


@pytest.mark.parametrize("kind", ["scores", "probabilities"])
def test_each_token_gets_the_mean_of_what_stands_on_its_characters(
    pairs: PairStore, teacher: Network, kind: AttentionKind
) -> None:
    """Token by token, as the definition says, for hidden states and both kinds of attention."""
    hidden, attention, mask = taught(pairs, teacher, kind)
    for row in range(len(pairs.student)):
        states, seen = alone(pairs, teacher, row, kind)
        student, own = pairs.student_places(row), pairs.teacher_places(int(pairs.pieces(row)[0]))
        shared = torch.from_numpy(overlaps(student.line, own.line)).double()
        compared = shared.sum(1) > 0
        n = len(student)
        assert mask[row, :n].bool().tolist() == compared.tolist()
        assert not mask[row, n:].any()
        for token in compared.nonzero()[:, 0].tolist():
            weights = shared[token] / shared[token].sum()
            expected = sum(w * state for w, state in zip(weights, states.double(), strict=True))
            torch.testing.assert_close(hidden[2][row, token].double(), expected, rtol=1e-4, atol=1e-5)
            for other in compared.nonzero()[:, 0].tolist()[::5]:
                given = shared[other] / (
                    shared[other].sum() if kind == "scores" else shared.sum(0).clamp_min(1)
                )
                value = torch.einsum("i,hij,j->h", weights, seen.double(), given)
                if kind == "probabilities":
                    value /= torch.einsum("i,hij,j->h", weights, seen.double(), (shared.sum(0) > 0).double())
                torch.testing.assert_close(
                    attention[2][row, :, token, other].double(), value, rtol=1e-4, atol=1e-4
                )


def test_probabilities_of_attention_still_sum_to_one(pairs: PairStore, teacher: Network) -> None:
    """Over the student's tokens, for each that is compared."""
    _, attention, mask = taught(pairs, teacher, "probabilities")
    sums = attention[2].sum(-1)
    real = mask.bool()[:, None].expand_as(sums)
    assert sums[real] == pytest.approx(torch.ones(int(real.sum())).numpy(), abs=1e-5)


def test_special_tokens_meet_special_tokens(pairs: PairStore, teacher: Network) -> None:
    """The null position gets the teacher's null state as it is, the separator the mean of the teacher's
    two.
    """
    hidden, _, _ = taught(pairs, teacher, "scores")
    states, _ = alone(pairs, teacher, 0, "scores")
    student, own = pairs.student_places(0), pairs.teacher_places(int(pairs.pieces(0)[0]))
    torch.testing.assert_close(hidden[2][0, 0], states[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        hidden[2][0, student.first - 1], states[own.first - 2 : own.first].mean(0), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(hidden[2][0, len(student) - 1], states[len(own) - 1], rtol=1e-4, atol=1e-5)


def test_queries_keys_and_values_are_brought_over_as_states_are(pairs: PairStore, teacher: Network) -> None:
    """Each is the mean of those of the teacher's tokens on the same characters: a linear map of states that
    were.
    """
    batch = pairs.student.batch(torch.arange(len(pairs.student)).numpy(), 0)
    out, mask = CrossTokenizer(pairs, 1).teach(teacher, batch, {2}, set(), "none", {3})
    own = teacher.layers[2].attention.self
    real = mask.bool()
    for found, part in zip(out.vectors[3], (own.query, own.key, own.value), strict=True):
        torch.testing.assert_close(found[real], part(out.hidden[2])[real], rtol=1e-4, atol=1e-5)


def test_an_intermediate_stage_learns_across_tokenizers(pairs: PairStore, teacher: Network) -> None:
    """Terms fall under a few steps of descent, and those of windows one by one add up to those of the
    batch.
    """
    student = network(model("bert", n_layers=2, seed=3, **SIZES), "fp32", StepRandom(), dropout=0.0)
    compared = Compared([2, 4], relations=Relations(3, heads=2))
    objective = Intermediate(student, teacher, compared, cross_tokenizer=CrossTokenizer(pairs, 1))
    rows = torch.arange(len(pairs.student)).numpy()
    totals = Totals.of(pairs.student.lengths.tolist())
    optimiser = torch.optim.Adam(student.model.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        terms = objective.terms(pairs.student.batch(rows, 0), totals)
        relations = ["relation.query", "relation.key", "relation.value"]
        assert list(terms) == ["hidden.1", "hidden.2", "embedding", "attention.1", "attention.2", *relations]
        loss = torch.stack([term.value for term in terms.values()]).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[1] < losses[0]
    parts = [objective.terms(pairs.student.batch(rows[i : i + 1], 0), totals) for i in range(len(rows))]
    whole = objective.terms(pairs.student.batch(rows, 0), totals)
    for name, term in whole.items():
        assert sum(float(part[name].value.detach()) for part in parts) == pytest.approx(
            float(term.value.detach()), rel=1e-4
        )
