"""Teacher outputs kept on disk: each window's logits are computed once, whatever number of epochs or runs
learns from them.

Logits are stored in half precision (11 bits: at a size of 8 they are right to 0.004) beside the feature
store's tokens, four bytes a token. What a teacher with another tokenizer says is carried to the student's
tokens first, and its logarithms are stored: those of probabilities above 0.0004 are right to 0.002, and
-10,000 stands for none. The batches of a pass are fixed by the rows alone, and the passes that it takes
windows from (`said_before.py`) when it begins, so one that was killed goes on with the same numbers, also in
another run that shares its folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinyreader.distil.alignment import NOTHING, Said, carry, logarithms, most_context
from tinyreader.distil.features import FeatureStore
from tinyreader.distil.network import Batch, Network
from tinyreader.distil.pairs import PairStore
from tinyreader.distil.said_before import (
    KEYS,
    LOGITS,
    STATE,
    Read,
    SaidBefore,
    Speaker,
    Taken,
    by_source,
    finished_passes,
    read_state,
    write_keys,
)
from tinyreader.errors import RunError
from tinyreader.runtimes import Runtime
from tinyreader.storage import atomic_path, file_lock, remove_leftovers, sync

Rows = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Forward = Callable[[Batch], tuple[FloatArray, FloatArray]]
"""A teacher's forward pass: start and end logits [B, L] of a batch."""
OnBatch = Callable[[int, int], None]
OnKept = Callable[[int, float], None]
OnTaken = Callable[[Taken], None]

MAX_BATCH_TOKENS = 8192

_LOCK = ".lock"
_SAVE_EVERY = 50  # batches between notes of progress


class SpanLabels(Protocol):
    """Somebody's opinion on windows: logits whose softmax over the allowed positions are start and end
    distributions.
    """

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Start and end logits fp32 [B, L] for the batch's rows."""
        ...


class TeacherLabels:
    """The teacher's logits for rows of a feature store, read from disk."""

    def __init__(self, folder: Path, store: FeatureStore) -> None:
        self.store = store
        self._logits = np.memmap(folder / LOGITS, dtype=np.float16, mode="r", shape=(len(store.ids), 2))

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Start and end logits fp32 [B, L] for the batch's rows; 0 on padding."""
        out = np.zeros((*batch.input_ids.shape, 2), dtype=np.float32)
        rows = batch.rows.cpu().numpy()
        for line, record in enumerate(self.store.index[rows]):
            offset, length = int(record["offset"]), int(record["length"])
            out[line, :length] = self._logits[offset : offset + length]
        both = torch.from_numpy(out).to(batch.input_ids.device)
        return both[..., 0], both[..., 1]


class MeanLabels:
    """Several teachers at once: the weighted mean of their distributions on the student's tokens.

    Probabilities are averaged, not logits: those have another zero with each teacher. The mean is taken at
    temperature 1.
    """

    def __init__(self, teachers: Sequence[SpanLabels], weights: Sequence[float]) -> None:
        self.teachers = teachers
        self.shares = [weight / sum(weights) for weight in weights]

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logarithms fp32 [B, L] of the mean start and end probabilities; -10,000 where nobody may answer."""
        said: tuple[list[Tensor], list[Tensor]] = ([], [])
        for teacher, share in zip(self.teachers, self.shares, strict=True):
            for opinions, logits in zip(said, teacher.logits(batch), strict=True):
                opinions.append(
                    logits.masked_fill(~batch.allowed, -torch.inf).log_softmax(-1) + math.log(share)
                )
        start, end = (torch.stack(opinions).logsumexp(0).clamp_min(NOTHING) for opinions in said)
        return start, end


def keep_labels(
    read: Read,
    store: FeatureStore,
    batches: list[Rows],
    folder: Path,
    *,
    identity: str,
    speaker: Speaker | None = None,
    on_batch: OnBatch | None = None,
    on_kept: OnKept | None = None,
    on_taken: OnTaken | None = None,
    on_wait: Callable[[], None] | None = None,
    on_found: Callable[[float], None] | None = None,
) -> TeacherLabels:
    """Keeps what `read` says of each row in `batches`, going on where an earlier pass with the same
    `identity` stopped.

    `read` gives start and end logits [n, 2] of each row's n tokens. `on_batch` is called with the number of
    windows done and of all windows; it may raise to stop the pass. `on_kept` is called each time that work is
    safe on disk, with the windows since the last time and the seconds they took: over all starts of a pass
    these add up to the pass. Windows that another pass of the `speaker` beside `folder` has are taken from
    there; `on_taken` is then called with each of those passes.

    While another process is at work in the folder this one waits for it, and calls `on_wait` twice a second,
    which may raise. Where all is there, `on_found` is called with the seconds that it took once; then the
    folder may be one that others only let us read. Raises `RunError` where the teacher's logits are not
    finite, or the folder cannot take them.
    """
    work = _Pass(folder, _identity(identity, batches), 4 * len(store.ids))

    def is_there() -> bool:
        done, seconds = work.progress()
        if done == len(batches) and on_found is not None:
            on_found(seconds)
        return done == len(batches)

    try:
        if not is_there():
            folder.mkdir(parents=True, exist_ok=True)
            with file_lock(folder / _LOCK, on_wait):
                if sys.platform != "win32":  # there another may be at work all the same
                    remove_leftovers(folder / STATE)
                if not is_there():
                    _fill(work, read, store, batches, speaker, on_batch, on_kept, on_taken)
        if speaker is not None and not (folder / KEYS).exists():
            with suppress(OSError):  # the pass is whole all the same
                work.sign(speaker.identity)
                write_keys(folder, store, np.concatenate(batches), speaker)
        return TeacherLabels(folder, store)
    except OSError as error:
        raise RunError(
            f"the teacher's outputs could not be kept in {folder} ({error}). Make room, or, where that is "
            "not it, set "
            "training.teacher_outputs to a directory that you may write to, and run the same command: it "
            "goes on from the "
            "last batch that was noted there."
        ) from None


def _fill(
    work: _Pass,
    read: Read,
    store: FeatureStore,
    batches: list[Rows],
    speaker: Speaker | None,
    on_batch: OnBatch | None,
    on_kept: OnKept | None,
    on_taken: OnTaken | None,
) -> None:
    """Does what is left of a pass."""
    done, spent = work.progress()
    donors = (
        work.donors() if done else [] if speaker is None else finished_passes(work.folder.parent, speaker)
    )
    rows = np.concatenate(batches)
    before = (
        None if speaker is None else SaidBefore((work.folder.parent / name for name in donors), speaker, rows)
    )
    ask = read if before is None else before.ahead_of(read)
    kept, since = done, time.perf_counter()
    taken: list[Taken] = []  # for whole batches: what a batch that failed took is taken again

    def keep(file: BinaryIO) -> None:
        nonlocal kept, since, spent, taken
        now = time.perf_counter()
        spent += now - since + sum(each.seconds for each in taken)
        work.note(file, done, spent, donors, "" if speaker is None else speaker.identity)
        if on_kept is not None and done > kept:
            on_kept(
                sum(len(b) for b in batches[kept:done]) - sum(each.windows for each in taken), now - since
            )
        if on_taken is not None:
            for each in by_source(taken):
                on_taken(each)
        kept, since, taken = done, now, []

    with work.open(fresh=done == 0) as file:
        seen = sum(len(b) for b in batches[:done])
        try:
            for number in range(done, len(batches)):
                seen += _label(ask, store, batches[number], file)
                done = number + 1
                if before is not None:
                    taken += before.counted()
                if done % _SAVE_EVERY == 0:
                    keep(file)
                if on_batch is not None:
                    on_batch(seen, len(rows))
        finally:
            keep(file)


def _label(read: Read, store: FeatureStore, rows: Rows, file: BinaryIO) -> int:
    """Writes the logits of the rows, each window's at its place in `file`; returns the number of windows."""
    for row, record, both in zip(rows, store.index[rows], read(rows), strict=True):
        if not np.isfinite(both).all():
            raise RunError(
                f"the teacher gave logits that are not finite for window {row}; its weights are damaged or "
                "its "
                'precision is too low. Check the teacher, or set training.precision = "fp32".'
            )
        file.seek(4 * int(record["offset"]))
        file.write(np.clip(both, -6e4, 6e4).astype(np.float16).tobytes())
    return len(rows)


def own_windows(forward: Forward, store: FeatureStore, pad_id: int) -> Read:
    """A function for `keep_labels`: what a teacher says of the student's own windows."""

    def read(rows: Rows) -> list[FloatArray]:
        both = np.stack(forward(store.batch(rows, pad_id)), -1)
        return [both[line, :n] for line, n in enumerate(store.lengths[rows].tolist())]

    return read


def paired_windows(forward: Forward, pairs: PairStore, pad_id: int) -> Read:
    """A function for `keep_labels`: what a teacher with another tokenizer says, carried to the student's
    tokens.
    """

    def read(rows: Rows) -> list[FloatArray]:
        numbers = [pairs.pieces(row) for row in rows.tolist()]
        start, end = forward(pairs.windows.batch(np.concatenate(numbers), pad_id))
        found, line = [], 0
        for row, pieces in zip(rows.tolist(), numbers, strict=True):
            said = [
                _said(pairs, piece, start[line + k], end[line + k]) for k, piece in enumerate(pieces.tolist())
            ]
            found.append(_carried(said, pairs, row))
            line += len(pieces)
        return found

    return read


def _said(pairs: PairStore, piece: int, start: FloatArray, end: FloatArray) -> Said:
    """What the teacher says of a piece, from its logits with padding."""
    places = pairs.teacher_places(piece)
    kept = np.concatenate([[0], np.arange(places.first, places.stop)])
    return Said(start[kept], end[kept], places.context, pairs.begin(piece))


def _carried(pieces: Sequence[Said], pairs: PairStore, row: int) -> FloatArray:
    """The logarithms [n, 2] of the start and end probabilities of a row's tokens; not finite where a logit is
    not.
    """
    student = pairs.student_places(row)
    if not all(np.isfinite(logits).all() for said in pieces for logits in (said.start, said.end)):
        return np.full((len(student), 2), np.nan, dtype=np.float32)
    probabilities = np.stack(carry(most_context(pieces), student), -1)
    return logarithms(probabilities).astype(np.float32)


def by_network(network: Network, device: torch.device) -> Forward:
    """The forward pass of a `Network`."""

    @torch.no_grad()
    def forward(batch: Batch) -> tuple[FloatArray, FloatArray]:
        outputs = network.forward(batch.to(device))
        return outputs.start_logits.cpu().numpy(), outputs.end_logits.cpu().numpy()

    return forward


def by_runtime(runtime: Runtime) -> Forward:
    """The forward pass of an engine."""

    def forward(batch: Batch) -> tuple[FloatArray, FloatArray]:
        return runtime.logits(batch.input_ids.numpy(), batch.mask.numpy(), batch.segment_ids.numpy())

    return forward


@dataclass(frozen=True, slots=True)
class _Pass:
    """The files of a pass. Logits are written, not memory-mapped: on a full disk a write is an error, a map a
    crash.
    """

    folder: Path
    identity: str
    size: int

    def progress(self) -> tuple[int, float]:
        """How many batches an earlier pass of this identity has left whole on disk, and the seconds they
        took.
        """
        state = read_state(self.folder)
        with suppress(OSError, ValueError, KeyError, TypeError):
            if state["identity"] == self.identity and (self.folder / LOGITS).stat().st_size == self.size:
                return int(state["batches"]), float(state.get("seconds", 0.0))
        return 0, 0.0

    def donors(self) -> list[str]:
        """The passes that this one takes windows from, as it noted when it began."""
        donors = read_state(self.folder).get("donors", [])
        return [str(name) for name in donors] if isinstance(donors, list) else []

    def sign(self, speaker: str) -> None:
        """Says on disk whose words these are, where an earlier version did not."""
        state = read_state(self.folder)
        if state and "speaker" not in state and os.access(self.folder, os.W_OK):
            with atomic_path(self.folder / STATE) as path:
                path.write_text(json.dumps({**state, "speaker": speaker}))

    def open(self, *, fresh: bool) -> BinaryIO:
        """The file of logits, of its full size from the start; what is not written yet takes no room, and is
        zeros.

        So with `fresh` an earlier note goes first: it may say of these zeros that they are a teacher's
        opinion. An earlier file is left to the runs that have it open, which would crash, or learn from
        zeros, if it were emptied.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            (self.folder / KEYS).unlink(missing_ok=True)
            (self.folder / STATE).unlink(missing_ok=True)
            sync(self.folder)
            if sys.platform != "win32":  # there a file that is open cannot go
                (self.folder / LOGITS).unlink(missing_ok=True)
        file = (self.folder / LOGITS).open("w+b" if fresh else "r+b")
        file.truncate(self.size)
        return file

    def note(self, file: BinaryIO, batches: int, seconds: float, donors: list[str], speaker: str) -> None:
        """Says on disk that so many batches are done, after they are."""
        file.flush()
        os.fsync(file.fileno())
        with atomic_path(self.folder / STATE) as path:
            state = {"identity": self.identity, "batches": batches, "seconds": round(seconds, 3)}
            path.write_text(json.dumps({**state, "speaker": speaker, "donors": donors}))


def _identity(identity: str, batches: list[npt.NDArray[np.int64]]) -> str:
    """What fixes a pass: `identity` and its batches, row by row."""
    mixed = hashlib.blake2b(identity.encode(), digest_size=16)
    for batch in batches:
        mixed.update(f"\n{len(batch)}:".encode() + batch.tobytes())
    return mixed.hexdigest()
