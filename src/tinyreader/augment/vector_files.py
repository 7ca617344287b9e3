"""Files of word vectors, read a block of rows at a time: GloVe's text, word2vec's text, word2vec's binary
format.

- GloVe: a line per word, the word and its numbers with blanks between them.
- word2vec's text: the same after a line `ROWS DIMENSIONS`.
- word2vec's binary: that line, then for each word its bytes, a blank, float32 numbers and perhaps a newline.

Which of them it is, and whether it is compressed by gzip, is told by the content. Words come as bytes, since
old binary files hold some that are cut in the middle of a character.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tinyreader.errors import DataError
from tinyreader.files import open_binary

Values = npt.NDArray[np.float64]
Block = tuple[list[bytes], Values]
"""Words and their numbers, float64 [n, d]."""

EXPECTED = "Word vectors are a text file of GloVe or word2vec, or word2vec's binary format, each plain or .gz"
AGAIN = "Fetch the file again"

_BLOCK_VALUES = 1 << 18
_SAMPLE_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 22
_MAX_WORD_BYTES = 1 << 14
_MAX_DIMENSIONS = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADER = re.compile(rb"\s*(\d{1,12})\s+(\d{1,12})\s*")
_NO_TEXT = re.compile(rb"[^\t\n\r -~]")


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first line of a file says of the rest."""

    n_rows: int
    n_dimensions: int


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield the file's rows in order, in blocks of some hundreds of them; at least one row.

    Raises `DataError`, naming the line (in binary the word and the byte), for whatever is not as the format
    has it: rows of another length, values that are no finite numbers, a header that does not fit, a file that
    breaks off.
    """
    try:
        header, is_binary = _look_at(path)
        with open_binary(path) as file:
            if header is not None:
                file.readline()
            if is_binary and header is not None:
                yield from _binary_blocks(file, path, header)
            else:
                yield from _text_blocks(file, path, header)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: the compressed data breaks off or is damaged ({error}). {AGAIN}") from error
    except OSError as error:  # a wrong checksum in gzip is one too
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _look_at(path: Path) -> tuple[_Header | None, bool]:
    """The header, if there is one, and whether binary rows follow it."""
    with open_binary(path) as file:
        sample = file.read(_SAMPLE_BYTES).removeprefix(_BYTE_ORDER_MARK)
    if not sample.strip():
        raise DataError(f"{path}: there are no vectors in it, it is empty. {EXPECTED}")
    first, _, rest = sample.partition(b"\n")
    if (found := _HEADER.fullmatch(first)) is None:
        if b"\0" in sample:
            hint = " It is a zip archive: unpack it first." if sample.startswith(b"PK\3\4") else ""
            raise DataError(f"{path}: is neither text nor word2vec's binary format.{hint} {EXPECTED}")
        return None, False
    header = _Header(int(found[1]), int(found[2]))
    if header.n_rows == 0:
        raise DataError(f"{path}: there are no vectors in it, its header (line 1) says so. {EXPECTED}")
    if not 0 < header.n_dimensions <= _MAX_DIMENSIONS:
        raise DataError(
            f"{path}, line 1: the header says {header.n_dimensions} dimensions; it should be 1 to "
            f"{_MAX_DIMENSIONS}"
        )
    return header, _is_binary(rest, header)


def _is_binary(rows: bytes, header: _Header) -> bool:
    """Whether rows are binary: the first ends in no numbers written out, and its values have bytes that no
    text has.
    """
    fields = _fields(rows.partition(b"\n")[0].rstrip(b"\r").replace(b"\t", b" "))[-header.n_dimensions :]
    if len(fields) == header.n_dimensions and all(_number(field) is not None for field in fields):
        return False
    if _NO_TEXT.search(rows.partition(b" ")[2][: 4 * header.n_dimensions]) is not None:
        return True
    return _fits_exactly(rows, header)


def _fits_exactly(rows: bytes, header: _Header) -> bool:
    """Whether binary rows, as many as the header says, end where the sample ends: float32 bytes can all look
    like letters.
    """
    at = 0
    for _ in range(header.n_rows):
        blank = rows.find(b" ", at)
        at = blank + 1 + 4 * header.n_dimensions
        if blank < 0 or at > len(rows):
            return False
    return not rows[at:].strip()


def _text_blocks(file: BinaryIO, path: Path, header: _Header | None) -> Iterator[Block]:
    lines = _Lines(path, header)
    for number, row in _rows(file, path, n_before=0 if header is None else 1):
        if not lines.n_dimensions:
            lines.n_dimensions = _dimensions_of(row, path, number)
        if header is not None and lines.n_rows == header.n_rows:
            raise DataError(
                f"{path}, line {number}: is one vector more than the {header.n_rows} that the header (line "
                "1) says"
            )
        lines.add(number, row)
        if len(lines.rows) * lines.n_dimensions >= _BLOCK_VALUES:
            yield lines.take()
    if lines.rows:
        yield lines.take()
    if header is not None and lines.n_rows < header.n_rows:
        raise DataError(
            f"{path}: the header (line 1) says {header.n_rows} vectors, and {lines.n_rows} are there. {AGAIN}"
        )


def _rows(file: BinaryIO, path: Path, n_before: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers, with single blanks for what else separates."""
    for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), n_before + 1):
        if len(line) == _MAX_LINE_BYTES:
            raise DataError(f"{path}, line {number}: is longer than {_MAX_LINE_BYTES:,} bytes. {EXPECTED}")
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        row = line.rstrip(b" \t\r\n").replace(b"\t", b" ")
        if row:
            yield number, row


def _dimensions_of(row: bytes, path: Path, number: int) -> int:
    """How many values follow the word in the first line of a file without a header."""
    fields = _fields(row)
    for field in fields[1:]:
        if _number(field) is None:
            raise DataError(f"{path}, line {number}: {_show(field)} is no number. {EXPECTED}")
    if len(fields) < 2:
        raise DataError(f"{path}, line {number}: there are no values after {_show(row)}. {EXPECTED}")
    return len(fields) - 1


class _Lines:
    """Lines of text that wait to become a block, and the number of those that were added in all."""

    def __init__(self, path: Path, header: _Header | None) -> None:
        self.rows: list[bytes] = []
        self.n_rows = 0
        self.n_dimensions = 0 if header is None else header.n_dimensions
        self._path = path
        self._first = "the first line has" if header is None else "the header (line 1) says"
        self._numbers: list[int] = []

    def add(self, number: int, row: bytes) -> None:
        """Add a line."""
        self.rows.append(row)
        self._numbers.append(number)
        self.n_rows += 1

    def take(self) -> Block:
        """The lines as a block; all at once where they are as usual, else one by one to say which is not."""
        pairs = [row.partition(b" ") for row in self.rows]
        values = _parse([rest for _, _, rest in pairs], self.n_dimensions)
        if values is not None:
            block = [word for word, _, _ in pairs], values
        else:
            checked = [self._check(number, row) for number, row in zip(self._numbers, self.rows, strict=True)]
            block = (
                [word for word, _ in checked],
                np.array([numbers for _, numbers in checked], dtype=np.float64),
            )
        self.rows, self._numbers = [], []
        return block

    def _check(self, number: int, row: bytes) -> tuple[bytes, list[float]]:
        """The word and the values of a line. A word may hold blanks (GloVe's have some), or be missing before
        a blank.
        """
        fields = _fields(row)
        word, texts = fields[: -self.n_dimensions], fields[-self.n_dimensions :]
        has_all = len(texts) == self.n_dimensions and (bool(word) or row.startswith(b" "))
        if not has_all or (len(word) > 1 and _number(word[-1]) is not None):
            n_values = sum(_number(field) is not None for field in fields[1:])
            raise DataError(
                f"{self._path}, line {number}: {_show(fields[0])} has {n_values} values, and {self._first} "
                f"{self.n_dimensions}. Mend or remove the line, or fetch the file again"
            )
        values = []
        for text in texts:
            value = _number(text)
            if value is None or not isfinite(value):
                kind = "no number" if value is None else "no finite number"
                raise DataError(
                    f"{self._path}, line {number}: {_show(text)} is {kind}. Mend or remove the line"
                )
            values.append(value)
        return b" ".join(word), values


def _parse(texts: list[bytes], n_dimensions: int) -> Values | None:
    """The numbers float64 [n, n_dimensions] of usual rows; None if any row is not so."""
    if not all(texts):
        return None
    try:
        values = np.loadtxt(
            (text.decode("ascii") for text in texts), dtype=np.float64, comments=None, ndmin=2
        )
    except ValueError:
        return None
    usual = values.shape == (len(texts), n_dimensions) and bool(np.isfinite(values).all())
    return values if usual else None


def _fields(row: bytes) -> list[bytes]:
    """What stands between blanks. Nothing else separates: a form feed or a no-break space may be part of a
    word.
    """
    return [field for field in row.split(b" ") if field]


def _number(text: bytes) -> float | None:
    """The number that is written there, or None."""
    try:
        return None if b"_" in text else float(text)
    except ValueError:
        return None


def _binary_blocks(file: BinaryIO, path: Path, header: _Header) -> Iterator[Block]:
    source = _Binary(file, path, header)
    words: list[bytes] = []
    raws: list[bytes] = []
    for number in range(1, header.n_rows + 1):
        word, raw = source.row(number)
        words.append(word)
        raws.append(raw)
        if len(words) * header.n_dimensions >= _BLOCK_VALUES or number == header.n_rows:
            values = np.frombuffer(b"".join(raws), dtype="<f4").reshape(len(words), -1).astype(np.float64)
            finite = np.isfinite(values).all(1)
            if not finite.all():
                which = int(finite.argmin())
                raise DataError(
                    f"{path}, word {number - len(words) + 1 + which} ({_show(words[which])}): its vector has "
                    "values that are "
                    f"not finite: the file is damaged, or the header's {header.n_dimensions} dimensions are "
                    f"wrong. {AGAIN}"
                )
            yield words, values
            words, raws = [], []
    source.end()


class _Binary:
    """Binary rows, taken from a file one after another."""

    def __init__(self, file: BinaryIO, path: Path, header: _Header) -> None:
        self._file = file
        self._path = path
        self._header = header
        self._buffer = b""
        self._at = 0  # the place in the buffer
        self._before = file.tell()  # bytes of the file before the buffer

    def row(self, number: int) -> tuple[bytes, bytes]:
        """The next word, and the bytes of its vector."""
        n_bytes = 4 * self._header.n_dimensions
        if len(self._buffer) - self._at < _MAX_WORD_BYTES + 1 + n_bytes:
            self._before += self._at
            self._buffer = self._buffer[self._at :] + self._file.read(1 << 20)
            self._at = 0
        end = self._buffer.find(b" ", self._at, self._at + _MAX_WORD_BYTES)
        if end < 0 and len(self._buffer) - self._at >= _MAX_WORD_BYTES:
            raise self._wrong(number, "no word begins there")
        if end < 0 or end + 1 + n_bytes > len(self._buffer):
            raise self._wrong(number, "the file breaks off")
        # What word2vec's own reader does: the newline that may end a vector is no part of the next word.
        word = self._buffer[self._at : end].replace(b"\n", b"")
        self._at = end + 1 + n_bytes
        return word, self._buffer[end + 1 : self._at]

    def end(self) -> None:
        """Raise `DataError` unless the file ends here."""
        if (self._buffer[self._at :] + self._file.read(_MAX_WORD_BYTES)).strip():
            raise self._wrong(self._header.n_rows + 1, "the file goes on")

    def _wrong(self, number: int, what: str) -> DataError:
        return DataError(
            f"{self._path}, word {number}, byte {self._before + self._at}: {what}, but the header says "
            f"{self._header.n_rows} "
            f"vectors of {self._header.n_dimensions} dimensions: it is wrong, or the file is damaged. {AGAIN}"
        )


def _show(text: bytes) -> str:
    """A piece of a file for a message."""
    return repr(text[:40].decode("utf-8", "replace"))
