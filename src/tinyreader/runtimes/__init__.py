"""The interface of every engine: arrays in, start and end logits out, and facts about the model behind it."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer

from tinyreader.arrays import Float32, Int64
from tinyreader.errors import ModelError, SettingsError

# Importing openvino reports the use of it to Google Analytics, from a forked process. That is nobody's business, and the
# fork deadlocked in the server's workers, whose pipes it held open. Without the package openvino uses its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

Inputs = tuple[Int64, Int64, Int64]
"""Token ids, mask (1 on real tokens) and segment ids of a batch of windows, each int64 [B, L], padded on the
right.
"""

Logits = tuple[Float32, Float32]
"""Start and end logits of a batch, each float32 [B, L]; those of padding are undefined."""

PrecisionName = Literal["auto", "fp32", "bf16", "int8"]
"""What a caller may ask for. "auto" is bf16 where the processor computes in it, else fp32."""


def n_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model and of the engine that runs it.

    `engine` is "openvino", "onnx" or "torch", `precision` "fp32", "bf16" or "int8"; both are empty for a
    model that no engine runs yet. `max_tokens` is the longest input, `vocab_size` the number of embedded
    tokens; None means that the model sets no limit.
    """

    engine: str = ""
    precision: str = ""
    pad_id: int = 0
    max_tokens: int | None = None
    vocab_size: int | None = None
    takes_segments: bool = True

    def named_inputs(self, batch: Inputs) -> dict[str, Int64]:
        """The model's inputs by name, checked: engines read zeros, or crash, for ids outside the table."""
        input_ids, mask, segment_ids = batch
        if self.max_tokens is not None and input_ids.shape[1] > self.max_tokens:
            raise SettingsError(
                f"a window has {input_ids.shape[1]} tokens; this model takes at most {self.max_tokens}."
            )
        if (
            self.vocab_size is not None
            and input_ids.size
            and not 0 <= input_ids.min() <= input_ids.max() < self.vocab_size
        ):
            raise ModelError(
                f"the tokenizer gave ids from {input_ids.min()} to {input_ids.max()}, but the model embeds "
                f"{self.vocab_size} tokens: they do not belong together"
            )
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        return inputs | {"token_type_ids": segment_ids} if self.takes_segments else inputs

    def require_length(self, max_seq_len: int) -> None:
        """Raise `SettingsError` where the model does not take windows of that many tokens."""
        if self.max_tokens is not None and max_seq_len > self.max_tokens:
            raise SettingsError(
                f"max_seq_len is {max_seq_len}, but this model takes at most {self.max_tokens} tokens."
            )

    def require_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Raise `ModelError` where the tokenizer gives ids that the model does not embed."""
        largest = max(tokenizer.get_vocab().values())
        if self.vocab_size is not None and largest >= self.vocab_size:
            raise ModelError(
                f"the tokenizer gives ids up to {largest}, but the model embeds {self.vocab_size} tokens: "
                "they do not belong together"
            )


class Runtime(ABC):
    """Runs a reader's network on batches of windows. An engine implements `logits` and sets `facts`."""

    facts: ModelFacts

    @abstractmethod
    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> Logits:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""

    def stream(self, batches: Iterable[Inputs]) -> Iterator[Logits]:
        """Yield the logits of each batch, in order.

        An engine that computes several batches at the same time overrides this; it then takes a few batches
        ahead of what it has given back.
        """
        for batch in batches:
            yield self.logits(*batch)
