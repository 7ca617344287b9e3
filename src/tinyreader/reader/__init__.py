"""Ask questions of documents: `Reader`, what it takes and what it says."""

from __future__ import annotations

from tinyreader.documents import Document
from tinyreader.reader.reader import Reader
from tinyreader.reader.reading import FoundAnswer, Question, Reading
from tinyreader.reader.settings import ReaderSettings

__all__ = ["Document", "FoundAnswer", "Question", "Reader", "ReaderSettings", "Reading"]
