"""Teacher outputs computed once, in a table from (teacher, window) to logits that stages, runs and data sets share.

The table is an SQLite file. A window's key is the hash of all that a teacher reads for it, so other data with the same
question and text finds it. Logits are stored in half precision (11 bits: at a size of 8 they are right to 0.004). What
a teacher with another tokenizer computes is carried to the student's tokens first, and its logarithms are stored:
those of probabilities above 0.0004 are right to 0.002, and -10,000 stands for none.

A pass asks a teacher for the rows of fixed batches. It may use the outputs that were in the table when it began, and
its own, but never those that another process added since: which windows share a batch decides the last bits of their
logits, and a pass that was killed must end with the same numbers.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tinyreader.arrays import Float32, Rows
from tinyreader.distil.alignment import LOG_ZERO, SliceLogits, carry, logarithms, merge_pieces
from tinyreader.distil.features import FeatureStore
from tinyreader.distil.network import Batch, Network
from tinyreader.distil.pairs import PairStore
from tinyreader.errors import RunError
from tinyreader.runtimes import Runtime
from tinyreader.storage import file_lock

Forward = Callable[[Batch], tuple[Float32, Float32]]
"""A teacher's forward pass: start and end logits [B, L] of a batch."""
Compute = Callable[[Rows], list[Float32]]
"""Start and end logits [n, 2] of each row's n tokens."""

MAX_BATCH_TOKENS = 8192

_KEY_BYTES = 16
_SAVE_EVERY = 50  # batches in one transaction: what a kill can cost
_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS passes (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, teacher TEXT NOT NULL,
    batches INTEGER NOT NULL, seconds REAL NOT NULL,
    newest_source INTEGER NOT NULL  -- the newest output that was there when the pass began
);
CREATE TABLE IF NOT EXISTS outputs (
    id INTEGER PRIMARY KEY, pass INTEGER NOT NULL REFERENCES passes, window BLOB NOT NULL,
    seconds REAL NOT NULL, logits BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS outputs_by_window ON outputs (window);
"""


class SpanLabels(Protocol):
    """Logits on windows whose softmax over the allowed positions are start and end distributions."""

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Start and end logits fp32 [B, L] for the batch's rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """What a teacher is asked for.

    `teacher` stands for its weights, precision and engine, `key(row)` (16 bytes) for all that it reads for a row.
    `identity` and the batches make the pass: one that was stopped resumes.
    """

    identity: str
    teacher: str
    batches: Sequence[Rows]
    compute: Compute
    key: Callable[[int], bytes]

    @property
    def name(self) -> str:
        """32 hexadecimal digits."""
        mixed = hashlib.blake2b(self.identity.encode(), digest_size=16)
        for batch in self.batches:
            mixed.update(f"\n{len(batch)}:".encode() + batch.tobytes())
        return mixed.hexdigest()

    @property
    def n_windows(self) -> int:
        return sum(map(len, self.batches))


class PassReport:
    """What a pass reports while it works. These methods do nothing; those of a subclass may raise to stop the pass."""

    def progress(self, done: int, of: int) -> None:
        """Windows done, of all windows of the pass."""

    def computed(self, n_windows: int, seconds: float) -> None:
        """Windows that were computed and are safe on disk since the last call, and the seconds they took."""

    def reused(self, source: str, n_windows: int, seconds: float) -> None:
        """Windows that the pass `source` had computed, and the seconds they took then."""

    def waiting(self) -> None:
        """Another process computes the same pass; called twice a second."""

    def found(self, n_windows: int, seconds: float) -> None:
        """The whole pass was there, and took those seconds once."""


@dataclass(frozen=True, slots=True)
class _State:
    """How far a pass is: its row in the table, batches done, seconds so far, and the newest output it may use."""

    id: int
    batches: int
    seconds: float
    newest_source: int


class TeacherCache:
    """The table in a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "outputs.sqlite"

    def outputs(self, asked: Pass, report: PassReport) -> TeacherLabels:
        """The outputs of a pass, computed as far as the table does not have them.

        Waits while another process computes the same pass. A pass that is whole is only read: the directory may then
        be one that cannot be written to. Raises `RunError` where logits are not finite, or the table cannot be
        written or read.
        """
        name = asked.name
        try:
            state = self._whole(asked, name, report)
            if state is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                with file_lock(self.folder / f".{name}.lock", report.waiting):
                    state = self._whole(asked, name, report) or self._fill(asked, name, report)
        except (OSError, sqlite3.OperationalError) as error:
            raise RunError(
                f"the teacher's outputs could not be kept in {self.folder} ({error}). Make room, or set "
                "training.teacher_outputs to a directory that you may write to, and run the same command: it resumes "
                "from the last batch that was saved there."
            ) from None
        except sqlite3.DatabaseError as error:
            raise RunError(
                f"the teacher's outputs in {self.file} are damaged ({error}). Delete that file to have them computed "
                "again."
            ) from None
        return TeacherLabels(self.file, state, asked)

    def _whole(self, asked: Pass, name: str, report: PassReport) -> _State | None:
        """The state of a pass that has nothing left to do, None for any other."""
        if not self.file.exists():
            return None
        with closing(_open_to_read(self.file)) as db:
            try:
                state = _state(db, name)
            except sqlite3.OperationalError:  # no table yet, or a kill left a transaction to roll back
                return None
        if state is None or state.batches < len(asked.batches):
            return None
        report.found(asked.n_windows, state.seconds)
        return state

    def _fill(self, asked: Pass, name: str, report: PassReport) -> _State:
        with closing(sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level="IMMEDIATE")) as db:
            db.executescript(_SCHEMA)
            with db:
                db.execute(
                    "INSERT OR IGNORE INTO passes (name, teacher, batches, seconds, newest_source) "
                    "SELECT ?, ?, 0, 0.0, COALESCE(MAX(id), 0) FROM outputs",
                    (name, asked.teacher),
                )
            state = _state(db, name)
            assert state is not None
            _Filling(asked, state, db, report).run()
        return state


class _Filling:
    """The rest of a pass: batches computed, and saved many at a time."""

    def __init__(self, asked: Pass, state: _State, db: sqlite3.Connection, report: PassReport) -> None:
        self.asked, self.state, self.db, self.report = asked, state, db, report
        self.batches, self.seconds, self.since = state.batches, state.seconds, time.perf_counter()
        self.computed: list[tuple[bytes, bytes]] = []
        self.reused: list[tuple[str, float]] = []

    def run(self) -> None:
        asked = self.asked
        done, total = sum(map(len, asked.batches[: self.batches])), asked.n_windows
        try:
            for rows in asked.batches[self.batches :]:
                self._add(rows)
                done += len(rows)
                if self.batches % _SAVE_EVERY == 0:
                    self._save()
                self.report.progress(done, total)
        finally:
            self._save()

    def _add(self, rows: Rows) -> None:
        keys = [self.asked.key(row) for row in rows.tolist()]
        there = _outputs(self.db, self.asked.teacher, keys, self.state.newest_source)
        missing = np.array([key not in there for key in keys])
        logits = self.asked.compute(rows[missing]) if missing.any() else []
        packed = [_packed(row, each) for row, each in zip(rows[missing].tolist(), logits, strict=True)]
        # only now, as a batch that fails counts for nothing
        self.computed += zip([key for key in keys if key not in there], packed, strict=True)
        self.reused += [there[key][:2] for key in keys if key in there]
        self.batches += 1

    def _save(self) -> None:
        now = time.perf_counter()
        seconds, n = now - self.since, len(self.computed)
        sources: dict[str, list[float]] = {}
        for source, spent in self.reused:
            sources.setdefault(source, []).append(spent)
        self.seconds += (seconds if n else 0.0) + sum(spent for _, spent in self.reused)
        with self.db:
            self.db.executemany(
                "INSERT INTO outputs (pass, window, seconds, logits) VALUES (?, ?, ?, ?)",
                ((self.state.id, key, seconds / n, logits) for key, logits in self.computed),
            )
            self.db.execute(
                "UPDATE passes SET batches = ?, seconds = ? WHERE id = ?",
                (self.batches, self.seconds, self.state.id),
            )
        self.computed, self.reused, self.since = [], [], now
        if n:
            self.report.computed(n, seconds)
        for source, all_seconds in sources.items():
            self.report.reused(source, len(all_seconds), sum(all_seconds))


class TeacherLabels:
    """A teacher's logits for the rows of a pass, read from the table as they are needed."""

    def __init__(self, file: Path, state: _State, asked: Pass) -> None:
        self.file, self.state, self.asked = file, state, asked

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Start and end logits fp32 [B, L] for the batch's rows; 0 on padding."""
        state, asked = self.state, self.asked
        out = np.zeros((*batch.input_ids.shape, 2), dtype=np.float32)
        keys = [asked.key(row) for row in batch.rows.cpu().tolist()]
        # Opened for each batch: it costs 0.1 ms, and no connection has to survive forks and threads.
        with closing(_open_to_read(self.file)) as db:
            there = _outputs(db, asked.teacher, keys, state.newest_source, state.id)
        for line, key in enumerate(keys):
            if key not in there:
                raise RunError(
                    f"{self.file} no longer has the teacher's outputs for all windows. Delete it to have them computed "
                    "again."
                )
            logits = np.frombuffer(there[key][2], dtype=np.float16).reshape(-1, 2)
            out[line, : len(logits)] = logits
        both = torch.from_numpy(out).to(batch.input_ids.device)
        return both[..., 0], both[..., 1]


def _open_to_read(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


def _state(db: sqlite3.Connection, name: str) -> _State | None:
    row = db.execute(
        "SELECT id, batches, seconds, newest_source FROM passes WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else _State(*row)


def _outputs(
    db: sqlite3.Connection, teacher: str, keys: Iterable[bytes], newest_source: int, own_pass: int = -1
) -> dict[bytes, tuple[str, float, bytes]]:
    """Pass, seconds and logits by key: of the outputs up to the newest source and those of a pass, the oldest."""
    wanted = list(dict.fromkeys(keys))
    found = db.execute(
        "SELECT window, name, outputs.seconds, logits FROM outputs JOIN passes ON passes.id = pass "
        f"WHERE window IN ({', '.join('?' * len(wanted))}) AND teacher = ? AND (outputs.id <= ? OR pass = ?) "
        "ORDER BY outputs.id DESC",
        (*wanted, teacher, newest_source, own_pass),
    )
    return {window: (name, seconds, logits) for window, name, seconds, logits in found}


def _packed(row: int, logits: Float32) -> bytes:
    """The logits [n, 2] of a row in half precision."""
    if not np.isfinite(logits).all():
        raise RunError(
            f"the teacher gave logits that are not finite for window {row}; its weights are damaged or its precision "
            'is too low. Check the teacher, or set training.precision = "fp32".'
        )
    return np.clip(logits, -6e4, 6e4).astype(np.float16).tobytes()


class MeanLabels:
    """Several teachers at once: the weighted mean of their distributions on the student's tokens.

    Probabilities are averaged, not logits: those have another zero with each teacher. The mean is taken at
    temperature 1.
    """

    def __init__(self, teachers: Sequence[SpanLabels], weights: Sequence[float]) -> None:
        self.teachers = teachers
        self.shares = [weight / sum(weights) for weight in weights]

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logarithms fp32 [B, L] of the mean start and end probabilities; -10,000 where there may be no answer."""
        both: tuple[list[Tensor], list[Tensor]] = ([], [])
        for teacher, share in zip(self.teachers, self.shares, strict=True):
            for distributions, logits in zip(both, teacher.logits(batch), strict=True):
                distributions.append(
                    logits.masked_fill(~batch.allowed, -torch.inf).log_softmax(-1) + math.log(share)
                )
        start, end = (torch.stack(each).logsumexp(0).clamp_min(LOG_ZERO) for each in both)
        return start, end


def own_windows(forward: Forward, store: FeatureStore, pad_id: int) -> Compute:
    """Computes logits by a teacher that reads the student's own windows."""

    def compute(rows: Rows) -> list[Float32]:
        both = np.stack(forward(store.batch(rows, pad_id)), -1)
        return [both[line, :n] for line, n in enumerate(store.lengths[rows].tolist())]

    return compute


def paired_windows(forward: Forward, pairs: PairStore, pad_id: int) -> Compute:
    """Computes logits by a teacher with another tokenizer, carried to the student's tokens."""

    def compute(rows: Rows) -> list[Float32]:
        numbers = [pairs.pieces(row) for row in rows.tolist()]
        start, end = forward(pairs.windows.batch(np.concatenate(numbers), pad_id))
        found, line = [], 0
        for row, pieces in zip(rows.tolist(), numbers, strict=True):
            logits = [
                _slice_logits(pairs, piece, start[line + k], end[line + k])
                for k, piece in enumerate(pieces.tolist())
            ]
            found.append(_carried(logits, pairs, row))
            line += len(pieces)
        return found

    return compute


def _slice_logits(pairs: PairStore, piece: int, start: Float32, end: Float32) -> SliceLogits:
    """The teacher's logits on a piece of a slice, from those with padding."""
    places = pairs.teacher_places(piece)
    kept = np.concatenate([[0], np.arange(places.first, places.stop)])
    return SliceLogits(start[kept], end[kept], places.context, pairs.begin(piece))


def _carried(pieces: Sequence[SliceLogits], pairs: PairStore, row: int) -> Float32:
    """The logarithms [n, 2] of the start and end probabilities of a row's tokens; not finite where a logit is
    not.
    """
    student = pairs.student_places(row)
    if not all(np.isfinite(logits).all() for piece in pieces for logits in (piece.start, piece.end)):
        return np.full((len(student), 2), np.nan, dtype=np.float32)
    probabilities = np.stack(carry(merge_pieces(pieces), student), -1)
    return logarithms(probabilities).astype(np.float32)


def by_network(network: Network, device: torch.device) -> Forward:
    """The forward pass of a `Network`."""

    @torch.no_grad()
    def forward(batch: Batch) -> tuple[Float32, Float32]:
        outputs = network.forward(batch.to(device))
        return outputs.start_logits.cpu().numpy(), outputs.end_logits.cpu().numpy()

    return forward


def by_runtime(runtime: Runtime) -> Forward:
    """The forward pass of an engine."""

    def forward(batch: Batch) -> tuple[Float32, Float32]:
        return runtime.logits(batch.input_ids.numpy(), batch.mask.numpy(), batch.segment_ids.numpy())

    return forward


def own_key(store: FeatureStore) -> Callable[[int], bytes]:
    """The keys of rows that the teacher reads as they stand in the student's store."""

    def key(row: int) -> bytes:
        record = store.index[row]
        offset, length = int(record["offset"]), int(record["length"])
        around = [int(record[name]) for name in ("segment", "segment_stop", "first", "stop")]
        return _hash([repr(around).encode(), store.ids[offset : offset + length].astype("<i4").tobytes()])

    return key


def paired_key(pairs: PairStore) -> Callable[[int], bytes]:
    """The keys of rows that the teacher reads with a tokenizer of its own: its tokens, and all places."""

    def key(row: int) -> bytes:
        student, parts = pairs.student_places(row), []
        parts += [repr((student.first, student.stop)).encode(), student.line.astype("<i4").tobytes()]
        for piece in pairs.pieces(row).tolist():
            record, places = pairs.windows.index[piece], pairs.teacher_places(piece)
            offset, length = int(record["offset"]), int(record["length"])
            segments = int(record["segment"]), int(record["segment_stop"])
            parts += [
                repr((places.first, places.stop, pairs.begin(piece), *segments)).encode(),
                places.line.astype("<i4").tobytes(),
                pairs.windows.ids[offset : offset + length].astype("<i4").tobytes(),
            ]
        return _hash(parts)

    return key


def _hash(parts: Sequence[bytes]) -> bytes:
    mixed = hashlib.blake2b(digest_size=_KEY_BYTES)
    for part in parts:
        mixed.update(len(part).to_bytes(8, "little") + part)
    return mixed.digest()
