"""Scores of a network on a data set: the same windows, decoding and metrics that everything else uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tinyreader.arrays import Float32, Int64
from tinyreader.data import Example
from tinyreader.distil.network import Batch, Network
from tinyreader.metrics import question_scores, score_v2
from tinyreader.runtimes import ModelFacts, Runtime
from tinyreader.runtimes.reading import Prediction, predict
from tinyreader.windows import Windower


class NetworkRuntime(Runtime):
    """A `Network` as a `Runtime`: numpy in, numpy out, without gradients or dropout."""

    def __init__(self, network: Network, pad_id: int, device: torch.device) -> None:
        self.network, self.device = network, device
        self.facts = ModelFacts(engine="torch", pad_id=pad_id)

    @torch.no_grad()
    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> tuple[Float32, Float32]:
        """Start and end logits float32 [B, L] of padded windows [B, L]."""
        was_training = self.network.model.training
        self.network.model.eval()
        rows = torch.zeros(len(input_ids), dtype=torch.int64)
        real = torch.from_numpy(mask)
        batch = Batch(
            torch.from_numpy(input_ids),
            torch.from_numpy(segment_ids),
            real,
            real.bool(),
            rows,
            rows,
            rows,
            real.sum(1),
            padded=not bool(mask.all()),
        )
        out = self.network.forward(batch.to(self.device))
        self.network.model.train(was_training)
        return out.start_logits.cpu().numpy(), out.end_logits.cpu().numpy()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Predictions for a data set and what they score.

    `scores` holds percentages as the official script names them, at null threshold 0 (`exact`, `f1`,
    `HasAns_*`, `NoAns_*`), the best over all thresholds (`best_exact`, `best_f1` and theirs), and
    `answered_exact` and `answered_f1`: the answerable questions with no-answer switched off.
    """

    predictions: tuple[Prediction, ...]
    scores: dict[str, float]


def evaluate(
    network: Network,
    examples: Sequence[Example],
    windower: Windower,
    pad_id: int,
    device: torch.device,
    *,
    max_answer_tokens: int = 30,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """The network's predictions on `examples`, scored."""
    runtime = NetworkRuntime(network, pad_id, device)
    predictions = []
    for prediction in predict(examples, windower, runtime, max_answer_tokens=max_answer_tokens):
        predictions.append(prediction)
        if on_progress is not None:
            on_progress(1)
    return Evaluation(tuple(predictions), score(examples, predictions))


def score(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
    """The scores that `Evaluation` describes."""
    answers = {p.id: p.text for p in predictions}
    scores: dict[str, Any] = score_v2(
        examples, answers, {p.id: p.null_odds for p in predictions}, na_prob_thresh=0.0
    )
    answerable = [e for e in examples if not e.is_impossible]
    if answerable:
        pairs = np.array([question_scores(e, answers[e.id]) for e in answerable])
        exact, f1 = (100.0 * pairs.mean(0)).tolist()
        scores |= {"answered_exact": exact, "answered_f1": f1}
    return scores


def pad_token(config: Any) -> int:
    """The id that padding has for this model; 0 where its config names none, for the mask hides it anyway."""
    return int(config.pad_token_id) if config.pad_token_id is not None else 0
