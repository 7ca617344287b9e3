"""Teacher outputs kept on disk: each window's logits are computed once, whatever number of epochs learns from them.

Logits are stored in half precision (11 bits: at a size of 8 they are right to 0.004) beside the feature store's tokens, four
bytes a token. The batches of the pass are fixed by the rows alone, so a pass that was killed goes on with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinyreader.distil.features import FeatureStore, sorted_batches
from tinyreader.distil.network import Batch, Network
from tinyreader.errors import RunError
from tinyreader.files import atomic_path, sync

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
    on_batch: Callable[[int, int], None] | None = None, on_kept: Callable[[int, float], None] | None = None,
) -> TeacherLabels:  # fmt: skip
    """Runs the teacher over `rows`, going on where an earlier pass with the same `identity` stopped.

    `on_batch` is called with the number of windows done and of all windows; it may raise to stop the pass. `on_kept` is
    called each time that work is safe on disk, with the windows since the last time and the seconds they took: over all
    starts of a pass these add up to the pass. Raises `RunError` where the teacher's logits are not finite, or the disk
    has no room for them.
    """
    batches = sorted_batches(rows, store.lengths, max_batch_tokens)
    work = _Pass(folder, _identity(identity, batches), 4 * len(store.ids))
    done = work.progress()
    kept, since = done, time.perf_counter()

    def keep(file: BinaryIO) -> None:
        nonlocal kept, since
        work.note(file, done)
        now = time.perf_counter()
        if on_kept is not None and done > kept:
            on_kept(sum(len(b) for b in batches[kept:done]), now - since)
        kept, since = done, now

    try:
        if done < len(batches):
            with work.open(fresh=done == 0) as file:
                seen = sum(len(b) for b in batches[:done])
                try:
                    for number in range(done, len(batches)):
                        seen += _label(teacher, store.batch(batches[number], pad_id).to(device), store, file)
                        done = number + 1
                        if done % _SAVE_EVERY == 0:
                            keep(file)
                        if on_batch is not None:
                            on_batch(seen, len(rows))
                finally:
                    keep(file)
    except OSError as error:
        raise RunError(
            f"the teacher's outputs could not be written to {folder} ({error}). Make room and run the same command: it "
            "goes on from the last batch that was noted."
        ) from None
    return TeacherLabels(folder, store)


@torch.no_grad()
def _label(teacher: Network, batch: Batch, store: FeatureStore, file: BinaryIO) -> int:
    """Writes the batch's logits, each window's at its place in `file`; returns the number of windows."""
    outputs = teacher.forward(batch)
    both = torch.stack([outputs.start_logits, outputs.end_logits], -1).cpu().numpy()
    both[batch.mask.cpu().numpy() == 0] = 0  # whatever the teacher says there
    rows = batch.rows.cpu().numpy()
    finite = np.isfinite(both).all((1, 2))
    if not finite.all():
        raise RunError(
            f"the teacher gave logits that are not finite for window {rows[~finite][0]}; its weights are damaged or its "
            'precision is too low. Check the teacher, or set training.precision = "fp32".'
        )
    both = np.clip(both, -6e4, 6e4).astype(np.float16)
    for line, record in enumerate(store.index[rows]):
        file.seek(4 * int(record["offset"]))
        file.write(both[line, : int(record["length"])].tobytes())
    return len(both)


@dataclass(frozen=True, slots=True)
class _Pass:
    """The files of a pass. Logits are written, not memory-mapped: on a full disk a write is an error, a map a crash."""

    folder: Path
    identity: str
    size: int

    def progress(self) -> int:
        """How many batches an earlier pass of this identity has left whole on disk."""
        try:
            state = json.loads((self.folder / _STATE).read_text())
            whole = state["identity"] == self.identity and (self.folder / _LOGITS).stat().st_size == self.size
            return int(state["batches"]) if whole else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def open(self, *, fresh: bool) -> BinaryIO:
        """The file of logits, of its full size from the start; what is not written yet takes no room, and is zeros.

        So with `fresh` an earlier note goes first: it may say of these zeros that they are a teacher's opinion.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            (self.folder / _STATE).unlink(missing_ok=True)
            sync(self.folder)
        file = (self.folder / _LOGITS).open("w+b" if fresh else "r+b")
        file.truncate(self.size)
        return file

    def note(self, file: BinaryIO, batches: int) -> None:
        """Says on disk that so many batches are done, after they are."""
        file.flush()
        os.fsync(file.fileno())
        with atomic_path(self.folder / _STATE) as path:
            path.write_text(json.dumps({"identity": self.identity, "batches": batches}))


def _identity(identity: str, batches: list[npt.NDArray[np.int64]]) -> str:
    """What fixes a pass: `identity` and its batches, row by row."""
    mixed = hashlib.blake2b(identity.encode(), digest_size=16)
    for batch in batches:
        mixed.update(f"\n{len(batch)}:".encode() + batch.tobytes())
    return mixed.hexdigest()
