"""From bytes to JSON values, with findings instead of exceptions for bad content."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from tinyreader.data.findings import Finding
from tinyreader.data.validate import Flawed
from tinyreader.errors import DataError
from tinyreader.storage import open_binary

BOM = b"\xef\xbb\xbf"
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")


def parse_document(path: str | os.PathLike[str]) -> object | Flawed:
    """Return the one JSON value that a file holds, or a fatal `Flawed`."""
    with open_binary(path) as file:
        try:
            raw = file.read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return _fatal(_gzip_finding(error))
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
    n_values = 0
    with open_binary(path) as file:
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
        message = f"byte {position} (0x{body[error.start]:02x}) is not UTF-8; convert the file, as with iconv -t UTF-8"
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
