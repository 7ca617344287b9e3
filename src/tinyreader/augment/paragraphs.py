"""Examples in, rewritten examples out: one paragraph after the other, in chunks that proposers take at
once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tinyreader.augment.candidates import clean
from tinyreader.augment.options import AugmentOptions
from tinyreader.augment.proposer import Passage, Proposer
from tinyreader.augment.report import AugmentReport
from tinyreader.augment.rewrite import Copies, Copy, rewritten
from tinyreader.augment.words import Place, Places, find_places
from tinyreader.data import Example
from tinyreader.errors import DataError, SettingsError
from tinyreader.windows import chunks

CHUNK = 16
"""Paragraphs that proposers are given at once."""

Paragraph = list[Example]

_COPY_ID = re.compile(r"#aug[0-9]+$")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A paragraph's examples with its words and the candidates for those that may be replaced."""

    examples: Paragraph
    places: Places
    candidates: dict[Place, tuple[str, ...]]

    @property
    def text(self) -> str:
        """The paragraph's text."""
        return self.examples[0].context

    def copies(self, options: AugmentOptions) -> Copies:
        """The copies, which are drawn when they are taken."""
        return Copies(self.text, self.candidates, options)


def augment(
    examples: Iterable[Example],
    proposers: Sequence[Proposer],
    options: AugmentOptions,
    report: AugmentReport | None = None,
) -> Iterator[Example]:
    """Yield the examples on rewritten copies of their paragraphs (TinyBERT, arXiv 1909.10351, algorithm 1).

    Examples that follow each other with the same context are a paragraph. For each, its copies come one after
    the other, each with all of its questions, under ids such as `id#aug7`; the original comes before them
    with `options.keep_original`, and alone, as it was, where no copy could be made. `report` is filled with
    what was done.

    Proposers are asked in their order; a word goes on to the next one when there was no proposal that could
    be used. Memory holds one chunk of paragraphs, however many examples there are.
    """
    report = AugmentReport() if report is None else report
    for paragraphs in chunks(paragraphs_of(examples), CHUNK):
        for prepared in prepare(paragraphs, proposers, options):
            yield from _rewrite(prepared, options, report)


def paragraphs_of(examples: Iterable[Example]) -> Iterator[Paragraph]:
    """Yield the examples in runs with the same context and title; `DataError` for one that is a copy
    itself.
    """
    for _, run in groupby(examples, key=lambda e: (e.title, e.context)):
        paragraph = list(run)
        for example in paragraph:
            if _COPY_ID.search(example.id):
                raise DataError(
                    f"question {example.id!r} is a rewritten copy already, and its copies' ids would clash "
                    "with others. "
                    "Augment the data it was made from, without such copies in it"
                )
        yield paragraph


def prepare(
    paragraphs: Sequence[Paragraph], proposers: Sequence[Proposer], options: AugmentOptions
) -> Iterator[Prepared]:
    """Yield the paragraphs with the candidates of their words."""
    if not proposers:
        raise SettingsError("nobody proposes words: give a masked language model, word vectors or synonyms")
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
    """Yield the paragraph's examples on its copies, and count."""
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
    """Yield the copy's text in pieces: (what stands there, the word it replaces or nothing)."""
    position = 0
    for each in copy.replacements:
        if each.start > position:
            yield prepared.text[position : each.start], ""
        yield each.text, prepared.text[each.start : each.end]
        position = each.end
    if position < len(prepared.text):
        yield prepared.text[position:], ""
