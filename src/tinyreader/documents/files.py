"""Files become documents: which kind a file is, and what its text is."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

from tinyreader.documents.document import Document, page_breaks
from tinyreader.documents.docx import docx_text
from tinyreader.documents.html import html_document
from tinyreader.documents.pdf import pdf_pages
from tinyreader.documents.text import decode_text
from tinyreader.errors import DataError
from tinyreader.storage import open_binary

TEXT_SUFFIXES = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org"))
HTML_SUFFIXES = frozenset((".html", ".htm", ".xhtml"))
SUFFIXES = TEXT_SUFFIXES | HTML_SUFFIXES | {".pdf", ".docx"}
"""What is read in a folder, also with .gz behind. A file that is named is read as text whatever its suffix.
"""


def read_document(path: Path, name: str | None = None) -> Document:
    """The document in a file, with pages where the file has them; `name`, else the path, is its id.

    Plain text and Markdown stay as they are, for an answer to be found again by its line. HTML, PDF and DOCX
    need the `documents` extra (`MissingExtraError`). Raises `DataError`, naming file and remedy, for whatever
    cannot be read.
    """
    name = str(path) if name is None else name
    return document_of(_bytes_of(path, name), name, suffix_of(path))


def document_of(raw: bytes, name: str, suffix: str = "") -> Document:
    """The document in a file's bytes; its kind is that of the suffix, and a PDF is known by its first
    bytes.
    """
    if suffix == ".pdf" or raw.startswith(b"%PDF-"):
        return _in_pages(name, pdf_pages(raw, name)) if raw else Document(name, "")
    if suffix == ".docx":
        return Document(name, docx_text(raw, name)) if raw else Document(name, "")
    if suffix in HTML_SUFFIXES:
        return html_document(raw, name)
    text = decode_text(raw, name)
    return Document(name, text, page_breaks(text))


def suffix_of(path: Path) -> str:
    """The suffix in small letters, that before .gz where the file is compressed."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _in_pages(name: str, pages: Iterable[str]) -> Document:
    starts, parts, offset = [], [], 0
    for page in pages:
        starts.append(offset)
        parts.append(f"{page.rstrip()}\n")
        offset += len(parts[-1])
    return Document(name, "".join(parts), tuple(starts))


def _bytes_of(path: Path, name: str) -> bytes:
    if path.is_dir():
        raise DataError(f"{name} is a folder. Give its files; tinyreader.documents.find_files lists them.")
    try:
        with open_binary(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name} cannot be read: it is compressed, and damaged ({error}). Copy it anew."
        ) from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error}") from None
