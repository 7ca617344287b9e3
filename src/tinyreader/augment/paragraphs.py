"""Examples in, rewritten examples out, paragraph by paragraph; `AugmentReport` counts what happened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tinyreader.augment.proposer import AugmentOptions, Passage, Proposer
from tinyreader.augment.rewrite import Copies, Copy, rewritten
from tinyreader.augment.words import Place, Places, clean, find_places
from tinyreader.data import Example
from tinyreader.errors import DataError, SettingsError
from tinyreader.windows import chunks

CHUNK = 16
"""Number of paragraphs in one call of a proposer."""

Paragraph = list[Example]

_COPY_ID = re.compile(r"#aug[0-9]+$")
_BINS = 100


@dataclass(slots=True)
class AugmentReport:
    """Counts over paragraphs, their words and their copies; `as_dict` adds the shares.

    A replaceable word is `without_candidates` when no proposer has a usable word for it. A paragraph is
    `unchanged` when no copy of it could be made; the result then has it once, as it was. `shares` is a
    histogram of the copies by the percentage of their words that was replaced.
    """

    paragraphs: int = 0
    examples: int = 0
    words: int = 0
    replaceable_words: int = 0
    without_candidates: int = 0
    copies: int = 0
    copied_examples: int = 0
    replaced_words: int = 0
    copied_words: int = 0
    redrawn: int = 0
    dropped: int = 0
    unchanged_paragraphs: int = 0
    unchanged_examples: int = 0
    shares: list[int] = field(default_factory=lambda: [0] * (_BINS + 1))

    def add_copy(self, n_examples: int, n_replaced: int, n_words: int) -> None:
        """Count one copy."""
        self.copies += 1
        self.copied_examples += n_examples
        self.replaced_words += n_replaced
        self.copied_words += n_words
        self.shares[_BINS * n_replaced // max(n_words, 1)] += 1

    def add(self, other: AugmentReport) -> None:
        """Add the counts of another report."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            total = [a + b for a, b in zip(mine, theirs, strict=True)] if name == "shares" else mine + theirs
            setattr(self, name, total)

    def counts(self) -> dict[str, Any]:
        """All counts as plain data; `AugmentReport(**counts)` is the same report."""
        return {name: getattr(self, name) for name in self.__slots__}

    def median_share(self) -> float:
        """The share of replaced words in the median copy, rounded down to hundredths; 0 without copies."""
        below = 0
        for hundredths, n in enumerate(self.shares):
            below += n
            if n and 2 * below >= self.copies:
                return hundredths / _BINS
        return 0.0

    def as_dict(self) -> dict[str, Any]:
        """The counts without the histogram, and the shares computed from them."""
        counts = {name: value for name, value in self.counts().items() if name != "shares"}
        return counts | {
            "replaced_share": round(self.replaced_words / max(self.copied_words, 1), 4),
            "median_replaced_share": self.median_share(),
            "unchanged_share": round(self.unchanged_paragraphs / max(self.paragraphs, 1), 4),
            "dropped_share": round(self.dropped / max(self.copies + self.dropped, 1), 4),
        }

    def __str__(self) -> str:
        facts = self.as_dict()
        return (
            f"{self.paragraphs:,} paragraphs, {self.copies:,} copies with {self.copied_examples:,} "
            f"questions; {facts['replaced_share']:.0%} of their words replaced "
            f"({facts['median_replaced_share']:.0%} in the median copy); "
            f"{self.unchanged_paragraphs:,} paragraphs could not be changed, "
            f"{self.dropped:,} copies were dropped as duplicates, "
            f"{self.without_candidates:,} of {self.replaceable_words:,} replaceable words had no candidate"
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A paragraph's examples, its words, and the candidates for the replaceable ones."""

    examples: Paragraph
    places: Places
    candidates: dict[Place, tuple[str, ...]]

    @property
    def text(self) -> str:
        """The paragraph's text."""
        return self.examples[0].context

    def copies(self, options: AugmentOptions) -> Copies:
        """The copies, drawn one by one while the caller iterates."""
        return Copies(self.text, self.candidates, options)


def augment(
    examples: Iterable[Example],
    proposers: Sequence[Proposer],
    options: AugmentOptions,
    report: AugmentReport | None = None,
) -> Iterator[Example]:
    """Yield the examples on rewritten copies of their paragraphs (TinyBERT, arXiv 1909.10351, algorithm 1).

    Consecutive examples with the same context are a paragraph. Its copies come one after the other, each with
    all of its questions, under ids such as `id#aug7`. The original precedes them with
    `options.keep_original`; it comes alone, unchanged, where no copy could be made. `report` is updated while
    the examples are read.

    Proposers are asked in order; a word is passed to the next one when no proposal for it was usable. One
    chunk of paragraphs is in memory at a time.
    """
    report = AugmentReport() if report is None else report
    for paragraphs in chunks(paragraphs_of(examples), CHUNK):
        for prepared in prepare(paragraphs, proposers, options):
            yield from _rewrite(prepared, options, report)


def paragraphs_of(examples: Iterable[Example]) -> Iterator[Paragraph]:
    """Yield runs of examples with the same context and title; `DataError` for one that is already a copy."""
    for _, run in groupby(examples, key=lambda e: (e.title, e.context)):
        paragraph = list(run)
        for example in paragraph:
            if _COPY_ID.search(example.id):
                raise DataError(
                    f"question {example.id!r} is already a rewritten copy, and the ids of its copies would "
                    "clash with others. Augment the original data, without such copies in it"
                )
        yield paragraph


def prepare(
    paragraphs: Sequence[Paragraph], proposers: Sequence[Proposer], options: AugmentOptions
) -> Iterator[Prepared]:
    """Yield the paragraphs with the candidates for their words."""
    if not proposers:
        raise SettingsError("there are no proposers: give a masked language model, word vectors or synonyms")
    places = [find_places(paragraph, options) for paragraph in paragraphs]
    found: list[dict[Place, tuple[str, ...]]] = [{} for _ in paragraphs]
    for proposer in proposers:
        passages = [
            Passage(paragraph[0].context, tuple(place for place in own.replaceable if place not in known))
            for paragraph, own, known in zip(paragraphs, places, found, strict=True)
        ]
        for passage, own, known, proposals in zip(passages, places, found, proposer(passages), strict=True):
            beside = own.neighbours(passage.text)
            for place, words in zip(passage.places, proposals, strict=True):
                word, (before, after) = passage.text[slice(*place)], beside[place]
                if candidates := clean(word, words, options.candidates, before=before, after=after):
                    known[place] = candidates
    for paragraph, own, known in zip(paragraphs, places, found, strict=True):
        yield Prepared(paragraph, own, known)


def _rewrite(prepared: Prepared, options: AugmentOptions, report: AugmentReport) -> Iterator[Example]:
    """Yield the paragraph's examples on its copies, and update the counts."""
    copies, n_words, n_copies = prepared.copies(options), len(prepared.places.words), 0
    if options.keep_original:
        yield from prepared.examples
    for copy in copies:
        n_copies += 1
        report.add_copy(len(prepared.examples), len(copy.replacements), n_words)
        yield from (rewritten(example, copy) for example in prepared.examples)
    report.paragraphs += 1
    report.examples += len(prepared.examples)
    report.words += n_words
    report.replaceable_words += len(prepared.places.replaceable)
    report.without_candidates += len(prepared.places.replaceable) - len(prepared.candidates)
    report.redrawn += copies.n_redrawn
    report.dropped += copies.n_dropped
    if not n_copies:
        report.unchanged_paragraphs += 1
        report.unchanged_examples += len(prepared.examples)
        if not options.keep_original:
            yield from prepared.examples


def marked(prepared: Prepared, copy: Copy) -> Iterator[tuple[str, str]]:
    """Yield the copy's text in pieces: (new text, the word it replaces or an empty string)."""
    position = 0
    for each in copy.replacements:
        if each.start > position:
            yield prepared.text[position : each.start], ""
        yield each.text, prepared.text[each.start : each.end]
        position = each.end
    if position < len(prepared.text):
        yield prepared.text[position:], ""
