"""`Document`: a text to read, with its name and the places where its pages begin."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text to read, with the name that answers refer to it by.

    `pages` are the offsets, in code points and ascending, where its pages begin; empty for a text without
    pages. `warnings` say what of the file was not read.
    """

    id: str
    text: str
    pages: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    def page_at(self, offset: int) -> int | None:
        """The page, counted from 1, that the code point at `offset` stands on; None for a text without
        pages.
        """
        return max(1, bisect_right(self.pages, offset)) if self.pages else None

    def line_at(self, offset: int) -> int:
        """The line, counted from 1, that `offset` stands in; lines end as in Unix, Windows or old Mac
        files.
        """
        text = self.text
        return 1 + text.count("\n", 0, offset) + text.count("\r", 0, offset) - text.count("\r\n", 0, offset)


def page_breaks(text: str) -> tuple[int, ...]:
    """Where the pages of a text begin that parts them by form feeds; empty where it has none."""
    starts = [found.end() for found in re.finditer("\f", text)]
    return (0, *starts) if starts else ()


def not_read(n: int, things: str, detail: str = "") -> tuple[str, ...]:
    """The warning that `n` things, "pictures" say, are not read; none for 0."""
    return (f"{n} {things if n > 1 else things.removesuffix('s')} not read{detail}",) if n else ()


def in_pages(name: str, pages: Iterable[str], warnings: tuple[str, ...] = ()) -> Document:
    """The document whose pages are these texts, each from a line of its own."""
    starts, parts, offset = [], [], 0
    for page in pages:
        starts.append(offset)
        parts.append(f"{page.rstrip()}\n")
        offset += len(parts[-1])
    return Document(name, "".join(parts), tuple(starts), warnings)
