"""Files become documents: which files are in a folder, what kind a file is, and what its text is."""

from __future__ import annotations

import gzip
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinyreader.documents.archive import MAX_BYTES, kind_of_archive
from tinyreader.documents.document import Document, page_breaks
from tinyreader.documents.html import html_document
from tinyreader.documents.office import docx_document, odf_document, pptx_document
from tinyreader.documents.others import (
    eml_document,
    epub_document,
    ipynb_document,
    rtf_document,
    subtitles_document,
)
from tinyreader.documents.pdf import pdf_document
from tinyreader.documents.sheets import csv_document, xlsx_document
from tinyreader.documents.text import decode_text
from tinyreader.errors import DataError, MissingExtraError
from tinyreader.storage import open_binary

log = logging.getLogger(__name__)

TEXT_SUFFIXES = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org"))
HTML_SUFFIXES = frozenset((".html", ".htm", ".xhtml"))

_READERS: dict[str, Callable[[bytes, str], Document]] = {
    ".pdf": pdf_document,
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), docx_document),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".potx"), pptx_document),
    **dict.fromkeys((".odt", ".ott", ".odp", ".ods"), odf_document),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx"), xlsx_document),
    **dict.fromkeys((".csv", ".tsv"), csv_document),
    **dict.fromkeys((".srt", ".vtt"), subtitles_document),
    **dict.fromkeys(HTML_SUFFIXES, html_document),
    ".epub": epub_document,
    ".eml": eml_document,
    ".rtf": rtf_document,
    ".ipynb": ipynb_document,
}
SUFFIXES = TEXT_SUFFIXES | _READERS.keys()
"""What is read in a folder, also with .gz behind. A file that is named is read as text whatever its suffix."""

_ARCHIVES = (docx_document, pptx_document, odf_document, xlsx_document, epub_document)
_HTML_START = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!doctype html|<html\b)", re.IGNORECASE)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1"
# What the first bytes of a file say of one that holds no text to take out
_NO_TEXT = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
}
_OTHER = {b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7-Zip archive", b"PK\x03\x04": "a ZIP archive"}


def read_document(path: Path, name: str | None = None) -> Document:
    """The document in a file, with pages where the file has them; `name`, else the path, is its id.

    Plain text and Markdown stay as they are, so that an answer is found again by its line. Most other formats
    need the `documents` extra (`MissingExtraError`). What is not read of a file is logged once, and stands in
    the document's `warnings`. Raises `DataError`, naming file and remedy, for whatever cannot be read.
    """
    name = str(path) if name is None else name
    return document_of(_bytes_of(path, name), name, suffix_of(path))


def document_of(raw: bytes, name: str, suffix: str = "") -> Document:
    """The document in a file's bytes; its kind is that of its first bytes, else that of the suffix.

    Raises as `read_document` does.
    """
    if not raw:
        return Document(name, "")
    read = _reader(raw, name, suffix)
    try:
        document = read(raw, name)
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # damaged files end in whatever their parsers raise
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise DataError(f"{name} is damaged, or nested too deep ({reason}). Save it again.") from None
    if read is not _plain and not document.text.strip():
        document = replace(document, warnings=(*document.warnings, "it has no text"))
    for warning in document.warnings:
        log.warning("%s: %s", name, warning)
    return document


def suffix_of(path: Path) -> str:
    """The suffix in small letters, that before .gz where the file is compressed."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _reader(raw: bytes, name: str, suffix: str) -> Callable[[bytes, str], Document]:
    """What reads a file of these bytes; raises `DataError` for kinds that nothing reads."""
    if raw.startswith(b"%PDF-"):
        return pdf_document
    if raw.startswith(b"{\\rtf"):
        return rtf_document
    if raw.startswith(_OLD_OFFICE):
        raise DataError(
            f"{name} is locked with a password, or made by an old Office (.doc, .xls, .ppt, .msg). Save it as "
            "DOCX, XLSX, PPTX or EML without a password."
        )
    read = _READERS.get(suffix, _plain)
    if raw.startswith(b"PK\x03\x04"):
        kind = kind_of_archive(raw)
        if kind in _READERS:
            return _READERS[kind]
        if read in _ARCHIVES and kind is None:
            return read  # it says what is wrong
    if read in _ARCHIVES and _HTML_START.match(raw):
        return html_document
    for start, what in _NO_TEXT.items():
        if raw.startswith(start):
            raise DataError(f"{name} is {what}. Recognise its text first, as with: tesseract IN OUT")
    for start, what in _OTHER.items():
        if raw.startswith(start):
            raise DataError(f"{name} is {what}. Unpack it, and give its files.")
    return read


def _plain(raw: bytes, name: str) -> Document:
    text = decode_text(raw, name)
    return Document(name, text, page_breaks(text))


def _bytes_of(path: Path, name: str) -> bytes:
    if path.is_dir():
        raise DataError(f"{name} is a folder. Give its files; tinyreader.documents.find_files lists them.")
    try:
        with open_binary(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name} cannot be read: it is compressed, and damaged ({error}). Copy it again."
        ) from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error}") from None
    if len(raw) > MAX_BYTES:
        raise DataError(f"{name} is larger than {MAX_BYTES >> 20} MB. Split it.")
    return raw


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read. One that was `named`, and not met in a folder, must be readable."""

    path: Path
    named: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not read, and why."""

    path: Path
    reason: str
    is_other_kind: bool = False


def find_files(paths: Sequence[Path]) -> tuple[list[FoundFile], list[LeftOut]]:
    """The files of these paths, and what in their folders is left out. Folders are walked in order of names.

    Hidden files and folders are passed over. Links are followed; a file or folder reached twice is taken
    once, so links that go round in a circle end. Raises `DataError` for a path that is not there.
    """
    found: list[FoundFile] = []
    left_out: list[LeftOut] = []
    seen: set[tuple[int, int]] = set()
    are_new = [
        not path.is_dir() and _is_new(path, seen) for path in paths
    ]  # named files first: they must be readable
    for path, is_new in zip(paths, are_new, strict=True):
        if path.is_dir():
            for item in _walk(path, seen):
                if isinstance(item, LeftOut):
                    left_out.append(item)
                else:
                    found.append(FoundFile(item, named=False))
        elif not path.exists():
            raise DataError(f"{path}: no such file or folder")
        elif is_new:
            found.append(FoundFile(path, named=True))
    return found, left_out


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path | LeftOut]:
    """Yield the files below a folder that are of a kind that can be read, and what is left out."""
    _is_new(folder, seen)
    problems: list[OSError] = []
    for above, folders, names in os.walk(folder, followlinks=True, onerror=problems.append):
        folders[:] = [
            name for name in sorted(folders) if not name.startswith(".") and _is_new(Path(above, name), seen)
        ]
        for name in sorted(names):
            path = Path(above, name)
            if name.startswith("."):
                continue
            try:
                is_regular = path.is_file()
            except OSError as error:
                yield LeftOut(path, error.strerror or str(error))
                continue
            if not is_regular:
                yield LeftOut(
                    path, "a link that leads nowhere" if path.is_symlink() else "not a regular file"
                )
            elif suffix_of(path) not in SUFFIXES:
                yield LeftOut(path, f"not one of {', '.join(sorted(SUFFIXES))}", is_other_kind=True)
            elif _is_new(path, seen):
                yield path
    for problem in problems:
        yield LeftOut(Path(str(problem.filename)), problem.strerror or str(problem))


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether the file or folder was not met before, under whatever name."""
    try:
        about = path.stat()
    except OSError:
        return True  # reported when it is opened
    key = (about.st_dev, about.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True
