"""DOCX becomes text: paragraphs and tables in their order."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from tinyreader.documents.text import without_surrogates
from tinyreader.errors import DataError, MissingExtraError


def docx_text(raw: bytes, name: str) -> str:
    """The paragraphs, with a blank line between, and the tables, a line for each row with tabs between its
    cells.

    Headers, footers, notes and text boxes are not part of it. Raises `DataError` for broken and locked files,
    and `MissingExtraError` without the `documents` extra.
    """
    try:
        import docx
    except ImportError:
        raise MissingExtraError(f"reading {name} (DOCX)", "documents") from None
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError(
            f"{name} is locked with a password, or a DOC file of old. Save it in Word as DOCX without a "
            "password."
        )
    try:
        document = docx.Document(io.BytesIO(raw))
        return without_surrogates("\n\n".join(_blocks(document)))
    except Exception as error:  # broken files end in whatever zip and XML parsers raise
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise DataError(
            f"{name} is no DOCX file, or a broken one ({reason}). Save it anew from Word or LibreOffice."
        ) from None


def _blocks(parent: Any) -> Iterator[str]:
    from docx.table import Table

    for block in parent.iter_inner_content():
        text = "\n".join(_rows(block)) if isinstance(block, Table) else block.text.strip()
        if text:
            yield text


def _rows(table: Any) -> Iterator[str]:
    """Yield a line for each row; a cell that spans several columns or rows is given once, where it begins."""
    seen: set[Any] = set()
    for row in table.rows:
        cells = [cell for cell in row.cells if cell._tc not in seen]
        seen.update(cell._tc for cell in cells)
        texts = [" ".join(" ".join(_blocks(cell)).split()) for cell in dict.fromkeys(cells)]
        line = "\t".join(texts)
        if line.strip():
            yield line
