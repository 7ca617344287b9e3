"""A file becomes text, in a process of its own: python -m tinyreader.serve.convert < REQUEST > ANSWER

The request is a line of JSON, {"name", "max_pages", "max_characters", "seconds"}, and behind it the file's
bytes. The answer is {"text", "pages"}, or {"kind", "detail"} where there is no text, kind being one of a
problem.

Files come from anywhere. What parses them may loop, take all memory or fall over the parser's own faults:
here that ends a child that has nothing, within the processor time and memory it was given.
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
from tinyreader.errors import DataError, MissingExtraError
from tinyreader.storage import GZIP_MAGIC

MEMORY_BYTES = 1 << 30
"""Address space of the child: the interpreter and the parsers take a fifth of it."""

_HTML = re.compile(rb"\s*(<!doctype html|<html)\b", re.IGNORECASE)


def convert(raw: bytes, name: str, max_pages: int, max_characters: int) -> dict[str, Any]:
    """The text of a file with the places of its pages; raises `Refused`, or what `document_of` raises."""
    if raw.startswith(GZIP_MAGIC):
        raise DataError(f"{name} is compressed. Send it as it was before.")
    if raw.startswith(b"%PDF-") and (n := _said_pages(raw)) > max_pages:
        raise Refused("limit", f"{name} has {n:,} pages; this server takes {max_pages:,}.")
    document = document_of(raw, name, kind_of(raw, name))
    if len(document.pages) > max_pages:
        raise Refused("limit", f"{name} has {len(document.pages):,} pages; this server takes {max_pages:,}.")
    if len(document.text) > max_characters:
        raise Refused(
            "limit", f"{name} has {len(document.text):,} characters; this server takes {max_characters:,}."
        )
    if not document.text.strip():
        raise DataError(f"{name} is empty.")
    return {"text": document.text, "pages": document.pages}


class Refused(Exception):  # noqa: N818 - as `Problem`
    """A limit was met: the kind of problem, and what is said of it."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def kind_of(raw: bytes, name: str) -> str:
    """The suffix that stands for the file's kind: by its content where that is plain, else by its name."""
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
        answer = {"kind": "not-served", "detail": f"This server was installed without a part of it: {error}"}
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
    for which, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(ValueError, OSError):  # less is allowed already
            resource.setrlimit(which, (most, most))


def _said_pages(raw: bytes) -> int:
    """How many pages a PDF says it has: too many are refused before they are read. What is broken is the
    parser's to tell.
    """
    with suppress(Exception):
        import pypdf

        return int(pypdf.PdfReader(io.BytesIO(raw)).get_num_pages())
    return 0


def _lacked_memory(error: BaseException | None) -> bool:
    """Whether it was for want of memory that a file could not be read, whatever the parser made of that."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__context__
    return error is not None


if __name__ == "__main__":
    main()
