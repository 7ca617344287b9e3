"""What other passes of the same teacher have said of the same windows, so that a window is read once for all
data sets.

A finished pass has a list of its windows beside its logits: for each a key, the hash of all that fixes what
is stored for it, and its place. A later pass over other rows or another data set takes what it finds under
its keys from there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyreader.distil.features import FeatureStore
from tinyreader.distil.pairs import PairStore
from tinyreader.errors import RunError
from tinyreader.storage import atomic_path, read_object

Rows = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Read = Callable[[Rows], list[FloatArray]]
"""Start and end logits [n, 2] of each row's n tokens."""

LOGITS, STATE, KEYS = "logits.bin", "labels.json", "keys.npy"
"""The files of a pass: its logits fp16 [tokens, 2], how far it is and whose words they are, and the list of
its windows.
"""

_KEY_BYTES = 16
_ENTRY = np.dtype([("key", f"V{_KEY_BYTES}"), ("offset", "<i8"), ("length", "<i4")])


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks (its weights, precision and engine) and of what: the key, 16 bytes, of a row of the
    student's.
    """

    identity: str
    key: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, eq=False)
class _Finished:
    """A pass that is whole: its name, its logits fp16 [tokens, 2], and the seconds that each of its windows
    took.
    """

    name: str
    logits: npt.NDArray[np.float16]
    seconds: float


@dataclass(frozen=True, slots=True)
class Taken:
    """So many windows from the pass of that name, and the seconds they took when they were computed."""

    source: str
    windows: int
    seconds: float


def by_source(parts: Iterable[Taken]) -> list[Taken]:
    """The parts added up, one for each source."""
    sums: dict[str, Taken] = {}
    for part in parts:
        so_far = sums.get(part.source, Taken(part.source, 0, 0.0))
        sums[part.source] = Taken(part.source, so_far.windows + part.windows, so_far.seconds + part.seconds)
    return list(sums.values())


class SaidBefore:
    """Answers from finished passes where they have them; remembers what it took."""

    def __init__(self, folders: Iterable[Path], speaker: Speaker, rows: Rows) -> None:
        """`rows` are all that may be asked for: of a pass only the places of these are kept in memory."""
        self._places: dict[int, tuple[_Finished, int, int]] = {}
        self._taken: list[_Finished] = []
        there = list(folders)
        if not there:
            return
        wanted: dict[bytes, list[int]] = {}
        for row in rows.tolist():
            wanted.setdefault(speaker.key(row), []).append(row)
        for folder in there:
            self._add(folder, wanted)

    def ahead_of(self, read: Read) -> Read:
        """A function like `read` that asks it only for the rows that nobody has been asked for."""
        if not self._places:
            return read

        def either(rows: Rows) -> list[FloatArray]:
            found = [self._take(row) for row in rows.tolist()]
            missing = np.array([said is None for said in found])
            computed = iter(read(rows[missing]) if missing.any() else ())
            return [next(computed) if said is None else said for said in found]

        return either

    def counted(self) -> list[Taken]:
        """What was taken since the last call, by source."""
        taken, self._taken = self._taken, []
        return by_source(Taken(finished.name, 1, finished.seconds) for finished in taken)

    def _take(self, row: int) -> FloatArray | None:
        place = self._places.get(row)
        if place is None:
            return None
        finished, offset, length = place
        self._taken.append(finished)
        return finished.logits[offset : offset + length].astype(np.float32)

    def _add(self, folder: Path, wanted: dict[bytes, list[int]]) -> None:
        """Takes in the windows of a pass; nothing where its files have gone or are not of one piece."""
        try:
            state, entries = json.loads((folder / STATE).read_text()), np.load(folder / KEYS)
            logits = np.memmap(folder / LOGITS, dtype=np.float16, mode="r").reshape(-1, 2)
            seconds = float(state.get("seconds", 0.0)) / max(1, len(entries))
            reach = int((entries["offset"] + entries["length"]).max(initial=0))
            found = entries[np.isin(_heads(entries["key"].tobytes()), _heads(b"".join(wanted)))]
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return
        if reach > len(logits):
            return
        finished = _Finished(folder.name, logits, seconds)
        for entry in found:
            for row in wanted.get(entry["key"].tobytes(), ()):
                self._places[row] = (finished, int(entry["offset"]), int(entry["length"]))


def _heads(keys: bytes) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each key."""
    return np.frombuffer(keys, dtype="<u8").reshape(-1, _KEY_BYTES // 8)[:, 0]


def read_state(folder: Path) -> dict[str, Any]:
    """The note of how far a pass is; empty where it is missing or damaged, for the pass is then made again."""
    try:
        return read_object(folder / STATE)
    except RunError:
        return {}


def finished_passes(parent: Path, speaker: Speaker) -> list[str]:
    """The names of the folders in `parent` that hold finished passes of that speaker."""
    folders = [keys.parent for keys in sorted(parent.glob(f"*/{KEYS}"))]
    return [folder.name for folder in folders if read_state(folder).get("speaker") == speaker.identity]


def write_keys(folder: Path, store: FeatureStore, rows: Rows, speaker: Speaker) -> None:
    """Lists the windows of a pass that is whole, for later passes; nothing where we may not write."""
    if not os.access(folder, os.W_OK):
        return
    entries = np.zeros(len(rows), dtype=_ENTRY)
    entries["key"] = np.frombuffer(b"".join(speaker.key(row) for row in rows.tolist()), dtype=_ENTRY["key"])
    entries["offset"], entries["length"] = store.index["offset"][rows], store.index["length"][rows]
    with atomic_path(folder / KEYS) as path, path.open("wb") as file:
        np.save(file, entries)


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
