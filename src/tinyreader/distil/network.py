"""`Network`: a Transformers reader made ready to teach or to learn, at one precision, with its inside
observable.

Under bf16 all weights between the embeddings and the question-answering head are bf16; these two stay in
fp32, where sums over thousands of tokens (the embeddings' gradients) and small differences (the logits) need
it. A student's network keeps the weights it rounded, for the optimiser to continue from (`optimiser.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from tinyreader.distil.attention import AttentionKind, recording, use_our_attention
from tinyreader.distil.dropout import Dropout, StepRandom, replace_dropout
from tinyreader.errors import ModelError
from tinyreader.models import attention_vectors, encoder_layers, qa_head, takes_segments
from tinyreader.models.parts import Precision as Precision
from tinyreader.models.parts import best_precision as best_precision
from tinyreader.models.parts import round_to_bf16


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded windows on a device: ids, segments and mask int64 [B, L]; mask is 1 on real tokens.

    `allowed` bool [B, L] marks what a span distribution covers: the null position and the context tokens.
    `start` and `end` int64 [B] are the labels; `rows` are the windows' numbers in their feature store.
    """

    input_ids: Tensor
    segment_ids: Tensor
    mask: Tensor
    allowed: Tensor
    start: Tensor
    end: Tensor
    rows: Tensor
    lengths: Tensor
    padded: bool

    def to(self, device: torch.device) -> Batch:
        """This batch on `device`."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.type == "Tensor"}
        return replace(self, **moved)


Vectors = tuple[Tensor, Tensor, Tensor]
"""Queries, keys and values, each [B, L, width]."""


@dataclass(slots=True)
class Outputs:
    """What a forward pass gave: logits fp32 [B, L], and by layer what was asked for.

    That is hidden states [B, L, width], attention [B, heads, L, L], and queries, keys and values. Layer 0 is
    the embedding output (what the first layer takes in); layer m is the output of the m-th layer.
    """

    start_logits: Tensor
    end_logits: Tensor
    hidden: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)
    vectors: dict[int, Vectors] = field(default_factory=dict)


class Network:
    """A question-answering model with its precision, its dropout and its observation hooks set up; works in
    place.
    """

    def __init__(
        self,
        model: Any,
        *,
        precision: Precision,
        device: torch.device,
        random: StepRandom | None = None,
        embeds_dropout: float = 0.0,
        dropout: float | None = None,
    ) -> None:
        self.model = model.to(device)
        self.random = random
        self.layers = encoder_layers(model)
        self.config = model.config
        self.takes_segments = takes_segments(model)
        if random is not None:
            replace_dropout(model, random, dropout)
        self.shows_attention = use_our_attention(model, random)
        self.unrounded: dict[str, Tensor] = {}
        self._cast(precision)
        if embeds_dropout > 0.0 and random is not None:
            drop = Dropout(embeds_dropout, random)
            qa_head(model).register_forward_pre_hook(
                lambda head, args: (drop.train(head.training)(args[0]), *args[1:])
            )

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def width(self) -> int:
        return int(self.config.hidden_size)

    @property
    def n_heads(self) -> int:
        return int(self.config.num_attention_heads)

    def forward(
        self,
        batch: Batch,
        *,
        hidden: Iterable[int] = (),
        attention: Iterable[int] = (),
        kind: AttentionKind = "none",
        vectors: Iterable[int] = (),
    ) -> Outputs:
        """The logits, and hidden states, attention, and queries, keys and values of the layers asked for."""
        wanted = frozenset(attention) if kind != "none" else frozenset()
        if wanted and not self.shows_attention:
            raise ModelError(
                f"the attention of a {self.config.model_type} model cannot be observed (its code computes it "
                "apart from "
                'Transformers\' attention interface). Set attention = "none" in this stage.'
            )
        kept: dict[int, Tensor] = {}
        made: dict[int, dict[int, Tensor]] = {number: {} for number in vectors}
        with (
            self._observing(frozenset(hidden), kept, made),
            recording(kind, wanted) if wanted else nullcontext() as recorder,
        ):
            out = self.model(**self._inputs(batch))
        return Outputs(
            out.start_logits.float(),
            out.end_logits.float(),
            kept,
            recorder.kept if recorder is not None else {},
            {number: (each[0], each[1], each[2]) for number, each in made.items()},
        )

    def told_attention(self, batch: Batch) -> tuple[Tensor, ...]:
        """Attention probabilities [B, heads, L, L] of each layer as the model's own code gives them out,
        after any dropout; empty where it gives none.
        """
        told = getattr(self.model(**self._inputs(batch), output_attentions=True), "attentions", None) or ()
        return tuple(told) if len(told) == self.n_layers and all(one is not None for one in told) else ()

    def _inputs(self, batch: Batch) -> dict[str, Tensor]:
        """What the model is called with."""
        inputs = {"input_ids": batch.input_ids}
        if batch.padded or not self.shows_attention:
            inputs["attention_mask"] = batch.mask
        if self.takes_segments:
            inputs["token_type_ids"] = batch.segment_ids
        return inputs

    def _cast(self, precision: Precision) -> None:
        """Weights to the precision; embeddings and head convert what they give and take. Buffers stay as they
        are.
        """
        if precision == "fp32":
            return
        head = qa_head(self.model)
        round_to_bf16(self.model, [head], self.unrounded if self.random is not None else None)
        head.register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:]))

    @contextmanager
    def _observing(
        self, wanted: frozenset[int], kept: dict[int, Tensor], made: dict[int, dict[int, Tensor]]
    ) -> Iterator[None]:
        handles = []
        for number, layer in enumerate(self.layers, start=1):
            if number in wanted:
                handles.append(layer.register_forward_hook(_keeper(kept, number)))
        if 0 in wanted:
            handles.append(self.layers[0].register_forward_pre_hook(_first_keeper(kept)))
        for number, each in made.items():
            makers = attention_vectors(self.layers[number - 1])
            if makers is None:
                raise ModelError(
                    f"queries, keys and values of a {self.config.model_type} model cannot be observed"
                )
            handles += [
                maker.register_forward_hook(_keeper(each, place)) for place, maker in enumerate(makers)
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _keeper(kept: dict[int, Tensor], number: int) -> Any:
    def keep(_: nn.Module, __: Any, output: Any) -> None:
        # the first call counts: DeBERTa sends its table of relative positions through the same parts after
        # the tokens
        kept.setdefault(number, output[0] if isinstance(output, tuple) else output)

    return keep


def _first_keeper(kept: dict[int, Tensor]) -> Any:
    def keep(_: nn.Module, args: Any) -> None:
        kept[0] = args[0]

    return keep
