"""A file becomes text, in a process of its own: python -m tinyreader.serve.convert < REQUEST > ANSWER

The request is a line of JSON, {"name", "max_pages", "max_characters", "seconds"}, and behind it the file's
bytes. The answer is {"text", "pages"}, with "warnings" of what was not read,
or {"kind", "detail"} where there is no text, kind being one of a
problem.

Files come from anywhere, and their parsers may loop, take all memory or crash: here that ends a child process that holds
nothing, within the processor time and memory it was given. It imports nothing of the server, to start soon.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import zipfile
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from tinyreader.documents import SUFFIXES, document_of
from tinyreader.documents.files import suffix_of
from tinyreader.documents.pdf import pdf_page_count
from tinyreader.errors import DataError, MissingExtraError
from tinyreader.storage import GZIP_MAGIC

MEMORY_BYTES = 1 << 30
"""Address space of the child: the interpreter and the parsers take a fifth of it."""

_HTML = re.compile(rb"\s*(<!doctype html|<html)\b", re.IGNORECASE)


def convert(raw: bytes, name: str, max_pages: int, max_characters: int) -> dict[str, Any]:
    """The text of a file with the places of its pages; raises `Refused`, or what `document_of` raises."""
    if raw.startswith(GZIP_MAGIC):
        raise DataError(f"{name} is compressed. Send it uncompressed.")
    if raw.startswith(b"%PDF-") and (n := pdf_page_count(raw)) > max_pages:
        raise Refused("limit", f"{name} has {n:,} pages; the maximum is {max_pages:,}.")
    document = document_of(raw, name, kind_of(raw, name))
    if len(document.pages) > max_pages:
        raise Refused("limit", f"{name} has {len(document.pages):,} pages; the maximum is {max_pages:,}.")
    if len(document.text) > max_characters:
        raise Refused(
            "limit", f"{name} has {len(document.text):,} characters; the maximum is {max_characters:,}."
        )
    if not document.text.strip():
        raise DataError(f"{name} is empty.")
    answer = {"text": document.text, "pages": document.pages}
    return answer | ({"warnings": document.warnings} if document.warnings else {})


class Refused(Exception):  # noqa: N818 - as `Problem`
    """A limit was exceeded: the kind of problem, and its detail."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def kind_of(raw: bytes, name: str) -> str:
    """The suffix that stands for the file's type: by its content where that is clear, else by its name."""
    if raw.startswith(b"%PDF-"):
        return ".pdf"
    if raw.startswith(b"PK\x03\x04"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return ".docx" if "word/document.xml" in archive.namelist() else ""
    suffix = suffix_of(PurePath(name))  # type: ignore[arg-type]
    if suffix not in SUFFIXES and _HTML.match(raw):
        return ".html"
    return suffix


def main() -> None:
    """Reads the request, and answers."""
    head = json.loads(sys.stdin.buffer.readline())
    logging.disable()
    bounded(head["seconds"])
    try:
        raw = sys.stdin.buffer.read()
        answer = convert(raw, head["name"], head["max_pages"], head["max_characters"])
    except Refused as refused:
        answer = {"kind": refused.kind, "detail": refused.detail}
    except MissingExtraError as error:
        answer = {"kind": "not-served", "detail": f"This server lacks an optional part: {error}"}
    except (DataError, MemoryError) as error:
        answer = {"kind": "cannot-read", "detail": str(error)}
        if _lacked_memory(error):
            answer = {
                "kind": "limit",
                "detail": f"{head['name']} takes more than {MEMORY_BYTES >> 20:,} MB of memory to read.",
            }
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))


def bounded(seconds: int) -> None:
    """Ends this process where it takes more memory or processor time than it is given."""
    try:
        import resource
    except ImportError:  # Windows: the time that the parent waits is the only bound there
        return
    for which, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(ValueError, OSError):  # less is allowed already
            resource.setrlimit(which, (limit, limit))


def _lacked_memory(error: BaseException | None) -> bool:
    """Whether lack of memory was the cause, whatever the parser made of it."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__context__
    return error is not None


if __name__ == "__main__":
    main()
