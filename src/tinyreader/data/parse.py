"""From bytes to JSON values, with findings instead of exceptions for bad content."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tinyreader.data.findings import Finding
from tinyreader.data.validate import Flawed
from tinyreader.errors import DataError
from tinyreader.storage import open_binary

BOM = b"\xef\xbb\xbf"
MAGIC = {
    b"PK\x03\x04": "this is a ZIP archive, or a workbook or document: unpack it, or save the sheet as CSV",
    b"%PDF": "this is a PDF document, not questions: tinyreader ask reads documents",
    b"ARROW1": "this is an Arrow file: write it as Parquet",
    b"SQLite": "this is a database: write the table as CSV",
}
"""What to do with files that are no text, by their first bytes."""
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")


def parse_values(path: str | os.PathLike[str], *, is_lines: bool) -> Iterator[tuple[str, object] | Flawed]:
    """Yield (place, value) of each line of JSON Lines, or ("", value) of a file that holds one JSON value.

    `is_lines` says what the name promises, which the content may correct: a document in a file named .jsonl is read as
    one, lines in a file named .json as lines.
    """
    if is_lines:
        if Path(path).is_file() and _starts_a_document(path):
            value = parse_document(path)
            if not isinstance(value, Flawed):
                yield "", value
                return
        yield from parse_lines(path)
        return
    raw = _read_whole(path)
    value = raw if isinstance(raw, Flawed) else _parse_whole(raw)
    if isinstance(value, Flawed) and isinstance(raw, bytes) and _holds_lines(raw):
        yield from _parse_lines(io.BytesIO(raw))
    else:
        yield value if isinstance(value, Flawed) else ("", value)


def _starts_a_document(path: str | os.PathLike[str]) -> bool:
    """Whether the first line with content begins a JSON value that goes on in the next, as pretty-printed JSON does."""
    with open_binary(path) as file:
        for _, offset, line in _lines(file):
            if isinstance(line, Finding) or not line.endswith(b"\n"):
                return False
            value = _parse(line, "", offset, is_last=True)
            return isinstance(value, Finding) and value.kind == "truncated"
    return False


def _holds_lines(raw: bytes) -> bool:
    """Whether the bytes are several lines, of which the first with content is a JSON object by itself."""
    first, _, rest = raw.removeprefix(BOM).lstrip().partition(b"\n")
    return bool(rest.strip()) and isinstance(_parse(first, "", 0, is_last=False), dict)


def parse_document(path: str | os.PathLike[str]) -> object | Flawed:
    """Return the one JSON value that a file holds, or a fatal `Flawed`."""
    raw = _read_whole(path)
    return raw if isinstance(raw, Flawed) else _parse_whole(raw)


def _read_whole(path: str | os.PathLike[str]) -> bytes | Flawed:
    with open_binary(path) as file:
        try:
            return file.read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return _fatal(_gzip_finding(error))


def _parse_whole(raw: bytes) -> object | Flawed:
    for magic, remedy in MAGIC.items():
        if raw.startswith(magic):
            return _fatal(Finding("not-json", remedy))
    if not raw.removeprefix(BOM).strip():
        return _fatal(Finding("empty-file", "the file is empty"))
    value = _parse(raw, place="", offset=0, is_last=True)
    return _fatal(value) if isinstance(value, Finding) else value


def read_json(path: str | os.PathLike[str]) -> object:
    """Return the one JSON value that a file holds, whatever its shape; raise `DataError` if it cannot be read."""
    try:
        value = parse_document(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if isinstance(value, Flawed):
        raise DataError(f"{path}: {value.findings[0]}")
    return value


def parse_lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, object] | Flawed]:
    """Yield ("line 1", value) of a JSON Lines file as it is read, and `Flawed` for the lines that are not
    JSON.

    Blank lines are skipped. A truncated file gives the lines before the cut, then a finding.
    """
    with open_binary(path) as file:
        yield from _parse_lines(file)


def _parse_lines(file: BinaryIO) -> Iterator[tuple[str, object] | Flawed]:
    n_values = 0
    for place, offset, line in _lines(file):
        is_last = isinstance(line, bytes) and not line.endswith(b"\n")
        value = line if isinstance(line, Finding) else _parse(line, place, offset, is_last=is_last)
        yield Flawed((value,), n_questions=None) if isinstance(value, Finding) else (place, value)
        n_values += 1
    if not n_values:
        yield _fatal(Finding("empty-file", "the file is empty"))


def _lines(file: BinaryIO) -> Iterator[tuple[str, int, bytes | Finding]]:
    """Yield place, byte offset and bytes of each line that is not blank; a finding where decompression ends
    early.
    """
    number, offset = 1, 0
    while True:
        place = f"line {number}"
        try:
            line = file.readline()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield place, offset, _gzip_finding(error, place)
            return
        if not line:
            return
        if line.removeprefix(BOM).strip():
            yield place, offset, line
        number += 1
        offset += len(line)


def _parse(raw: bytes, place: str, offset: int, *, is_last: bool) -> object | Finding:
    """Return the JSON value of `raw`, or what is wrong with it.

    `raw` stands at byte `offset` of the file. `is_last`: nothing follows it, so it may be cut off.
    """
    body = raw.removeprefix(BOM)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        position = offset + error.start + len(raw) - len(body)
        if is_last and error.reason == "unexpected end of data":
            return Finding("truncated", f"the text ends inside a character, at byte {position}", place=place)
        message = f"byte {position} (0x{body[error.start]:02x}) is not UTF-8; {_encoding_remedy(raw)}"
        return Finding("not-utf8", message, place=place)
    try:
        value: object = json.loads(text.rstrip("\r\n"))
    except json.JSONDecodeError as error:
        return _json_finding(error, text, place, is_last=is_last)
    except RecursionError:
        return Finding("not-json", "the JSON is nested too deeply", place=place)
    except ValueError as error:  # a number of thousands of digits
        return Finding("not-json", str(error).partition(";")[0], place=place)
    return value


def _encoding_remedy(raw: bytes) -> str:
    encoding = "UTF-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "WINDOWS-1252"
    return f"convert the file, as with: iconv -f {encoding} -t UTF-8"


def _json_finding(error: json.JSONDecodeError, text: str, place: str, *, is_last: bool) -> Finding:
    problem = error.msg.removesuffix(" at")
    where = f"line {error.lineno}, column {error.colno}" if "\n" in text.rstrip() else f"column {error.colno}"
    if is_last and _ends_early(error, text):
        return Finding(
            "truncated", f"the JSON is cut off after {len(text)} code points ({problem})", place=place
        )
    if error.msg == "Extra data" and not place and text[: error.pos].lstrip().startswith("{"):
        return Finding(
            "not-json", f"more follows the first value, at {where}; name JSON Lines .jsonl", place=place
        )
    return Finding("not-json", f"{problem}, at {where}", place=place)


def _ends_early(error: json.JSONDecodeError, text: str) -> bool:
    """Whether the parser stopped because the text did, not because of its content."""
    rest = text[error.pos :].rstrip()
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    if "escape" in error.msg:
        return re.fullmatch(r"\\?(u[0-9a-fA-F]{0,4})?", rest) is not None
    is_half_a_number = re.fullmatch(r"-|\.|[eE][+-]?", rest) is not None
    return is_half_a_number or any(literal.startswith(rest) for literal in _LITERALS)


def _gzip_finding(error: Exception, place: str = "") -> Finding:
    if isinstance(error, EOFError):
        return Finding("truncated", "the compressed file is cut off; copy or download it again", place=place)
    return Finding("damaged-gzip", f"the compressed bytes are damaged ({error})", place=place)


def _fatal(finding: Finding) -> Flawed:
    return Flawed((finding,), n_questions=None, fatal=True)
