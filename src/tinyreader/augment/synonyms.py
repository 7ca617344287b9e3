"""Synonyms from a file of two columns; also the example to copy for a proposer of your own."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence

from tinyreader.augment.proposer import Passage
from tinyreader.augment.words import is_word
from tinyreader.errors import DataError
from tinyreader.storage import open_binary, text_hash

log = logging.getLogger(__name__)

EXPECTED = "A file of synonyms is UTF-8 text with a word, a tab and a synonym on each line"


class Synonyms:
    """Proposes the synonyms that a table has for a word, ignoring its case, in the table's order."""

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self._table: dict[str, tuple[str, ...]] = {}
        for word, synonyms in table.items():
            self._table[word.casefold()] = (*self._table.get(word.casefold(), ()), *synonyms)
        content = json.dumps(self._table, sort_keys=True).encode()
        self.fingerprint = text_hash(b"synonyms 1\n" + content)

    def __call__(self, passages: Sequence[Passage]) -> list[list[tuple[str, ...]]]:
        """Synonyms per passage and place."""
        return [[self._table.get(word.casefold(), ()) for word in passage.words] for passage in passages]


def read_synonyms(path: str | os.PathLike[str]) -> Synonyms:
    """The synonyms in a UTF-8 file, gzip-compressed or not, each line of which is a word, a tab and one
    synonym.

    A word may have several lines, the best synonym first. Blank lines and lines that start with # are
    skipped. A line works in one direction only. Lines with more than a single word on a side (`fire engine`)
    are left out and counted in a warning in the log. Raises `DataError`, naming the line, for any other
    content.
    """
    table: dict[str, list[str]] = {}
    n_left_out = first_left_out = 0
    for number, word, synonym in _pairs(path):
        if is_word(word) and is_word(synonym):
            table.setdefault(word.casefold(), []).append(synonym)
        else:
            n_left_out += 1
            first_left_out = first_left_out or number
    if n_left_out:
        log.warning(
            "%s: %d lines with more or less than one word on a side were left out, the first is line %d",
            path,
            n_left_out,
            first_left_out,
        )
    if not table:
        raise DataError(f"{path}: the file has no synonyms. {EXPECTED}")
    return Synonyms(table)


def _pairs(path: str | os.PathLike[str]) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word and synonym."""
    for number, line in _lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise DataError(
                f"{path}, line {number}: {line.strip()[:60]!r} is not a word, a tab and a synonym. {EXPECTED}"
            )
        yield number, columns[0], columns[1]


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file with their numbers."""
    number = 0
    try:
        with open_binary(path) as file:  # bytes, so that a decoding error can name its line
            for number, raw in enumerate(file, 1):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                yield number, line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: is not UTF-8. {EXPECTED}") from error
    except (OSError, EOFError, zlib.error) as error:
        place = f", after line {number}" if number else ""
        raise DataError(
            f"{path}{place}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
