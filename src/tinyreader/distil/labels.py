"""Teacher outputs kept on disk: each window's logits are computed once, whatever number of epochs learns from them.

Logits are stored in half precision (11 bits: at a size of 8 they are right to 0.004) beside the feature store's tokens, four
bytes a token. The batches of the pass are fixed by the rows alone, so a pass that was killed goes on with the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinyreader.distil.features import FeatureStore, sorted_batches
from tinyreader.distil.network import Batch, Network
from tinyreader.errors import RunError
from tinyreader.files import atomic_path

_LOGITS, _STATE = "logits.bin", "labels.json"
_SAVE_EVERY = 50  # batches between notes of progress


class TeacherLabels:
    """The teacher's logits for rows of a feature store, read from disk."""

    def __init__(self, folder: Path, store: FeatureStore) -> None:
        self.store = store
        self._logits = np.memmap(folder / _LOGITS, dtype=np.float16, mode="r", shape=(len(store.ids), 2))

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Start and end logits fp32 [B, L] for the batch's rows; 0 on padding."""
        out = np.zeros((*batch.input_ids.shape, 2), dtype=np.float32)
        rows = batch.rows.cpu().numpy()
        for line, record in enumerate(self.store.index[rows]):
            offset, length = int(record["offset"]), int(record["length"])
            out[line, :length] = self._logits[offset : offset + length]
        both = torch.from_numpy(out).to(batch.input_ids.device)
        return both[..., 0], both[..., 1]


def label_windows(
    teacher: Network, store: FeatureStore, rows: npt.NDArray[np.int64], folder: Path, *,
    pad_id: int, device: torch.device, identity: str, max_batch_tokens: int = 8192,
    on_batch: Callable[[int, int], None] | None = None,
) -> TeacherLabels:  # fmt: skip
    """Runs the teacher over `rows`, going on where an earlier pass with the same `identity` stopped.

    `on_batch` is called with the number of windows done and of all windows; it may raise to stop the pass.
    """
    folder.mkdir(parents=True, exist_ok=True)
    batches = sorted_batches(rows, store.lengths, max_batch_tokens)
    done = _progress(folder, identity)
    if done < len(batches):
        _prepare(folder, len(store.ids), fresh=done == 0)
        logits = np.memmap(folder / _LOGITS, dtype=np.float16, mode="r+", shape=(len(store.ids), 2))
        seen = sum(len(b) for b in batches[:done])
        try:
            for number in range(done, len(batches)):
                seen += _label(teacher, store.batch(batches[number], pad_id).to(device), store, logits)
                done = number + 1
                if done % _SAVE_EVERY == 0:
                    _note(folder, identity, done, logits)
                if on_batch is not None:
                    on_batch(seen, len(rows))
        finally:
            _note(folder, identity, done, logits)
    return TeacherLabels(folder, store)


@torch.no_grad()
def _label(teacher: Network, batch: Batch, store: FeatureStore, logits: npt.NDArray[np.float16]) -> int:
    outputs = teacher.forward(batch)
    both = torch.stack([outputs.start_logits, outputs.end_logits], -1).cpu().numpy()
    if not np.isfinite(both).all():
        raise RunError("the teacher gave logits that are not finite; its weights or its precision are broken.")
    both = np.clip(both, -6e4, 6e4).astype(np.float16)
    for line, record in enumerate(store.index[batch.rows.cpu().numpy()]):
        offset, length = int(record["offset"]), int(record["length"])
        logits[offset : offset + length] = both[line, :length]
    return len(both)


def _prepare(folder: Path, n_tokens: int, *, fresh: bool) -> None:
    path = folder / _LOGITS
    size = n_tokens * 4
    if fresh or not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            file.truncate(size)


def _progress(folder: Path, identity: str) -> int:
    try:
        state = json.loads((folder / _STATE).read_text())
    except (OSError, ValueError):
        return 0
    return int(state["batches"]) if state.get("identity") == identity and (folder / _LOGITS).exists() else 0


def _note(folder: Path, identity: str, batches: int, logits: np.memmap[tuple[int, int], np.dtype[np.float16]]) -> None:
    logits.flush()
    with atomic_path(folder / _STATE) as path:
        path.write_text(json.dumps({"identity": identity, "batches": batches}))
