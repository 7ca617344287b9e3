"""Pieces of text on pages become text to read: columns, broken words, and what stands on every page.

Pure functions on boxes; where the boxes come from is `documents.pdf`'s matter. Coordinates are PDF's: points, y grows upwards.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

HYPHENS = "\x02\xad\u2010-"
"""What a word broken at a line's end ends with; \\x02 is PDFium's sign for the first two and the third."""

_BROKEN = re.compile(rf"(\w+)[{HYPHENS}]$")
_NEXT_WORD = re.compile(r"(\w+)(\S*)\s*")
_SENTENCE_END = re.compile(r"[.!?:;\u2026][\"'\u201d\u2019)\]]*$")
_WORDS = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+")
N_MARGIN_LINES = 2
"""Lines at the top and at the bottom of a page that may be a running header or footer."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that stand on one line without a wide gap, and the box around them in points."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    def is_beside(self, other: Piece) -> bool:
        """Whether both stand on one line."""
        overlap = min(self.top, other.top) - max(self.bottom, other.bottom)
        return overlap > 0.5 * min(self.top - self.bottom, other.top - other.bottom)


Row = list[Piece]


def page_lines(pieces: Iterable[Piece], more: Iterable[Piece] = ()) -> list[str]:
    """The lines of a page whose pieces come in the order of its content; those in `more`, form values and
    notes, go where they stand on the page. Columns of prose are read one after the other, cells of a table
    stand side by side with a tab between.
    """
    rows: list[Row] = []
    for piece in pieces:
        if rows and rows[-1][-1].is_beside(piece) and piece.left > rows[-1][-1].left:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    for piece in more:
        _place(rows, piece)
    lines = list(_in_columns(rows))
    are_cells = [len(row) > 1 for row in lines]
    in_table = [
        is_row and (before or after)
        for before, is_row, after in zip(
            [False, *are_cells], are_cells, [*are_cells[1:], False], strict=False
        )
    ]
    return [
        ("\t" if is_row else " ").join(piece.text for piece in row)
        for row, is_row in zip(lines, in_table, strict=True)
    ]


def _place(rows: list[Row], piece: Piece) -> None:
    """Put a piece on its line, or on one of its own above the first that stands lower."""
    for row in rows:
        if any(piece.is_beside(other) for other in row):
            row.append(piece)
            row.sort(key=lambda own: own.left)
            return
    below = (number for number, row in enumerate(rows) if row[0].top <= piece.bottom)
    rows.insert(next(below, len(rows)), [piece])


def _in_columns(rows: list[Row]) -> Iterator[Row]:
    """Yield the rows, those of neighbouring columns of prose column by column."""
    start = 0
    while start < len(rows):
        stop, edges = _column_block(rows, start)
        if not edges:
            yield rows[start]
            start += 1
            continue
        columns: list[list[Row]] = [[] for _ in range(len(edges) + 1)]
        for row in rows[start:stop]:
            for piece in row:
                columns[sum(piece.left >= edge for edge in edges)].append([piece])
        for column in columns:
            yield from column
        start = stop


def _column_block(rows: list[Row], start: int) -> tuple[int, list[float]]:
    """Where the columns of prose that begin at a row end, and the places between them; none where the rows
    are no such columns.
    """
    if len(rows[start]) < 2:
        return start, []
    edges = [(left.right + right.left) / 2 for left, right in pairwise(rows[start])]
    stop = start
    while stop < len(rows):
        edges_here = [
            edge for edge in edges if not any(piece.left < edge < piece.right for piece in rows[stop])
        ]
        if len(edges_here) < len(edges) or len(rows[stop]) > len(edges) + 1:
            break
        stop += 1
    while stop > start and len(rows[stop - 1]) < 2 and rows[stop - 1][0].left < edges[0]:
        stop -= 1  # lines of the full width's left half belong to what follows
    columns: list[list[str]] = [[] for _ in range(len(edges) + 1)]
    for row in rows[start:stop]:
        for piece in row:
            columns[sum(piece.left >= edge for edge in edges)].append(piece.text)
    return (stop, edges) if all(_is_prose(column) for column in columns) else (start, [])


def _is_prose(lines: Sequence[str]) -> bool:
    """Whether lines below each other continue one another's sentences, as those of a column do and cells do
    not.
    """
    pairs = list(pairwise(lines))
    n_continued = sum(not _SENTENCE_END.search(line) and following[:1].islower() for line, following in pairs)
    n_words = sum(len(line.split()) for line in lines)
    return len(lines) >= 2 and n_continued * 3 >= len(pairs) and n_words >= 2 * len(lines)


def joined_pages(pages: Sequence[Sequence[str]]) -> list[str]:
    """The text of each page, line by line, with words that are broken at a line's or page's end made whole on
    the line where they begin, and without the running headers and footers that part a sentence.
    """
    kept = _without_furniture(pages)
    lines = [(number, line) for number, page in enumerate(kept) for line in page]
    words = _whole_words([line for _, line in lines])
    texts: list[list[str]] = [[] for _ in pages]
    for place, (number, line) in enumerate(lines):
        if place + 1 < len(lines) and line[-1:] in set(HYPHENS):
            below, following = lines[place + 1]
            line, following = _made_whole(line, following, words)
            lines[place + 1] = (below, following)
        if line.strip():
            texts[number].append(line.replace("\x02", "-").replace("\xad", ""))
    return ["\n".join(page) for page in texts]


def _whole_words(lines: Sequence[str]) -> set[str]:
    """The words of these lines in small letters, without the halves of broken ones."""
    words: set[str] = set()
    is_rest = False
    for line in lines:
        broken = _BROKEN.search(line)
        found = _WORDS.findall(line[: broken.start()] if broken else line)
        words.update(word.lower() for word in found[is_rest:])
        is_rest = broken is not None
    return words


def _made_whole(line: str, following: str, words: set[str]) -> tuple[str, str]:
    """Two lines, the first of which ends with a hyphen, with the word across them on the first."""
    broken, rest = _BROKEN.search(line), _NEXT_WORD.match(following)
    if broken is None or rest is None:
        return line, following
    first, second = broken[1], rest[1]
    begin = line[: broken.start()]
    is_kept = line[-1] != "\xad" and _keeps_hyphen(first, second, words)
    return f"{begin}{first}{'-' if is_kept else ''}{second}{rest[2]}", following[rest.end() :]


def _keeps_hyphen(first: str, second: str, words: set[str]) -> bool:
    """Whether a hyphen at a line's end belongs to the word: "well-known", "1914-1918", "Rost-Lind".

    The word as one that the document or the lexicon has decides; else a hyphen stands between two words that
    they have.
    """
    if not second[0].islower() or not first.isalpha() or len(first) < 2:
        return True

    def is_known(word: str) -> bool:
        return word.lower() in words or word.lower() in lexicon()

    return not is_known(first + second) and is_known(first) and is_known(second)


@lru_cache(maxsize=1)
def lexicon() -> frozenset[str]:
    """The whole words that the bundled reader's tokenizer has, the 20,000 most frequent ones of English."""
    path = Path(__file__).parents[1] / "starter" / "tokenizer.json"
    vocabulary = json.loads(path.read_text("utf-8"))["model"]["vocab"]
    return frozenset(word for word in vocabulary if word.isalpha())


def _without_furniture(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """The lines of each page without headers, footers and numbers that stand between two halves of a
    sentence. Where no sentence is parted, they stay.
    """
    furniture = _furniture(pages)
    tops, bottoms = [], []
    for number, page in enumerate(pages):
        are_furniture = [(number, place) in furniture for place in range(len(page))]
        top = next((place for place, is_one in enumerate(are_furniture) if not is_one), len(page))
        bottom = next((place for place, is_one in enumerate(reversed(are_furniture)) if not is_one), 0)
        tops.append(top if top < len(page) else 0)  # a page of nothing else keeps it
        bottoms.append(len(page) - bottom)
    kept = [list(page) for page in pages]
    for number in range(len(pages) - 1):
        before, after = pages[number][: bottoms[number]], pages[number + 1][tops[number + 1] :]
        if not before or not after or _SENTENCE_END.search(before[-1]):
            continue
        del kept[number][len(kept[number]) - (len(pages[number]) - bottoms[number]) :]
        kept[number + 1] = list(after)
    return kept


def _furniture(pages: Sequence[Sequence[str]]) -> set[tuple[int, int]]:
    """The lines, as (page, line), that stand at the top or bottom of several pages, word for word or with a
    number that counts with the pages.
    """
    places: defaultdict[tuple[bool, str, int | None], list[tuple[int, int]]] = defaultdict(list)
    for number, page in enumerate(pages):
        for place in range(len(page)):
            is_top = place < min(N_MARGIN_LINES, len(page) - 1)
            if not is_top and place < len(page) - N_MARGIN_LINES:
                continue
            places[is_top, page[place], None].append((number, place))
            for found in _NUMBER.finditer(page[place]):
                if len(found[0]) > 6:
                    continue
                masked = f"{page[place][: found.start()]}\0{page[place][found.end() :]}"
                places[is_top, masked, int(found[0]) - number].append((number, place))
    return {place for found in places.values() if len({number for number, _ in found}) > 1 for place in found}
