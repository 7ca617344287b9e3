"""Ask questions of documents: `Reader`, what it takes and what it says."""

from __future__ import annotations

from tinyreader.reader.reader import Reader
from tinyreader.reader.reading import Document, FoundAnswer, Reading
from tinyreader.reader.settings import ReaderSettings

__all__ = ["Document", "FoundAnswer", "Reader", "ReaderSettings", "Reading"]
