"""Our attention, registered with Transformers: eager, with cheap dropout, and able to show what it computed.

Scores before softmax are what TinyBERT learns from (arXiv 1909.10351, equation 7), and no Transformers model
returns them. Models that use Transformers' attention interface (BERT, RoBERTa, ELECTRA, DistilBERT,
ModernBERT, ...) are told to use this function; on a CPU its backward pass is also faster than the fused
kernel's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from tinyreader.distil.dropout import StepRandom, drop

NAME = "tinyreader"

AttentionKind = Literal["scores", "probabilities", "none"]


@dataclass(slots=True)
class Recorder:
    """Keeps the attention [B, heads, L, L] of the wanted layers (counted from 1) of one forward pass."""

    kind: AttentionKind
    layers: frozenset[int]
    n_calls: int = 0
    kept: dict[int, Tensor] = field(default_factory=dict)

    def record(self, kind: AttentionKind, attention: Callable[[], Tensor]) -> None:
        if kind == self.kind and self.n_calls in self.layers:
            self.kept[self.n_calls] = attention()


_recorder: ContextVar[Recorder | None] = ContextVar("attention_recorder", default=None)


@contextmanager
def recording(kind: AttentionKind, layers: frozenset[int]) -> Iterator[Recorder]:
    """A recorder that is active for the forward passes inside the `with` block."""
    recorder = Recorder(kind, layers)
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention output [B, L, heads, width] of query, key and value [B, heads, L, width], as Transformers
    asks for it.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scale) @ key.transpose(-1, -2)
    recorder = _recorder.get()
    if recorder is not None:
        recorder.n_calls += 1
        recorder.record("scores", lambda: scores)
    masked = scores if attention_mask is None else scores + attention_mask.to(scores.dtype)
    probabilities = masked.softmax(-1)
    if recorder is not None:
        recorder.record("probabilities", lambda: probabilities)
    if dropout > 0.0 and module.training:
        random: StepRandom | None = getattr(module, "tinyreader_random", None)
        if random is None:
            probabilities = nn.functional.dropout(probabilities, dropout)
        else:
            probabilities = drop(probabilities, dropout, random)
    return (probabilities @ value).transpose(1, 2).contiguous(), None


def use_our_attention(model: Any, random: StepRandom | None = None) -> bool:
    """Whether `model` now attends through `attend`; False for architectures with an attention of their
    own.
    """
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    if not can_show_attention(model):
        return False
    model.set_attn_implementation(NAME)
    for module in model.modules():
        module.tinyreader_random = random
    return True


def can_show_attention(model: Any) -> bool:
    """Whether the model's attention can be replaced by ours and so observed, told by its own modelling
    module.
    """
    source = sys.modules.get(type(model).__module__)
    return bool(model._supports_attention_backend) and hasattr(source, "ALL_ATTENTION_FUNCTIONS")
