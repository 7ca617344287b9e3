"""What a stage minimises: terms of a loss, each logged by itself, computed from a batch of windows.

A term's value is its share of the whole optimiser step (its sum divided by the step's count), so the values
of the parts a step is computed in add up to the step's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tinyreader.distil.attention import AttentionKind, can_show_attention
from tinyreader.distil.cross_tokenizer import CrossTokenizer
from tinyreader.distil.losses import attention_loss, hidden_loss, label_loss, prediction_loss, relation_loss
from tinyreader.distil.network import Batch, Network, Outputs, Vectors
from tinyreader.distil.teacher_cache import SpanLabels
from tinyreader.errors import SettingsError
from tinyreader.models import attention_vectors, encoder_layers


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over a whole optimiser step, all its parts and processes: windows, real tokens, pairs of real
    tokens.
    """

    windows: int
    tokens: int
    pairs: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Totals:
        """The counts of windows of these lengths."""
        return cls(len(lengths), sum(lengths), sum(n * n for n in lengths))


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a loss: its share of the step's mean, fp32 scalar, and its weight in the sum."""

    value: Tensor
    weight: float


@dataclass(frozen=True, slots=True)
class Relations:
    """Which relations are learned: of the teacher's layer (from 1), over `heads` heads, each kind with this
    weight.
    """

    layer: int
    heads: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What of the layers is compared: embeddings, hidden states and attention with their weights, 0 for not
    computed at all.

    `layer_map[m - 1]` is the teacher's layer that student layer m learns from; both count from 1. `relations`
    have a weight of their own; with None there are none.
    """

    layer_map: Sequence[int]
    _: KW_ONLY
    embedding_weight: float = 1.0
    hidden_weight: float = 1.0
    attention_weight: float = 1.0
    attention: AttentionKind = "scores"
    relations: Relations | None = None

    @property
    def attention_kind(self) -> AttentionKind:
        """The kind of attention that is compared: "none" where its weight is 0, whatever kind is named."""
        return self.attention if self.attention_weight > 0 else "none"


class Objective(Protocol):
    """Something a student can be trained to minimise."""

    def terms(self, batch: Batch, totals: Totals) -> dict[str, Term]:
        """The named terms of the loss on `batch`, a part of a step with these totals."""
        ...

    def learned(self) -> dict[str, nn.Parameter]:
        """Parameters of the objective's own that are trained with the student's."""
        ...


class Labels:
    """Gold answers alone: what `finetune` does."""

    def __init__(self, student: Network) -> None:
        self.student = student

    def learned(self) -> dict[str, nn.Parameter]:
        return {}

    def terms(self, batch: Batch, totals: Totals) -> dict[str, Term]:
        out = self.student.forward(batch)
        loss = label_loss(out.start_logits, out.end_logits, batch.start, batch.end, batch.allowed)
        return {"labels": Term(loss / totals.windows, 1.0)}


class Prediction:
    """The teacher's span distributions, by choice mixed with gold answers: w·distillation + (1-w)·labels."""

    def __init__(self, student: Network, teacher: SpanLabels, *, temperature: float, weight: float) -> None:
        self.student = student
        self.teacher = teacher
        self.temperature = temperature
        self.weight = weight

    def learned(self) -> dict[str, nn.Parameter]:
        return {}

    def terms(self, batch: Batch, totals: Totals) -> dict[str, Term]:
        out = self.student.forward(batch)
        start, end = self.teacher.logits(batch)
        distance = prediction_loss(
            out.start_logits, out.end_logits, start, end, batch.allowed, self.temperature
        )
        terms = {"prediction": Term(distance / totals.windows, self.weight)}
        if self.weight < 1.0:
            labels = label_loss(out.start_logits, out.end_logits, batch.start, batch.end, batch.allowed)
            terms["labels"] = Term(labels / totals.windows, 1.0 - self.weight)
        return terms


class Intermediate:
    """The teacher's embeddings, hidden states and attention, layer by layer (TinyBERT, arXiv 1909.10351), and
    relations.

    `compared` names the layers, the kinds of terms and their weights. Where widths differ each layer, and the
    embedding, has a learned projection of the student's states (equation 8), trained and saved with the run.
    Relations are those of the student's last layer with one of the teacher's (MiniLMv2, arXiv 2012.15828);
    they need no projections. With a `cross_tokenizer` the teacher has another tokenizer, reads windows of its own,
    and what it computed is brought to the student's tokens.
    """

    def __init__(
        self,
        student: Network,
        teacher: Network,
        compared: Compared,
        *,
        seed: int = 0,
        cross_tokenizer: CrossTokenizer | None = None,
    ) -> None:
        self.student, self.teacher, self.cross_tokenizer = student, teacher, cross_tokenizer
        self.map = dict(enumerate(compared.layer_map, start=1))
        self.attention, self.relations = compared.attention_kind, compared.relations
        self.weights = {
            "hidden": compared.hidden_weight,
            "attention": compared.attention_weight,
            "embedding": compared.embedding_weight,
        }
        if self.attention != "none":
            check_attention(student.model, teacher.model, self.attention)
        if self.relations is not None:
            check_relations(student.model, teacher.model, self.relations)
        self.projections = self._make_projections(seed)

    def learned(self) -> dict[str, nn.Parameter]:
        return {f"projection.{name}": p for name, p in self.projections.named_parameters()}

    def terms(self, batch: Batch, totals: Totals) -> dict[str, Term]:
        states = dict(self.map) if self.weights["hidden"] > 0 else {}
        if self.weights["embedding"] > 0:
            states[0] = 0
        pairs = self.map if self.attention != "none" else {}
        related = {} if self.relations is None else {self.student.n_layers: self.relations.layer}
        taught, mask = self._teach(batch, set(states.values()), set(pairs.values()), set(related.values()))
        out = self.student.forward(
            batch, hidden=states, attention=pairs, kind=self.attention, vectors=related
        )
        terms = {}
        for m, g in states.items():
            kind = "hidden" if m else "embedding"
            loss = hidden_loss(self._project(m, out.hidden[m]), taught.hidden[g], mask)
            terms[f"hidden.{m}" if m else kind] = Term(loss / totals.tokens, self.weights[kind])
        for m, g in pairs.items():
            loss = attention_loss(out.attention[m], taught.attention[g], mask)
            terms[f"attention.{m}"] = Term(loss / totals.pairs, self.weights["attention"])
        for m, g in related.items():
            terms |= self._relation_terms(out.vectors[m], taught.vectors[g], mask, totals)
        return terms

    def _relation_terms(
        self, ours: Vectors, theirs: Vectors, mask: Tensor | None, totals: Totals
    ) -> dict[str, Term]:
        assert self.relations is not None
        heads, weight = self.relations.heads, self.relations.weight
        return {
            f"relation.{name}": Term(relation_loss(one, other, mask, heads) / totals.tokens, weight)
            for name, one, other in zip(("query", "key", "value"), ours, theirs, strict=True)
        }

    @torch.no_grad()
    def _teach(
        self, batch: Batch, hidden: set[int], attention: set[int], vectors: set[int]
    ) -> tuple[Outputs, Tensor | None]:
        """What the teacher computed, on the student's tokens, and the mask [B, L] of those to compare; None
        for all.
        """
        if self.cross_tokenizer is None:
            taught = self.teacher.forward(
                batch, hidden=hidden, attention=attention, kind=self.attention, vectors=vectors
            )
            return taught, batch.mask if batch.padded else None
        return self.cross_tokenizer.teach(self.teacher, batch, hidden, attention, self.attention, vectors)

    def _project(self, layer: int, states: Tensor) -> Tensor:
        name = str(layer)
        if name not in self.projections:
            return states
        projected: Tensor = self.projections[name](states.float())
        return projected

    def _make_projections(self, seed: int) -> nn.ModuleDict:
        if self.student.width == self.teacher.width or not (
            self.weights["hidden"] or self.weights["embedding"]
        ):
            return nn.ModuleDict()
        generator = torch.Generator().manual_seed(seed)
        projections = {}
        for layer in [0, *self.map]:
            linear = nn.Linear(self.student.width, self.teacher.width, bias=False, device="meta").to_empty(
                device="cpu"
            )
            with torch.no_grad():
                linear.weight.normal_(0.0, self.student.width**-0.5, generator=generator)
            projections[str(layer)] = linear
        return nn.ModuleDict(projections).to(next(self.student.model.parameters()).device)


def check_relations(student: Any, teacher: Any, relations: Relations) -> None:
    """Raises `SettingsError` where the relations of one model cannot be compared with those of the other."""
    n_layers = len(encoder_layers(teacher))
    if relations.layer > n_layers:
        raise SettingsError(f"relation_layer = {relations.layer}, but the teacher has layers 1 to {n_layers}")
    for who, model in (("teacher", teacher), ("student", student)):
        makers = attention_vectors(encoder_layers(model)[-1])
        if makers is None:
            raise SettingsError(
                f"relation_weight: in the {who}, a {model.config.model_type} model, no part of its own was "
                "found for each of "
                "queries, keys and values, so their relations cannot be compared. Take relation_weight out "
                "of this stage."
            )
        if uneven := [maker.out_features for maker in makers if maker.out_features % relations.heads]:
            raise SettingsError(
                f"relation_heads = {relations.heads} cannot share the {who}'s width of {uneven[0]} evenly: "
                "choose a number "
                "that divides the widths of both"
            )


def check_attention(student: Any, teacher: Any, kind: AttentionKind) -> None:
    """Raises `SettingsError` where the attention of one model cannot be compared with that of the other."""
    for who, model in (("teacher", teacher), ("student", student)):
        if not can_show_attention(model):
            raise SettingsError(
                f"attention = {kind!r}: the attention of the {who}, a {model.config.model_type} model, "
                "cannot be "
                'observed. Set attention = "none" in this stage; hidden states can still be learned from.'
            )
    ours, theirs = student.config.num_attention_heads, teacher.config.num_attention_heads
    if ours != theirs:
        raise SettingsError(
            f"attention = {kind!r} compares head with head, but the teacher has {theirs} heads and the "
            f"student {ours}. "
            f"Give the student as many heads (shape = '...-{theirs}h') or set attention = \"none\"."
        )
