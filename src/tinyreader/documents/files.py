"""Files become documents: which files are in a folder, what kind a file is, and what its text is."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyreader.documents.document import Document, page_breaks
from tinyreader.documents.html import html_document
from tinyreader.documents.text import decode_text, docx_text, pdf_pages
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
            f"{name} cannot be read: it is compressed, and damaged ({error}). Copy it again."
        ) from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error}") from None


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
