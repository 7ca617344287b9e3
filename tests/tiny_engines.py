"""What the tests of engines share: batches, what Transformers says to them, and int8 plans of tiny models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering

from tinyreader.model_files import model_fingerprint
from tinyreader.models import takes_segments
from tinyreader.runtimes import Inputs, Logits
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.int8 import Int8Plan, write_plan
from tinyreader.runtimes.openvino.calibration import measure_ranges

BUILT = ("bert", "distilbert", "electra", "mpnet", "roberta")


def batch(lengths: list[int], longest: int = 0, *, pad_id: int = 0, seed: int = 0) -> Inputs:
    """Windows of these lengths, padded on the right, with segment 1 from the fourth token on."""
    rng = np.random.default_rng(seed)
    shape = (len(lengths), max(longest, *lengths))
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, rng.integers(5, 20, shape), pad_id)
    return ids, mask, mask * (np.arange(shape[1]) >= 4)


def by_transformers(directory: Path, inputs: Inputs) -> Logits:
    """What Transformers' own model says."""
    model = AutoModelForQuestionAnswering.from_pretrained(directory)
    ids, mask, segments = map(torch.from_numpy, inputs)
    with torch.no_grad():
        out = model(
            input_ids=ids,
            attention_mask=mask,
            **({"token_type_ids": segments} if takes_segments(model) else {}),
        )
    return out.start_logits.numpy(), out.end_logits.numpy()


def difference(ours: Logits, theirs: Logits, mask: np.ndarray) -> float:
    """The largest difference of two logits at a real token."""
    return max(float(np.abs(a - b)[mask == 1].max()) for a, b in zip(ours, theirs, strict=True))


def calibrate(directory: Path, kept: tuple[str, ...] = ()) -> Int8Plan:
    """An int8 plan for a tiny model, measured on random windows and put beside it."""
    architecture = read_architecture(directory)
    weights = Checkpoint(directory, architecture.family.prefix)
    batches = [batch([40, 33, 8], pad_id=architecture.pad_id, seed=seed) for seed in range(4)]
    n_tokens = sum(int(one[1].sum()) for one in batches)
    plan = Int8Plan(
        measure_ranges(architecture, weights, batches, n_tokens), kept, model_fingerprint(directory)
    )
    write_plan(directory, plan)
    return plan
