"""A teacher's hidden states and attention brought to the tokens of a student with another tokenizer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from tinyreader.distil.alignment import overlaps
from tinyreader.distil.attention import AttentionKind
from tinyreader.distil.network import Batch, Network, Outputs
from tinyreader.distil.pairs import PairStore


class CrossTokenizer:
    """Runs a teacher on its own windows for a batch of the student's; each of these must be read in one
    piece.

    A student token's state is the mean of the states of the teacher's tokens, by the characters that they
    share, and so are its query, key and value; special tokens meet special tokens. Scores of attention are
    averaged so on both sides. Probabilities of attention are averaged over who attends, and shared out by
    characters among those attended to, so that they still sum to 1. A token on whose characters the teacher
    has none is not compared.
    """

    def __init__(self, pairs: PairStore, pad_id: int) -> None:
        self.pairs, self.pad_id = pairs, pad_id

    @torch.no_grad()
    def teach(
        self,
        teacher: Network,
        batch: Batch,
        hidden: set[int],
        attention: set[int],
        kind: AttentionKind,
        vectors: Iterable[int] = (),
    ) -> tuple[Outputs, Tensor]:
        """What was asked of the teacher, on the student's tokens, fp32, and the mask [B, L] of those to
        compare.

        The logits are left as they are, on the teacher's own tokens.
        """
        device = batch.input_ids.device
        rows = batch.rows.cpu().tolist()
        pieces = [int(self.pairs.pieces(row)[0]) for row in rows]
        own = self.pairs.windows.batch(np.array(pieces, dtype=np.int64), self.pad_id).to(device)
        taught = teacher.forward(own, hidden=hidden, attention=attention, kind=kind, vectors=vectors)
        shared = self._shared(rows, pieces, (*batch.input_ids.shape, own.input_ids.shape[1])).to(device)
        weights = _shares(shared, 2)
        mask = (shared.sum(2) > 0).to(batch.mask.dtype)
        states = {layer: weights @ state.float() for layer, state in taught.hidden.items()}
        others = weights if kind == "scores" else _shares(shared, 1)
        attended = {
            layer: weights[:, None] @ found.float() @ others[:, None].transpose(2, 3)
            for layer, found in taught.attention.items()
        }
        if kind == "probabilities":  # what went to characters that the student drops
            attended = {
                layer: found / found.sum(-1, keepdim=True).clamp_min(1e-9)
                for layer, found in attended.items()
            }
        made = {
            layer: (weights @ query.float(), weights @ key.float(), weights @ value.float())
            for layer, (query, key, value) in taught.vectors.items()
        }
        return Outputs(taught.start_logits, taught.end_logits, states, attended, made), mask

    def _shared(self, rows: list[int], pieces: list[int], shape: tuple[int, ...]) -> Tensor:
        """Characters that student and teacher tokens share, fp32 [B, L, L of the teacher]; 0 on padding."""
        shared = np.zeros(shape, dtype=np.float32)
        for line, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
            student, teacher = self.pairs.student_places(row), self.pairs.teacher_places(piece)
            shared[line, : len(student), : len(teacher)] = overlaps(student.line, teacher.line)
        return torch.from_numpy(shared)


def _shares(shared: Tensor, dim: int) -> Tensor:
    """The characters shared, as shares of their sum along `dim`; 0 where that is 0."""
    return shared / shared.sum(dim, keepdim=True).clamp_min(1)
