"""ZIP files that hold a document: their parts, read with a limit, and what kind of document they are."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from typing import Any
from urllib.parse import unquote

from tinyreader.errors import DataError, MissingExtraError

MAX_PART_BYTES = 64 << 20
"""The largest part that is unpacked: its tree takes some five times as much memory."""
MAX_BYTES = 256 << 20
"""The most that is unpacked of one file, and the largest file that is read."""

_KINDS = {
    "word/document.xml": ".docx",
    "ppt/presentation.xml": ".pptx",
    "xl/workbook.xml": ".xlsx",
    "xl/workbook.bin": ".xlsb",
    "META-INF/container.xml": ".epub",
    "content.xml": ".odt",
}


class Archive:
    """A ZIP file, whose parts are read up to a limit; raises `DataError` where it is damaged or too large."""

    def __init__(self, raw: bytes, name: str, kind: str) -> None:
        self.name, self._kind, self._n_bytes = name, kind, 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(raw))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise self.damaged(error) from None
        self.names = set(self._zip.namelist())

    def damaged(self, error: object) -> DataError:
        """The error of a file that is not what it says it is."""
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        return DataError(
            f"{self.name} is not a {self._kind} file, or it is damaged ({reason}). Save it again from the program "
            "that made it."
        )

    def locked(self) -> DataError:
        """The error of a file that needs a password."""
        return DataError(f"{self.name} is locked with a password. Save it without one.")

    def part(self, path: str) -> bytes | None:
        """The bytes of a part; None where there is none of that name."""
        if path not in self.names:
            return None
        try:
            with self._zip.open(path) as part:
                raw = part.read(MAX_PART_BYTES + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            RuntimeError,
            OSError,
            EOFError,
            NotImplementedError,
        ) as error:
            if "encrypted" in str(error):
                raise self.locked() from None
            raise self.damaged(error) from None
        self._n_bytes += len(raw)
        if len(raw) > MAX_PART_BYTES or self._n_bytes > MAX_BYTES:
            raise DataError(
                f"{self.name} unpacks to more than {MAX_PART_BYTES >> 20} MB in {path}, or "
                f"{MAX_BYTES >> 20} MB in all. Split it, or save it as text."
            )
        return raw

    def check_size(self, path: str, limit: int) -> None:
        """Raise `DataError` where the parts checked so far unpack to more than `limit` bytes."""
        self._n_bytes += self._zip.getinfo(path).file_size
        if self._n_bytes > limit:
            raise DataError(
                f"{self.name} unpacks to more than {limit >> 20} MB. Split it, or save it as text."
            )

    def tree(self, path: str) -> Any:
        """The root element of an XML part; None where there is none of that name."""
        raw = self.part(path)
        return None if raw is None else self.parsed(raw)

    def parsed(self, raw: bytes) -> Any:
        """The root element of XML, whose entities stay unread."""
        try:
            from lxml import etree
        except ImportError:
            raise MissingExtraError(f"reading {self.name} ({self._kind})", "documents") from None
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
        )
        try:
            return etree.fromstring(raw, parser)
        except etree.XMLSyntaxError as error:
            raise self.damaged(error) from None

    def relations(self, path: str) -> dict[str, tuple[str, str]]:
        """What a part of an Office file refers to: id to (kind, path of the part)."""
        folder, file = posixpath.split(path)
        root = self.tree(posixpath.join(folder, "_rels", f"{file}.rels"))
        if root is None:
            return {}
        return {
            node.get("Id", ""): (
                node.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, unquote(node.get("Target", "")))).lstrip("/"),
            )
            for node in root
            if node.get("TargetMode") != "External"
        }


def kind_of_archive(raw: bytes) -> str | None:
    """The suffix of the document that a ZIP file holds; None where it holds none, or is damaged."""
    try:
        names = set(zipfile.ZipFile(io.BytesIO(raw)).namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    return next((kind for path, kind in _KINDS.items() if path in names), None)
