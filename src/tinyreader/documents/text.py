"""Bytes become text: plain text in UTF-8, or in UTF-16 and UTF-32 with a byte order mark; PDF page by page; DOCX
with its paragraphs and tables in order.
"""

from __future__ import annotations

import codecs
import io
import logging
import re
from collections.abc import Iterator
from typing import Any

from tinyreader.errors import DataError, MissingExtraError

log = logging.getLogger(__name__)

# UTF-32's little-endian mark begins with UTF-16's: the longer ones come first
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_RAISED = str.maketrans("0123456789+-\u2212=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾")
_SURROGATES = re.compile("[\ud800-\udfff]")


def decode_text(raw: bytes, name: str) -> str:
    """The text of a file's bytes, its byte order mark left out; `DataError` for binary files and other
    encodings.
    """
    encoding, body = marked(raw)
    return decode_as(body, encoding or "utf-8", name, n_before=len(raw) - len(body))


def marked(raw: bytes) -> tuple[str | None, bytes]:
    """The encoding that a byte order mark tells, None where there is none, and the bytes after it."""
    for mark, encoding in MARKS:
        if raw.startswith(mark):
            return encoding, raw[len(mark) :]
    return None, raw


def decode_as(raw: bytes, encoding: str, name: str, n_before: int = 0) -> str:
    """The text of bytes in that encoding; `DataError` names the first byte that does not fit."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in raw[:4096]:
            raise DataError(f"{name} is not text: it looks like a binary file. {_remedy(raw)}") from None
        shown = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(encoding, encoding)
        raise DataError(
            f"{name} is not {shown} text (byte {n_before + error.start}). Convert it, as with: iconv -f "
            "WINDOWS-1252 -t UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{name} is not text: it has zero bytes, as binary files do. {_remedy(raw)}")
    return text


def without_surrogates(text: str) -> str:
    """The text with half surrogate pairs, which no file can hold, replaced by U+FFFD; offsets stay."""
    return _SURROGATES.sub("\ufffd", text)


def raised(text: str) -> str:
    """The text of a superscript in Unicode's raised signs: 10⁶, 1911², xⁿ. Words (1st) and notes in brackets
    stay as they are.
    """
    bare = text.strip()
    if bare in ("n", "o"):
        return text.replace(bare, {"n": "ⁿ", "o": "°"}[bare])
    return text if "[" in bare or any(sign.isalpha() for sign in bare) else text.translate(_RAISED)


def _remedy(raw: bytes) -> str:
    if raw[1:2] == b"\0" or raw[:1] == b"\0":  # every second byte of an English text in UTF-16 is zero
        return (
            "If it is UTF-16 text without a byte order mark, convert it, as with: iconv -f UTF-16LE -t UTF-8"
        )
    return "Give text, Markdown, HTML, PDF or DOCX."


def pdf_pages(raw: bytes, name: str) -> list[str]:
    """The text of each page, empty where a page has none.

    Raises `DataError` for files that are broken, locked with a password, or hold no text on any page, and
    `MissingExtraError` without the `documents` extra.
    """
    try:
        import pypdf
        from pypdf.errors import DependencyError
    except ImportError:
        raise MissingExtraError(f"reading {name} (PDF)", "documents") from None
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        # Many are locked against printing only: their password is empty.
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError(
                f"{name} is locked with a password. Unlock it, as with: qpdf --decrypt --password=... IN OUT"
            )
        pages = [without_surrogates(page.extract_text().replace("\0", "")) for page in reader.pages]
    except DataError:
        raise
    except DependencyError:
        raise MissingExtraError(f"reading {name} (an encrypted PDF)", "documents") from None
    except (
        Exception
    ) as error:  # damaged files raise whatever the parser met: KeyError, RecursionError, its own
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise DataError(f"{name} is a broken PDF ({reason}). Repair it, as with: qpdf IN OUT") from None
    empty = [number for number, text in enumerate(pages, 1) if not text.strip()]
    if len(empty) == len(pages):
        raise DataError(
            f"{name} has no text on its {len(pages)} pages: they are empty, or images of text. Recognise it "
            "first, as with: ocrmypdf IN OUT"
        )
    if empty:
        log.warning(
            "%s: %d of %d pages have no text, the first is page %d", name, len(empty), len(pages), empty[0]
        )
    return pages


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
            f"{name} is locked with a password, or is an old DOC file. Save it in Word as DOCX without a "
            "password."
        )
    try:
        document = docx.Document(io.BytesIO(raw))
        return without_surrogates("\n\n".join(_blocks(document)))
    except Exception as error:  # damaged files raise whatever zip and XML parsers do
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise DataError(
            f"{name} is not a DOCX file, or is damaged ({reason}). Save it again from Word or LibreOffice."
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
