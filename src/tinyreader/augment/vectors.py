"""Word vectors: read once, then memory-mapped from the user's cache directory under the hash of their
file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyreader.augment.cosine import MAX_BLOCK_BYTES, Mask, Matrix, Rows, nearest_rows
from tinyreader.augment.vector_files import EXPECTED, Block, read_blocks
from tinyreader.errors import DataError
from tinyreader.files import cache_directory, sync

log = logging.getLogger(__name__)

_FOLDER = "vectors-1"  # another number when what is written below it changes
_UNIT, _WORDS, _ABOUT = "unit.f32", "words.txt", "about.json"
_LEFTOVER_SECONDS = (
    3600  # a process that reads vectors writes every second; one silent for an hour was killed
)
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class VectorNotes:
    """How many vectors were read, and how many of them were left out for which reason.

    `zero`: all values are 0, which is no direction. `duplicate`: the word has one already, the first counts.
    `not_utf8`: the word's bytes are no text. `nameless`: there is no word.
    """

    read: int = 0
    zero: int = 0
    duplicate: int = 0
    not_utf8: int = 0
    nameless: int = 0

    @property
    def left_out(self) -> int:
        """How many were left out in all."""
        return self.zero + self.duplicate + self.not_utf8 + self.nameless

    def __str__(self) -> str:
        reasons = {
            "of length 0": self.zero,
            "for a word seen before": self.duplicate,
            "for a word that is not UTF-8": self.not_utf8,
            "without a word": self.nameless,
        }
        said = ", ".join(f"{n:,} {reason}" for reason, n in reasons.items() if n)
        return f"{self.read:,} vectors read" + (f", left out: {said}" if said else "")


@dataclass(frozen=True)
class Vectors:
    """Words, each once, with the directions of their vectors: `unit` float32 [N, d], rows of length 1.

    `fingerprint` (32 hexadecimal digits) stands for the words and the values they came with.
    """

    words: Sequence[str]
    unit: Matrix
    fingerprint: str
    notes: VectorNotes

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    def find(self, word: str) -> int | None:
        """The row of the word, or of its lower-case form where the word itself has none; None where neither
        has.
        """
        row = self._rows.get(word)
        return self._rows.get(word.lower()) if row is None else row

    def nearest(
        self,
        rows: Sequence[int],
        k: int,
        *,
        among: Mask | None = None,
        max_block_bytes: int = MAX_BLOCK_BYTES,
    ) -> list[Rows]:
        """For each row the up to `k` others nearest to it, best first; see `nearest_rows`."""
        return nearest_rows(self.unit, rows, k, among=among, max_block_bytes=max_block_bytes)


def make_vectors(words: Sequence[str], values: npt.ArrayLike) -> Vectors:
    """Vectors from words and their values [N, d] in memory; `DataError` where they do not fit or are not
    finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(words) or not table.shape[1]:
        raise DataError(
            f"{len(words)} words need as many rows of values, and the values have the shape {table.shape}"
        )
    if not np.isfinite(table).all():
        raise DataError(
            f"the vector of {words[int(np.isfinite(table).all(1).argmin())]!r} has values that are not finite"
        )
    return _in_memory("the table", [([word.encode("utf-8", "surrogatepass") for word in words], table)])


def load_vectors(path: str | os.PathLike[str], *, cache: Path | None = None) -> Vectors:
    """The word vectors in a file of GloVe (text) or word2vec (text or binary), gzip-compressed or not.

    They are parsed once, kept in the `cache` directory (the user's own by default) under the hash of the
    file, and memory-mapped from there. Where nothing can be kept, they are held in memory, with a warning in
    the log. Raises `DataError` for a file that is not as its format has it; see `read_blocks`.
    """
    source = Path(path)
    if not source.is_file():
        what = "is a directory" if source.is_dir() else "no such file"
        raise DataError(f"{path}: {what}. {EXPECTED}")
    stamp = _stamp(source)
    folder = (cache_directory() if cache is None else cache) / _FOLDER / _hash(source)
    kept = _open(folder)
    if kept is not None:
        return kept
    log.info("reading the word vectors in %s, once; they are kept in %s", source, folder)
    try:
        _build(str(source), _unchanged(source, stamp), folder)
        kept = _open(folder)
    except OSError as error:  # of the cache: what is wrong with the source is a DataError
        log.warning(
            "the vectors of %s cannot be kept in %s (%s): they are held in memory",
            source,
            folder.parent,
            error,
        )
    return kept if kept is not None else _in_memory(str(source), _unchanged(source, stamp))


def _stamp(source: Path) -> tuple[int, int]:
    status = source.stat()
    return status.st_size, status.st_mtime_ns


def _unchanged(source: Path, stamp: tuple[int, int]) -> Iterator[Block]:
    """Yield the file's blocks; `DataError` at the end if the file was written to since, for its hash is then
    not theirs.
    """
    yield from read_blocks(source)
    if _stamp(source) != stamp:
        raise DataError(f"{source}: has changed while it was read. Wait until it is whole")


def _hash(source: Path) -> str:
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error


class _Sieve:
    """Takes blocks as they come, gives their usable rows at unit length, and keeps the words and the
    counts.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self._seen: set[str] = set()
        self._counts = dict.fromkeys(VectorNotes.__slots__, 0)
        self._digest = hashlib.blake2b(b"tinyreader vectors 1\n", digest_size=16)

    def take(self, words: list[bytes], values: npt.NDArray[np.float64]) -> Matrix:
        """The block's usable rows at unit length, float32 [n, d]."""
        largest = np.abs(values).max(axis=1)
        kept = []
        for number, (word, size) in enumerate(zip(words, largest.tolist(), strict=True)):
            reason = self._add(word) if size else "zero"
            if reason is None:
                kept.append(number)
            else:
                self._counts[reason] += 1
        self._counts["read"] += len(words)
        chosen = values[kept]
        self._digest.update(chosen.astype("<f8").tobytes())
        # Divided by their largest value first, so that the squares of no row are beyond what a float can
        # hold.
        scaled = chosen / largest[kept, None]
        unit: Matrix = (scaled / np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))).astype("<f4")
        return unit

    def _add(self, name: bytes) -> str | None:
        """Takes a word in, or says why not."""
        try:
            word = name.decode("utf-8")
        except UnicodeDecodeError:
            return "not_utf8"
        if not word:
            return "nameless"
        if word in self._seen:
            return "duplicate"
        self._seen.add(word)
        self.words.append(word)
        return None

    def result(self, name: str) -> tuple[str, VectorNotes]:
        """The fingerprint and the notes; `DataError` when nothing was usable."""
        notes = VectorNotes(**self._counts)
        if not self.words:
            raise DataError(f"{name}: none of its vectors can be used: {notes}. {EXPECTED}")
        digest = self._digest.copy()
        digest.update("\n".join((str(len(self.words)), *self.words)).encode())
        return digest.hexdigest(), notes


def _in_memory(name: str, blocks: Iterable[Block]) -> Vectors:
    sieve = _Sieve()
    parts = [sieve.take(words, values) for words, values in blocks]
    fingerprint, notes = sieve.result(name)
    return Vectors(sieve.words, np.concatenate(parts), fingerprint, notes)


def _build(name: str, blocks: Iterable[Block], folder: Path) -> None:
    """Make `folder`, which appears by one rename when everything in it is on disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    partial = folder.with_name(f".tmp-{secrets.token_hex(4)}-{folder.name}")
    partial.mkdir()
    try:
        sieve = _Sieve()
        with (partial / _UNIT).open(
            "wb"
        ) as file:  # written, not mapped: on a full disk a write is an error, a map a crash
            for words, values in blocks:
                unit = sieve.take(words, values)
                file.write(unit.tobytes())
        fingerprint, notes = sieve.result(name)
        text = "\n".join(sieve.words).encode()
        (partial / _WORDS).write_bytes(text)
        about = {
            "rows": len(sieve.words),
            "dimensions": unit.shape[1],
            "fingerprint": fingerprint,
            "notes": asdict(notes),
            "words": _digest(text),
        }
        (partial / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        sync(partial / _UNIT, partial / _WORDS, partial / _ABOUT, partial)
        _publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _publish(partial: Path, folder: Path) -> None:
    """Rename `partial` to `folder`, unless another process was faster; what is damaged there goes out of the
    way.
    """
    for attempt in range(_ATTEMPTS):
        try:
            partial.rename(folder)
            sync(folder.parent)
            return
        except OSError:
            if _open(folder) is not None:
                return
            if attempt == _ATTEMPTS - 1:
                raise
            aside = folder.with_name(f".tmp-{secrets.token_hex(4)}-damaged")
            with suppress(OSError):
                folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed have left; what is being written to stays."""
    for leftover in folder.glob(".tmp-*"):
        with suppress(OSError):
            newest = max(path.stat().st_mtime for path in (leftover, *leftover.iterdir()))
            if time.time() - newest > _LEFTOVER_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def _open(folder: Path) -> Vectors | None:
    """What is kept in the folder, memory-mapped; None where nothing is, or what is there is not whole."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        text = (folder / _WORDS).read_bytes()
        words = text.decode("utf-8").split("\n")
        shape = int(about["rows"]), int(about["dimensions"])
        n_bytes = (folder / _UNIT).stat().st_size
        if _digest(text) != about["words"] or len(words) != shape[0] or n_bytes != 4 * shape[0] * shape[1]:
            raise ValueError("sizes or words are not those it was made with")
        unit = np.asarray(np.memmap(folder / _UNIT, dtype="<f4", mode="r", shape=shape))
        return Vectors(words, unit, str(about["fingerprint"]), VectorNotes(**about["notes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if folder.exists():
            log.warning("%s is damaged (%s); the vectors are read again", folder, error)
        return None


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()
