"""Many documents become passages, and the passages that share most with a question are picked (BM25) before
any is read.

A passage is a range of its document, so offsets stay those of the document. Passages consist of whole
sentences: neighbouring paragraphs are joined up to a size, a long paragraph is cut between sentences, and
each passage begins with the last sentences of the one before.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import regex

from tinyreader.documents import Document
from tinyreader.errors import MissingExtraError, SettingsError

PASSAGE_CHARACTERS = 1000
"""The longest passage, in code points: about 250 tokens of English, which fit one window with their question.
"""

OVERLAP_CHARACTERS = 200
"""At most so much of a passage stands at the beginning of the next one too."""

_EDGE = regex.compile(
    r"\s*\n\s*\n\s*"  # a blank line
    r"|(?<=[.!?…][\"'”’)\]]*)\s+(?=[\"'“‘(\[]*[\p{Lu}\p{Lt}\p{Lo}\p{N}])"  # a sentence's end
    r"|(?<=[。！？])\s*"
)
_EUROPEAN_MARKS = regex.compile(r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}]\p{M}*)\p{M}+")
_INVISIBLE = regex.compile(r"\p{Cf}+")
_STOP_WORDS = frozenset(
    "a an and are as at be by can could did do does for from had has have how i if in is it its long many may much must "
    "my no not of often on or our should that the their there this to was we were what when where which who whom whose "
    "why will with would you your".split()
)
_BLANK_LINE = regex.compile(r"\n\s*\n")
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|[\w\p{M}]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """The code points [start, end) of a document."""

    document: Document
    start: int
    end: int

    @property
    def text(self) -> str:
        """The passage's words, a verbatim slice of the document."""
        return self.document.text[self.start : self.end]


def passages_of(
    document: Document, size: int = PASSAGE_CHARACTERS, overlap: int = OVERLAP_CHARACTERS
) -> Iterator[Passage]:
    """Yield the passages that cover a document, each at most `size` long, in order; what lies between them is
    white space.
    """
    if not 0 <= overlap < size:
        raise SettingsError(
            f"overlap is {overlap} with passages of {size} characters; it must be from 0 to below that."
        )
    units = list(_units(document.text, size, overlap or size))
    first = 0
    while first < len(units):
        begin, stop = units[first][0], first
        while stop < len(units) and units[stop][1] - begin <= size:
            stop += 1
        if stop < len(units):
            stop = _at_paragraph(units, first, stop, size)
        yield Passage(document, begin, units[stop - 1][1])
        if stop == len(units):
            return
        end, following = units[stop - 1][1], stop
        while following - 1 > first and end - units[following - 1][0] <= overlap:
            following -= 1
        if units[stop][1] - units[following][0] > size:
            following = stop  # with the overlap, not one new sentence would fit
        first = following


def _at_paragraph(units: Sequence[tuple[int, int, bool]], first: int, stop: int, size: int) -> int:
    """The last place before `stop` where a paragraph ends, if the passage is still half its size; else
    `stop`.
    """
    for place in range(stop, first, -1):
        if units[place - 1][1] - units[first][0] < size // 2:
            return stop
        if units[place - 1][2]:
            return place
    return stop


def _units(text: str, size: int, piece: int) -> Iterator[tuple[int, int, bool]]:
    """Yield start and end of each sentence, and whether its paragraph ends there; one longer than `size` in
    pieces.
    """
    begin = len(text) - len(text.lstrip())
    stop = len(text.rstrip())
    for edge in _EDGE.finditer(text, begin, stop):
        if edge.start() > begin:
            yield from _cut(
                text, begin, edge.start(), size, piece, ends=_BLANK_LINE.search(edge[0]) is not None
            )
        begin = edge.end()
    if begin < stop:
        yield from _cut(text, begin, stop, size, piece, ends=True)


def _cut(
    text: str, begin: int, end: int, size: int, piece: int, *, ends: bool
) -> Iterator[tuple[int, int, bool]]:
    """Yield a sentence; where it is longer than `size`, cut at spaces into pieces short enough to stand in an
    overlap.
    """
    while end - begin > (piece if end - begin > size else size):
        place = max(text.rfind(sign, begin + 1, begin + piece + 1) for sign in " \n\t")
        place = begin + piece if place < 0 else place
        yield begin, place, False
        begin, size = place, piece
        while text[begin].isspace():
            begin += 1
    yield begin, end, ends


def words_of(text: str) -> list[str]:
    """The words that passages are compared by, one for each form of an English word; scripts without spaces sign by sign.

    Words are folded as an uncased reader's tokenizer folds them: compatibility forms (ligatures, full width), case, the
    marks of European scripts, and invisible format characters. Then they are stemmed (Porter's English stemmer, revised):
    "dogs" and "dog" are one word. Raises `MissingExtraError` without the `search` extra.
    """
    stem = _stemmer()
    return [stem(word) for word in _WORD.findall(fold(text))]


def query_words(question: str) -> list[str]:
    """The words of a question, each once, without words of grammar; with them where it has no others."""
    words = _WORD.findall(fold(question))
    stem = _stemmer()
    return list(dict.fromkeys(map(stem, [word for word in words if word not in _STOP_WORDS] or words)))


def fold(text: str) -> str:
    """The text as an uncased tokenizer sees it; its length may change."""
    if text.isascii():
        return text.lower()
    decomposed = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", _EUROPEAN_MARKS.sub("", decomposed)).casefold()


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        import snowballstemmer
    except ImportError:
        raise MissingExtraError("picking passages", "search") from None
    # stemming is pure Python; a vocabulary is small beside the text that uses it
    stem: Callable[[str], str] = lru_cache(maxsize=200_000)(snowballstemmer.stemmer("english").stemWord)
    return stem


class PassageIndex:
    """The passages of documents, and which of them share most with a question, by BM25 (Lucene's variant, k1
    1.5, b 0.75).
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        """Cuts and counts; raises `MissingExtraError` without the `search` extra."""
        try:
            import bm25s
        except ImportError:
            raise MissingExtraError("picking passages", "search") from None
        self.passages: list[Passage] = []
        self._vocabulary: dict[str, int] = {}
        ids: list[list[int]] = []
        for document in documents:
            for passage in passages_of(document):
                self.passages.append(passage)
                ids.append(
                    [
                        self._vocabulary.setdefault(word, len(self._vocabulary))
                        for word in words_of(passage.text)
                    ]
                )
        self._index: Any = None
        if self._vocabulary:
            self._index = bm25s.BM25()
            self._index.index((ids, dict(self._vocabulary)), show_progress=False)

    def best(self, question: str, n: int) -> list[Passage]:
        """The `n` best passages, best first; equal ones, and those that share no word, in the order of the
        documents.
        """
        if n < 1:
            raise SettingsError(f"passages is {n}; it must be at least 1.")
        known = [self._vocabulary[word] for word in query_words(question) if word in self._vocabulary]
        if n >= len(self.passages) or not known:
            return self.passages[:n]
        scores = self._index.get_scores(known)
        order = sorted(range(len(self.passages)), key=lambda place: (-scores[place], place))
        return [self.passages[place] for place in order[:n]]


def joined(passages: Iterable[Passage]) -> list[Passage]:
    """The passages in the order of their documents, those that overlap or touch made one: no text twice, no
    place cut twice.
    """
    by_document: dict[int, list[Passage]] = {}
    for passage in passages:
        by_document.setdefault(id(passage.document), []).append(passage)
    return [
        piece
        for own in by_document.values()
        for piece in _joined(sorted(own, key=lambda p: (p.start, p.end)))
    ]


def _joined(passages: Sequence[Passage]) -> Iterator[Passage]:
    """Yield the passages of one document, in order, with those made one that overlap or have only white space
    between.
    """
    current = passages[0]
    for following in passages[1:]:
        if following.start <= current.end or not current.document.text[current.end : following.start].strip():
            current = Passage(current.document, current.start, max(current.end, following.end))
        else:
            yield current
            current = following
    yield current
