"""Files as documents: text, HTML, PDF, Office, mail, books and tables, with the places where their pages begin."""

from __future__ import annotations

from tinyreader.documents.document import Document, page_breaks
from tinyreader.documents.files import SUFFIXES, FoundFile, LeftOut, document_of, find_files, read_document

__all__ = [
    "SUFFIXES",
    "Document",
    "FoundFile",
    "LeftOut",
    "document_of",
    "find_files",
    "page_breaks",
    "read_document",
]
