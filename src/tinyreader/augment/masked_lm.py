"""`MaskedLM`: a masked language model proposes replacements for words that are one of its tokens.

TinyBERT's augmentation (arXiv 1909.10351, algorithm 1) masks one word at a time. Here the words of a window
are spread over a few sequences, with as many words masked in each as in the model's own training; `exact`
follows the paper. The encoder runs on whole sequences, the vocabulary head only on the masked positions. A
batch never mixes passages, so the proposals for a passage do not depend on the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyreader.arrays import Int64
from tinyreader.augment.masking import MaskedBatcher, MaskedLMOptions, MaskedSequences, read_vocabulary
from tinyreader.augment.proposer import Passage
from tinyreader.errors import ModelError
from tinyreader.models import LoadedMaskedLM, Precision, best_precision, load_masked_lm, model_fingerprint
from tinyreader.models.parts import round_to_bf16
from tinyreader.storage import text_hash

_FORMAT = 1  # raise it when the same options give other proposals


@dataclass(slots=True)
class MaskedLMCounts:
    """Counts so far: sequences run, words with proposals, and words that are not one known token."""

    sequences: int = 0
    words: int = 0
    several_pieces: int = 0


class MaskedLM:
    """Proposes, for each place that is one token, the most likely whole words there, best first.

    Proposals differ from the word and from each other in more than case. The model is moved to the device and
    rounded in place. `fingerprint` covers everything that the proposals depend on.
    """

    def __init__(
        self,
        loaded: LoadedMaskedLM,
        options: MaskedLMOptions | None = None,
        *,
        device: torch.device | None = None,
    ) -> None:
        self.options = options or MaskedLMOptions()
        self.device = device or _best_device()
        wanted = self.options.precision
        self.precision: Precision = (
            best_precision(self.device) if wanted == "auto" else "bf16" if wanted == "bf16" else "fp32"
        )
        self.counts = MaskedLMCounts()
        self.fingerprint = self._fingerprint(loaded)
        vocabulary = read_vocabulary(loaded.tokenizer, loaded.model.get_input_embeddings().num_embeddings)
        self._batcher = MaskedBatcher(
            loaded.tokenizer, vocabulary, loaded.mask_id, loaded.pad_id, loaded.max_tokens, self.options
        )
        self._vocabulary = vocabulary
        self._forbidden = torch.from_numpy(~vocabulary.allowed).to(self.device)
        self._scorer = _Scorer(loaded.model, self.precision, self.device)
        self._scorer.check(loaded.mask_id, loaded.pad_id, min(loaded.max_tokens, 8))

    @classmethod
    def from_pretrained(
        cls,
        name_or_dir: str | Path,
        *,
        revision: str | None = None,
        device: torch.device | None = None,
        **options: Any,
    ) -> MaskedLM:
        """The proposer for a model directory or Hub id, with the fields of `MaskedLMOptions` as options."""
        checked = MaskedLMOptions(**options)  # before the model is loaded
        return cls(load_masked_lm(name_or_dir, revision=revision), checked, device=device)

    def __call__(self, passages: Sequence[Passage]) -> list[list[tuple[str, ...]]]:
        """Proposals per passage and place; empty for words of several tokens."""
        found: list[list[tuple[str, ...]]] = [[()] * len(passage.places) for passage in passages]
        for proposals, masked in zip(found, self._batcher.masked(passages), strict=True):
            for batch in masked.batches(self.options.batch_tokens):
                for place, words in zip(batch.places.tolist(), self._proposals(batch), strict=True):
                    proposals[place] = words
            self.counts.sequences += len(masked.sequences)
            self.counts.words += len(masked.places)
            self.counts.several_pieces += len(proposals) - len(masked.places)
        return found

    def _proposals(self, batch: MaskedSequences) -> Iterator[tuple[str, ...]]:
        """Yield the proposals for each word of the batch."""
        for original, ranked in zip(batch.originals.tolist(), self._ranked(batch), strict=True):
            kept: dict[int, str] = {}
            for number in ranked.tolist():
                kept.setdefault(int(self._vocabulary.folded[number]), self._vocabulary.texts[number])
            kept.pop(int(self._vocabulary.folded[original]), None)
            yield tuple(kept.values())[: self.options.n_proposals]

    @torch.inference_mode()
    def _ranked(self, batch: MaskedSequences) -> list[Int64]:
        """For each word the ids of enough allowed entries, best first; the smaller id wins a tie."""
        scores = self._scorer.scores(batch)
        forms = torch.from_numpy(self._vocabulary.forms[batch.originals]).to(self.device)
        scores.masked_fill_(self._forbidden[forms], -torch.inf)
        # Enough for n_proposals after the word itself and all case variants are removed.
        n = min((self.options.n_proposals + 1) * self._vocabulary.max_case_variants, scores.shape[1])
        least = scores.topk(n, dim=1).values[:, -1:].clamp(min=torch.finfo(scores.dtype).min)
        rows, ids = (scores >= least).nonzero(as_tuple=True)
        value, row, number = (t.cpu().numpy() for t in (scores[rows, ids], rows, ids))
        ordered = number[np.lexsort((number, -value, row))]
        return [ranked[:n] for ranked in np.split(ordered, np.searchsorted(row, np.arange(1, len(scores))))]

    def _fingerprint(self, loaded: LoadedMaskedLM) -> str:
        settings = asdict(self.options) | {
            "precision": self.precision,
            "format": _FORMAT,
            "device": self.device.type,
        }
        if self.options.exact:
            del settings["masked_share"]
        parts = [model_fingerprint(loaded.source), loaded.tokenizer.to_str(), settings]
        return text_hash(json.dumps(parts, sort_keys=True))


class _Scorer:
    """Runs a masked language model, its head on the masked positions only.

    A hook on the encoder replaces its last state [B, L, width] by the vectors at these positions, [1, M,
    width]. That is correct for every head that treats positions independently, which `check` verifies.
    """

    def __init__(self, model: Any, precision: Precision, device: torch.device) -> None:
        self.model = model.to(device)
        self.device = device
        if precision == "bf16":
            round_to_bf16(model, [part for part in model.children() if part is not model.base_model])
        self._at: tuple[Tensor, Tensor] | None = None
        model.base_model.register_forward_hook(self._pick)

    def scores(self, batch: MaskedSequences) -> Tensor:
        """The scores fp32 [M, V] of all vocabulary entries at each masked position."""
        n = len(batch.rows)
        # Padded to a multiple of 16 positions, because torch prepares its kernels anew for each new shape.
        rows, columns = (np.pad(a, (0, -n % 16), mode="edge") for a in (batch.rows, batch.columns))
        return self._run(batch.sequences, batch.length, rows, columns)[:n]

    def check(self, mask_id: int, pad_id: int, length: int) -> None:
        """Raise `ModelError` if a position's scores depend on which other positions are scored."""
        ids = np.full((2, length), mask_id)
        ids[:, -1] = pad_id
        rows, columns = np.divmod(np.arange(2 * (length - 1)), length - 1)
        reason = "its head does not treat positions independently"
        try:
            every = self._run(ids, length - 1, rows, columns)
            last = self._run(ids, length - 1, rows[-1:], columns[-1:])
            works = len(every) == len(rows) and torch.allclose(last[0], every[-1], rtol=1e-3, atol=1e-3)
        except Exception as error:  # architectures fail in their own ways on inputs they do not expect
            works, reason = False, f"{type(error).__name__}: {error}"
        if not works:
            raise ModelError(f"a {type(self.model).__name__} cannot be used to propose words: {reason}")

    @torch.inference_mode()
    def _run(self, sequences: Int64, length: int, rows: Int64, columns: Int64) -> Tensor:
        """The scores fp32 [M, V] at [rows, columns] of sequences padded from column `length` on."""
        inputs = {"input_ids": torch.from_numpy(sequences).to(self.device)}
        if length < sequences.shape[1]:
            mask = torch.zeros_like(inputs["input_ids"])
            mask[:, :length] = 1
            inputs["attention_mask"] = mask
        self._at = (torch.from_numpy(rows).to(self.device), torch.from_numpy(columns).to(self.device))
        try:
            scores: Tensor = self.model(**inputs).logits[0]
        finally:
            self._at = None
        return scores.float()

    def _pick(self, _: nn.Module, __: Any, output: Any) -> Any:
        """The head's input: the vectors at the masked positions, in fp32 like its weights."""
        if self._at is None:
            return output
        rows, columns = self._at
        picked = output[0][rows, columns].float()[None]
        if isinstance(output, tuple):
            return (picked, *output[1:])
        output[next(iter(output))] = picked
        return output


def _best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found if found is not None else torch.device("cpu")
