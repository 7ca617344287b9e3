"""CSV and Parquet files as rows of named values."""

from __future__ import annotations

import csv
import io
import json
import re
from ast import literal_eval
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyreader.errors import DataError, MissingExtraError

_NUMPY_ARRAY = re.compile(r"array\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_BOOLEANS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def csv_rows(text: str, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield ("row 2", cells by column) of a table with a heading; rows count as in a spreadsheet.

    The delimiter is the most frequent of comma, semicolon and tab in the first line. Names of columns are in lower
    case. An empty table yields nothing. Raises `DataError` where the text is not a table.
    """
    csv.field_size_limit(2**31 - 1)  # the default, 131,072 characters, is less than some contexts have
    head = text.split("\n", 1)[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        columns = [column.strip().lower() for column in next(table, [])]
        for number, cells in enumerate(table, 2):
            if any(cell.strip() for cell in cells):
                yield f"row {number}", dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise DataError(f"{name}: row {table.line_num}: not a table: {error}") from None


def csv_columns(text: str) -> list[str]:
    """Return the names of a table's columns in lower case."""
    head = text.split("\n", 1)[0]
    return [
        name.strip().lower() for name in next(csv.reader([head], delimiter=max(",;\t", key=head.count)), [])
    ]


def typed_cells(row: Mapping[str, str], place: str) -> dict[str, Any]:
    """Return a table's row with the values that its cells stand for.

    Lists and objects of answers are JSON or Python's notation, as pandas writes them; a flag that is empty says nothing.
    Where there is no column of ids, the place is the id.
    """
    cells: dict[str, Any] = dict(row)
    for name in ("answers", "answer", "answer_start", "plausible_answers"):
        if name in cells and cells[name].lstrip()[:1] in ("{", "["):
            cells[name] = _literal(cells[name])
    if isinstance(start := cells.get("answer_start"), str):
        cells["answer_start"] = int(start) if re.fullmatch(r"-?[0-9]{1,18}", start) else start or None
    if (flag := cells.pop("is_impossible", "").strip().lower()) not in ("", "nan", "none", "null"):
        cells["is_impossible"] = _BOOLEANS.get(flag, flag)
    return (
        cells
        if "id" in cells or any(name in cells for name in ("qid", "question_id"))
        else {"id": place, **cells}
    )


def _literal(cell: str) -> Any:
    for parse, text in ((json.loads, cell), (literal_eval, _NUMPY_ARRAY.sub(r"\1", cell))):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return cell


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a batch at a time.

    Raises `MissingExtraError` without pyarrow, `DataError` where the file is damaged.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("Reading Parquet files", "train") from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: not a Parquet file: {reason}") from None
