"""Word vectors: text files of GloVe and word2vec, their cache, and the nearest rows by cosine similarity.

- GloVe: a line for each word, the word and its numbers separated by spaces.
- word2vec's text format: the same after a header line `ROWS DIMENSIONS`.

Either may be compressed by gzip. A file is parsed once and then memory-mapped from the user's cache directory
under the hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tinyreader.arrays import Bool, Float32, Float64, Rows
from tinyreader.errors import DataError, SettingsError
from tinyreader.storage import (
    atomic_directory,
    cache_directory,
    file_hash,
    file_lock,
    open_binary,
    remove_leftovers,
    text_hash,
)

log = logging.getLogger(__name__)

Block = tuple[list[bytes], Float64]
"""Words and their numbers, float64 [n, d]; bytes, because some old files have words cut inside a character."""
_Line = tuple[int, bytes]  # its number and its content

EXPECTED = "Word vectors are a text file of GloVe or word2vec, plain or .gz"
BINARY = (
    "word2vec's binary format has to be converted first, with gensim: "
    "KeyedVectors.load_word2vec_format(OLD, binary=True).save_word2vec_format(NEW)"
)
MAX_SCORE_BYTES = 64 << 20
"""Memory for the scores of one product; about twice as much is in use at a time."""

_BLOCK_VALUES = 1 << 18
_MAX_LINE_BYTES = 1 << 22
_MAX_DIMENSIONS = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADER = re.compile(rb"\s*(\d{1,12})\s+(\d{1,12})\s*")

_FOLDER = "vectors-1"  # another number when the layout below changes
_UNIT, _WORDS, _ABOUT = "unit.f32", "words.txt", "about.json"


@dataclass(frozen=True, slots=True)
class VectorNotes:
    """How many vectors were read, and how many were left out for each reason.

    `zero`: all values are 0, which has no direction. `duplicate`: the word already has a vector; the first
    one counts. `not_utf8`: the word's bytes are not valid UTF-8. `nameless`: there is no word.
    """

    read: int = 0
    zero: int = 0
    duplicate: int = 0
    not_utf8: int = 0
    nameless: int = 0

    @property
    def left_out(self) -> int:
        """The number of vectors left out for any reason."""
        return self.zero + self.duplicate + self.not_utf8 + self.nameless

    def __str__(self) -> str:
        reasons = {
            "of length 0": self.zero,
            "for a duplicate word": self.duplicate,
            "for a word that is not UTF-8": self.not_utf8,
            "without a word": self.nameless,
        }
        listed = ", ".join(f"{n:,} {reason}" for reason, n in reasons.items() if n)
        return f"{self.read:,} vectors read" + (f", left out: {listed}" if listed else "")


@dataclass(frozen=True)
class Vectors:
    """Distinct words and the directions of their vectors: `unit` float32 [N, d], rows of length 1.

    `fingerprint` (32 hexadecimal digits) identifies the words and their original values.
    """

    words: Sequence[str]
    unit: Float32
    fingerprint: str
    notes: VectorNotes

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    def find(self, word: str) -> int | None:
        """The row of the word, else of its lower-case form, else None."""
        row = self._rows.get(word)
        return self._rows.get(word.lower()) if row is None else row

    def nearest(self, rows: Sequence[int], k: int, *, among: Bool | None = None) -> list[Rows]:
        """For each row the up to `k` nearest others, best first; see `nearest_rows`."""
        return nearest_rows(self.unit, rows, k, among=among)


def nearest_rows(
    unit: Float32,
    rows: Sequence[int],
    k: int,
    *,
    among: Bool | None = None,
    max_score_bytes: int = MAX_SCORE_BYTES,
) -> list[Rows]:
    """For each of `rows` the up to `k` nearest other rows by cosine, best first; the lower row wins a tie.

    `unit` is [N, d] with rows of length 1. Only rows where `among` [N] is true are returned.
    """
    if k < 1:
        raise SettingsError(f"k is {k}; it must be at least 1")
    n_together = max(1, max_score_bytes // (4 * len(unit)))
    excluded = np.zeros(len(unit), dtype=np.bool_) if among is None else ~among
    found: list[Rows] = []
    for start in range(0, len(rows), n_together):
        part = np.asarray(rows[start : start + n_together], dtype=np.int64)
        for row, scores in zip(part.tolist(), unit[part] @ unit.T, strict=True):
            scores[excluded] = -np.inf
            scores[row] = -np.inf
            found.append(_best(unit, row, scores, k))
    return found


def _best(unit: Float32, row: int, scores: Float32, k: int) -> Rows:
    """The `k` best rows by their float32 `scores` [N], ordered by exact ones.

    The last bits of a float32 product depend on the number of rows in it. Near ties are therefore compared in
    float64, so that the result for a row is the same whatever else is asked for, and augmented data is the
    same whether or not it was interrupted.
    """
    k = min(k, len(scores))
    # A product of unit vectors is off by at most d roundings, so the best k are within twice that of the k-th.
    margin = 2 * unit.shape[1] * np.finfo(np.float32).eps
    threshold = np.partition(scores, -k)[-k] - margin
    near = np.flatnonzero(scores >= max(threshold, np.finfo(np.float32).min))
    exact = np.concatenate(
        [
            (unit[part].astype(np.float64) * unit[row]).sum(axis=1)
            for part in np.array_split(near, 1 + len(near) // 10_000)
        ]
    )
    return near[np.lexsort((near, -exact))][:k]


def load_vectors(path: str | os.PathLike[str], *, cache: Path | None = None) -> Vectors:
    """The word vectors in a text file of GloVe or word2vec, gzip-compressed or not.

    They are parsed once and cached in the directory `cache` (by default the user's own). If the cache cannot
    be written, they are held in memory, with a warning in the log. Raises `DataError` for a malformed file;
    see `read_blocks`.
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
    log.info("reading the word vectors in %s, once; they are cached in %s", source, folder)
    try:
        _build(str(source), _unchanged(source, stamp), folder)
        kept = _open(folder)
    except OSError as error:  # from the cache; errors of the source are DataErrors
        log.warning(
            "the vectors of %s cannot be cached in %s (%s): they are held in memory",
            source,
            folder.parent,
            error,
        )
    return kept if kept is not None else _in_memory(str(source), _unchanged(source, stamp))


def _stamp(source: Path) -> tuple[int, int]:
    status = source.stat()
    return status.st_size, status.st_mtime_ns


def _unchanged(source: Path, stamp: tuple[int, int]) -> Iterator[Block]:
    """Yield the file's blocks; `DataError` at the end if the file has changed and its hash with it."""
    yield from read_blocks(source)
    if _stamp(source) != stamp:
        raise DataError(f"{source}: the file changed while it was read. Wait until it is complete")


def _hash(source: Path) -> str:
    try:
        return file_hash(source)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error


class _Filter:
    """Reduces blocks to their usable rows, at unit length; collects the words, the counts and the digest."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._seen: set[str] = set()
        self._counts = dict.fromkeys(VectorNotes.__slots__, 0)
        self._digest = hashlib.blake2b(b"tinyreader vectors 1\n", digest_size=16)

    def take(self, words: list[bytes], values: Float64) -> Float32:
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
        # Divided by their largest value first, so that no square overflows.
        scaled = chosen / largest[kept, None]
        unit: Float32 = (scaled / np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))).astype("<f4")
        return unit

    def _add(self, name: bytes) -> str | None:
        """Add the word, or return the reason why it is left out."""
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
    usable = _Filter()
    parts = [usable.take(words, values) for words, values in blocks]
    fingerprint, notes = usable.result(name)
    return Vectors(usable.words, np.concatenate(parts), fingerprint, notes)


def _build(name: str, blocks: Iterable[Block], folder: Path) -> None:
    """Write the cache directory `folder`, unless another process has done so in the meantime."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(folder.with_name(".lock")):
        if folder.exists() and _open(folder) is not None:
            return
        remove_leftovers(folder)
        with atomic_directory(folder) as partial:
            usable = _Filter()
            # Written, not mapped: on a full disk a write raises an error, a mapped page kills the process.
            with (partial / _UNIT).open("wb") as file:
                for words, values in blocks:
                    unit = usable.take(words, values)
                    file.write(unit.tobytes())
            fingerprint, notes = usable.result(name)
            text = "\n".join(usable.words).encode()
            (partial / _WORDS).write_bytes(text)
            about = {
                "rows": len(usable.words),
                "dimensions": unit.shape[1],
                "fingerprint": fingerprint,
                "notes": asdict(notes),
                "words": text_hash(text),
            }
            (partial / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _open(folder: Path) -> Vectors | None:
    """The vectors cached in the folder, memory-mapped; None if there are none or they are damaged."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        text = (folder / _WORDS).read_bytes()
        words = text.decode("utf-8").split("\n")
        shape = int(about["rows"]), int(about["dimensions"])
        n_bytes = (folder / _UNIT).stat().st_size
        if text_hash(text) != about["words"] or len(words) != shape[0] or n_bytes != 4 * shape[0] * shape[1]:
            raise ValueError("its sizes or words do not match about.json")
        unit = np.asarray(np.memmap(folder / _UNIT, dtype="<f4", mode="r", shape=shape))
        return Vectors(words, unit, str(about["fingerprint"]), VectorNotes(**about["notes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if folder.exists():
            log.warning("%s is damaged (%s); the vectors are parsed again", folder, error)
        return None


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield the file's rows in order, in blocks of some hundreds; at least one row.

    Raises `DataError`, naming the line, for rows of another length, values that are not finite numbers, a
    header that does not match the rows, and a file that is not text or ends early.
    """
    try:
        with open_binary(path) as file:
            yield from _blocks(file, path)
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: the compressed data ends early or is damaged ({error}). Fetch the file again"
        ) from error
    except OSError as error:  # includes a wrong checksum in gzip
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _blocks(file: BinaryIO, path: Path) -> Iterator[Block]:
    lines = _lines(file, path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: there are no vectors in it, it is empty. {EXPECTED}")
    layout = _layout(path, *first)
    if layout.n_rows is None:
        lines = chain([first], lines)
    n, pending = 0, list[_Line]()
    for n, line in enumerate(lines, 1):
        if n - 1 == layout.n_rows:
            raise DataError(
                f"{path}, line {line[0]}: is one vector more than the {layout.n_rows} that the header (line 1) "
                "says"
            )
        pending.append(line)
        if len(pending) * layout.n_dimensions >= _BLOCK_VALUES:
            yield layout.parse(pending)
            pending = []
    if pending:
        yield layout.parse(pending)
    if layout.n_rows is not None and n < layout.n_rows:
        raise DataError(
            f"{path}: the header (line 1) says {layout.n_rows} vectors, and there are {n}. Fetch the file again"
        )


def _lines(file: BinaryIO, path: Path) -> Iterator[_Line]:
    """Yield the lines that are not blank, without line ends and with spaces for tabs."""
    for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), 1):
        if len(line) == _MAX_LINE_BYTES:
            raise DataError(f"{path}, line {number}: is longer than {_MAX_LINE_BYTES:,} bytes. {EXPECTED}")
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        row = line.rstrip(b" \t\r\n").replace(b"\t", b" ")
        if row:
            yield number, row


def _layout(path: Path, number: int, row: bytes) -> _Layout:
    """The layout of a file, from its first line that is not blank."""
    if number == 1 and (header := _HEADER.fullmatch(row)) is not None:
        n_rows, n_dimensions = int(header[1]), int(header[2])
        if n_rows == 0:
            raise DataError(f"{path}: there are no vectors in it, its header (line 1) says so. {EXPECTED}")
        if not 0 < n_dimensions <= _MAX_DIMENSIONS:
            raise DataError(
                f"{path}, line 1: the header says {n_dimensions} dimensions; it should be 1 to "
                f"{_MAX_DIMENSIONS}"
            )
        return _Layout(path, n_dimensions, n_rows)
    if b"\0" in row:
        hint = " It is a zip archive: unpack it first." if row.startswith(b"PK\3\4") else ""
        raise DataError(f"{path}: is not a text file.{hint} {EXPECTED}")
    fields = _fields(row)
    for field in fields[1:]:
        if _number(field) is None:
            raise DataError(f"{path}, line {number}: {_quoted(field)} is not a number. {EXPECTED}")
    if len(fields) < 2:
        raise DataError(f"{path}, line {number}: there are no values after {_quoted(row)}. {EXPECTED}")
    return _Layout(path, len(fields) - 1)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How many values each row of a file has, and, where a header says so, how many rows there are."""

    path: Path
    n_dimensions: int
    n_rows: int | None = None

    def parse(self, lines: Sequence[_Line]) -> Block:
        """The lines as a block: in one pass if they are all regular, else one by one to find the bad one."""
        pairs = [row.partition(b" ") for _, row in lines]
        values = self._parse_regular([rest for _, _, rest in pairs])
        if values is not None:
            return [word for word, _, _ in pairs], values
        checked = [self._parse_line(number, row) for number, row in lines]
        return [word for word, _ in checked], np.array([numbers for _, numbers in checked], dtype=np.float64)

    def _parse_regular(self, texts: list[bytes]) -> Float64 | None:
        """The numbers float64 [n, n_dimensions]; None if any row is irregular."""
        if not all(texts):
            return None
        try:
            values = np.loadtxt(
                (text.decode("ascii") for text in texts), dtype=np.float64, comments=None, ndmin=2
            )
        except ValueError:
            return None
        is_regular = values.shape == (len(texts), self.n_dimensions) and np.isfinite(values).all()
        return values if is_regular else None

    def _parse_line(self, number: int, row: bytes) -> tuple[bytes, list[float]]:
        """The word and the values of a line. A word may contain spaces (GloVe has some), or be missing."""
        remedy = "Repair or remove the line, or fetch the file again"
        if self.n_rows is not None and number == 2:  # a header, and then no text
            remedy = f"Repair the line; {BINARY}"
        fields = _fields(row)
        word, texts = fields[: -self.n_dimensions], fields[-self.n_dimensions :]
        has_all = len(texts) == self.n_dimensions and (bool(word) or row.startswith(b" "))
        if not has_all or (len(word) > 1 and _number(word[-1]) is not None):
            n_values = sum(_number(field) is not None for field in fields[1:])
            origin = "the first line has" if self.n_rows is None else "the header (line 1) says"
            raise DataError(
                f"{self.path}, line {number}: {_quoted(fields[0])} has {n_values} values, and {origin} "
                f"{self.n_dimensions}. {remedy}"
            )
        values = []
        for text in texts:
            value = _number(text)
            if value is None or not isfinite(value):
                kind = "a number" if value is None else "a finite number"
                raise DataError(f"{self.path}, line {number}: {_quoted(text)} is not {kind}. {remedy}")
            values.append(value)
        return b" ".join(word), values


def _fields(row: bytes) -> list[bytes]:
    """The parts between spaces. Nothing else separates: a form feed or no-break space can be in a word."""
    return [field for field in row.split(b" ") if field]


def _number(text: bytes) -> float | None:
    """The number that the text spells, or None."""
    try:
        return None if b"_" in text else float(text)
    except ValueError:
        return None


def _quoted(text: bytes) -> str:
    """The first bytes of the text in quotes, for a message."""
    return repr(text[:40].decode("utf-8", "replace"))
