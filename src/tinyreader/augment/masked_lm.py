"""`MaskedLM`: a masked language model proposes words for those that are one token of it.

TinyBERT's augmentation (arXiv 1909.10351, algorithm 1) masks one word at a time. Here the words of a window
are spread over a few sequences, with as many words masked in each as in the model's own training; `exact`
does what the paper does. The encoder sees whole sequences, the vocabulary head only the masked places. A
batch never holds more than one passage, so nothing about a passage depends on those beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyreader.augment.masking import Asker, Ints, MaskedLMOptions, Questions, read_vocabulary
from tinyreader.augment.proposer import Passage
from tinyreader.errors import ModelError
from tinyreader.models import LoadedMaskedLM, Precision, best_precision, load_masked_lm, model_fingerprint
from tinyreader.models.precision import round_to_bf16

_FORMAT = 1  # to be raised when the same options give other proposals


@dataclass(slots=True)
class MaskedLMCounts:
    """What was asked so far: sequences run, words proposed for, and words that are not one known token."""

    sequences: int = 0
    words: int = 0
    several_pieces: int = 0


class MaskedLM:
    """Proposes, for each place that is one token, the whole words that the model finds likeliest there, best
    first.

    Neither the word itself nor words that differ from it or from each other in case alone are proposed. The
    model is moved to the device and rounded in place. `fingerprint` stands for all that decides what is
    proposed, `counts` tells what was done.
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
        self._asker = Asker(
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
        """The proposer of a directory or Hub id, with the options of `MaskedLMOptions` by name."""
        asked = MaskedLMOptions(**options)
        return cls(load_masked_lm(name_or_dir, revision=revision), asked, device=device)

    def __call__(self, passages: Sequence[Passage]) -> list[list[tuple[str, ...]]]:
        """Proposals per passage and place; none for words of several tokens."""
        found: list[list[tuple[str, ...]]] = [[()] * len(passage.places) for passage in passages]
        for proposals, questions in zip(found, self._asker.ask(passages), strict=True):
            for part in questions.batches(self.options.batch_tokens):
                for place, words in zip(part.places.tolist(), self._answers(part), strict=True):
                    proposals[place] = words
            self.counts.sequences += len(questions.sequences)
            self.counts.words += len(questions.places)
            self.counts.several_pieces += len(proposals) - len(questions.places)
        return found

    def _answers(self, questions: Questions) -> Iterator[tuple[str, ...]]:
        """Yield the proposals for each word of one batch."""
        for original, ranked in zip(questions.originals.tolist(), self._ranked(questions), strict=True):
            kept: dict[int, str] = {}
            for number in ranked.tolist():
                kept.setdefault(int(self._vocabulary.folded[number]), self._vocabulary.texts[number])
            kept.pop(int(self._vocabulary.folded[original]), None)
            yield tuple(kept.values())[: self.options.n_proposals]

    @torch.inference_mode()
    def _ranked(self, questions: Questions) -> list[Ints]:
        """For each word the ids of the best allowed entries, enough of them; of equal scores the smaller id
        goes first.
        """
        scores = self._scorer.scores(questions)
        forms = torch.from_numpy(self._vocabulary.forms[questions.originals]).to(self.device)
        scores.masked_fill_(self._forbidden[forms], -torch.inf)
        n = min((self.options.n_proposals + 1) * self._vocabulary.most_doubles, scores.shape[1])
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
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


class _Scorer:
    """Runs a masked language model; its head is given the masked places only.

    A hook on the encoder puts the vectors at these places, [1, M, width], in place of its last state [B, L,
    width]. That is right for every head that works on each place by itself, which `check` makes sure of.
    """

    def __init__(self, model: Any, precision: Precision, device: torch.device) -> None:
        self.model = model.to(device)
        self.device = device
        if precision == "bf16":
            round_to_bf16(model, [part for part in model.children() if part is not model.base_model])
        self._at: tuple[Tensor, Tensor] | None = None
        model.base_model.register_forward_hook(self._pick)

    def scores(self, questions: Questions) -> Tensor:
        """The score fp32 [M, V] of every vocabulary entry at each masked place."""
        n = len(questions.rows)
        # Shapes are few, for the engine prepares its products anew for each: a multiple of 16 places, the
        # last repeated.
        rows, columns = (np.pad(a, (0, -n % 16), mode="edge") for a in (questions.rows, questions.columns))
        return self._run(questions.sequences, questions.length, rows, columns)[:n]

    def check(self, mask_id: int, pad_id: int, length: int) -> None:
        """Raise `ModelError` where a place's scores depend on which other places are asked for."""
        ids = np.full((2, length), mask_id)
        ids[:, -1] = pad_id
        rows, columns = np.divmod(np.arange(2 * (length - 1)), length - 1)
        reason = "its head does not look at each place by itself"
        try:
            every = self._run(ids, length - 1, rows, columns)
            last = self._run(ids, length - 1, rows[-1:], columns[-1:])
            works = len(every) == len(rows) and torch.allclose(last[0], every[-1], rtol=1e-3, atol=1e-3)
        except Exception as error:  # whatever an architecture makes of inputs it does not expect
            works, reason = False, f"{type(error).__name__}: {error}"
        if not works:
            raise ModelError(f"a {type(self.model).__name__} cannot be used to propose words: {reason}")

    @torch.inference_mode()
    def _run(self, sequences: Ints, length: int, rows: Ints, columns: Ints) -> Tensor:
        """The scores fp32 [M, V] at [rows, columns] of sequences that are real up to `length`."""
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
        """What goes to the head: the vectors at the places asked for, in fp32 as its weights are."""
        if self._at is None:
            return output
        rows, columns = self._at
        picked = output[0][rows, columns].float()[None]
        if isinstance(output, tuple):
            return (picked, *output[1:])
        output[next(iter(output))] = picked
        return output


def _best_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found if found is not None else torch.device("cpu")
