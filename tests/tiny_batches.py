"""Windows, batches and networks small enough for a test to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from tiny_models import configuration
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.features import FeatureStore, sorted_batches, write_features
from tinyreader.distil.network import Batch, Network, Precision
from tinyreader.distil.teacher_cache import (
    MAX_BATCH_TOKENS,
    Pass,
    PassReport,
    TeacherCache,
    TeacherLabels,
    by_network,
    own_key,
    own_windows,
)
from tinyreader.models.reader import new_model
from tinyreader.windows import Window

CPU = torch.device("cpu")
FIRST = 4  # special tokens and question before the context


def batch(lengths: list[int], *, longest: int | None = None, pad_id: int = 0, seed: int = 0) -> Batch:
    """Windows of these lengths with random ids of every family's vocabulary, padded to the longest or
    further.
    """
    longest = longest or max(lengths)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((len(lengths), longest), pad_id)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(5, 20, (length,), generator=generator)
    places, sizes = torch.arange(longest), torch.tensor(lengths)
    mask = places < sizes[:, None]
    allowed = mask & (places >= FIRST)
    allowed[:, 0] = True
    return Batch(
        input_ids=ids,
        segment_ids=((places >= FIRST) & mask).long(),
        mask=mask.long(),
        allowed=allowed,
        start=sizes - 2,
        end=sizes - 1,
        rows=torch.arange(len(lengths)),
        lengths=sizes,
        padded=bool((sizes != longest).any()),
    )


def store(folder: Path, lengths: list[int], *, seed: int = 0) -> FeatureStore:
    """A feature store of windows of these lengths; the answer is the token 7, put at a random place of the
    context.
    """
    rng = np.random.default_rng(seed)
    windows = []
    for number, length in enumerate(lengths):
        ids = rng.integers(8, 20, length).astype(np.int32)
        place = int(rng.integers(FIRST, length)) if number % 4 else 0
        if place:
            ids[place] = 7
        ids[0] = 2
        segments = (np.arange(length) >= FIRST).astype(np.int32)
        offsets = np.zeros((length, 2), dtype=np.int32)
        windows.append(Window(number, ids, segments, offsets, FIRST, length, place, place))
    write_features(windows, folder, vocab_size=24, fingerprint=f"tiny-{seed}")
    return FeatureStore(folder)


def model(family: str = "bert", *, n_layers: int = 2, seed: int = 0, **changes: object) -> PreTrainedModel:
    """A random reader whose weights are all of some size, so that forgetting one of them shows."""
    made = new_model(configuration(family, n_layers=n_layers, **changes), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return made


def network(
    of: PreTrainedModel, precision: Precision = "fp32", random: StepRandom | None = None, **options: float
) -> Network:
    """The model as a network on the CPU; in training mode where it was given random numbers to learn with."""
    of.train(random is not None)
    return Network(of, precision=precision, device=CPU, random=random, **options)  # type: ignore[arg-type]


def label_windows(
    teacher: Network,
    store: FeatureStore,
    rows: Any,
    folder: Path,
    *,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    identity: str = "test",
    who: str = "teacher",
    report: PassReport | None = None,
) -> TeacherLabels:
    """The outputs of a teacher with the student's tokenizer for the rows, kept in `folder`."""
    asked = Pass(
        identity=identity,
        teacher=who,
        batches=sorted_batches(rows, store.lengths, max_batch_tokens),
        compute=own_windows(by_network(teacher, CPU), store, 0),
        key=own_key(store),
    )
    return TeacherCache(folder).outputs(asked, report or PassReport())
