"""Tables become text: a line for each row, each value behind the name of its column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time
from typing import Any

from tinyreader.documents.archive import MAX_BYTES, Archive
from tinyreader.documents.document import Document, not_read
from tinyreader.documents.text import decode_text, without_surrogates
from tinyreader.errors import DataError, MissingExtraError

MAX_CELLS = 20_000_000
"""Cells of a sheet that are visited, empty ones too: a file of a few bytes can hold a cell far out."""

_NUMBER = re.compile(r"[\s\d.,:/%€$£+-]+")


def csv_document(raw: bytes, name: str) -> Document:
    """A file of values between commas, semicolons or tabs."""
    text = decode_text(raw, name)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if "\t" in text[:8192] else csv.excel
    try:
        lines = list(row_lines(csv.reader(io.StringIO(text, newline=""), dialect)))
    except csv.Error as error:
        raise DataError(
            f"{name} cannot be read as CSV: {error}. Rename it to .txt to read it as text."
        ) from None
    return Document(name, "\n".join(lines))


def xlsx_document(raw: bytes, name: str) -> Document:
    """A workbook, sheet by sheet, with values as they were last calculated; hidden sheets are left out."""
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(f"reading {name} (XLSX)", "documents") from None
    archive = Archive(raw, name, "XLSX")
    for path in archive.names:  # openpyxl unpacks without a limit
        archive.check_size(path, MAX_BYTES)
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
    except Exception as error:  # broken files end in whatever zip and XML parsers raise
        raise archive.damaged(error) from None
    parts, n_hidden = [], 0
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            n_hidden += 1
            continue
        lines = "\n".join(row_lines(_cells(sheet, name)))
        if lines:
            parts.append(f"{sheet.title}\n\n{lines}" if len(book.worksheets) > 1 else lines)
    n_pictures = sum(path.startswith(("xl/media/", "xl/charts/chart")) for path in archive.names)
    warnings = not_read(n_hidden, "hidden sheets")
    warnings += not_read(n_pictures, "pictures or charts")
    return Document(name, without_surrogates("\n\n".join(parts)), warnings=warnings)


def _cells(sheet: Any, name: str) -> Iterator[list[str]]:
    sheet.reset_dimensions()  # what the file says of its size may be false
    n_cells = 0
    for row in sheet.iter_rows():
        n_cells += len(row) + 1
        if n_cells > MAX_CELLS:
            raise DataError(
                f"{name} spreads over more than {MAX_CELLS:,} cells. Save the part to be read as CSV."
            )
        yield [_shown(cell) for cell in row]


def _shown(cell: Any) -> str:
    """A value about as the sheet shows it."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, float):
        if "%" in str(cell.number_format):
            return f"{value * 100:.10g}%"
        return f"{value:.15g}"
    return str(value)


def row_lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield "Rent: 900; Deposit: 1800" for each row below a header; rows above it as they are.

    A header is a row of several names and no numbers. Two columns without one are names and their values.
    """
    header: Sequence[str] = ()
    n_below = 0
    for row in rows:
        row = [" ".join(value.split()) for value in row]
        named = [(place, value) for place, value in enumerate(row) if value]
        if not named:
            continue
        if not header and len(named) > 1 and not any(_NUMBER.fullmatch(value) for _, value in named):
            header = row
            continue
        if header:
            n_below += 1
            names = (header[place] if place < len(header) else "" for place, _ in named)
            pairs = zip(names, (value for _, value in named), strict=True)
            yield "; ".join(f"{name}: {value}" if name else value for name, value in pairs)
        else:
            yield (": " if len(named) == 2 else "; ").join(value for _, value in named)
    if header and not n_below:
        yield "; ".join(filter(None, header))
