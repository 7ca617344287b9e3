"""Ask questions of documents: `Reader`, its settings, and what it takes and returns."""

from __future__ import annotations

from tinyreader.documents import Document
from tinyreader.reader.reader import Reader
from tinyreader.reader.reading import FoundAnswer, Question, Reading
from tinyreader.reader.settings import ReaderSettings

__all__ = ["Document", "FoundAnswer", "Question", "Reader", "ReaderSettings", "Reading"]
