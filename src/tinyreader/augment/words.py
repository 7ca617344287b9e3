"""What may be replaced: the words of a text by code points, without those that must stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import regex

from tinyreader.augment.grammar import is_function_word, stands_alone
from tinyreader.augment.options import AugmentOptions
from tinyreader.data import Answer, Example

# Letters, marks and digits, with apostrophes between letters; the 's of a genitive belongs to no word
# (Beyoncé's).
_WORD = regex.compile(
    r"(?<![\p{L}\p{M}\p{N}]['’])[\p{L}\p{N}][\p{L}\p{M}\p{N}]*(?:['’](?![sS]\b)\p{L}[\p{L}\p{M}]*)*"
)
_DIGIT = regex.compile(r"\p{N}")
_HYPHENS = "-\u2010\u2011"
_LONGEST_WORD = 60  # longer ones are names of chemicals, links and keyboards slept on

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a text's words, and those of them that may be replaced, both in order."""

    words: tuple[Place, ...]
    replaceable: tuple[Place, ...]

    def neighbours(self, text: str) -> dict[Place, tuple[str, str]]:
        """The words before and after each word of `text`, which the places are of; nothing at the ends."""
        words = ["", *(text[start:end] for start, end in self.words), ""]
        return {place: (words[n], words[n + 2]) for n, place in enumerate(self.words)}


def find_words(text: str) -> tuple[Place, ...]:
    """The words of `text` as (start, end) in code points; what is between them is no word and never
    changes.
    """
    return tuple(match.span() for match in _WORD.finditer(text))


def find_places(paragraph: Sequence[Example], options: AugmentOptions) -> Places:
    """The words of the paragraph that all the examples ask about, and which of them may be replaced.

    Some words stay because nothing can be put in their place: parts of compounds (Port-au-Prince), single
    letters that are no words (vitamin C), negation, and words of grammar that have no like. Words that touch
    an answer or a plausible answer stay, unless `options.replace_answers`: then only those stay that an
    answer begins or ends within, since half a word cannot be moved.
    """
    text = paragraph[0].context
    words = find_words(text)
    shared = frozenset[str]() if options.replace_question_words else _folded(e.question for e in paragraph)
    held = _answer_words(paragraph, words, whole_too=not options.replace_answers)

    def may_go(place: Place) -> bool:
        word = text[place[0] : place[1]]
        if place in held or len(word) > _LONGEST_WORD or word.casefold() in shared:
            return False
        if stands_alone(word) or _in_compound(text, place):
            return False
        if is_function_word(word):
            return not options.keep_stop_words
        return len(word) > 1 and (options.replace_digits or not _DIGIT.search(word))

    return Places(words, tuple(filter(may_go, words)))


def _in_compound(text: str, place: Place) -> bool:
    """Whether a hyphen joins the word to another."""
    start, end = place
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    joined = len(before) == 2 and before[1] in _HYPHENS and before[0].isalnum()
    return joined or (len(after) == 2 and after[0] in _HYPHENS and after[1].isalnum())


def answers_of(paragraph: Iterable[Example]) -> list[Answer]:
    """All answers and plausible answers of the examples, each place once, in order."""
    found = {(a.start, a.end): a for e in paragraph for a in (*e.answers, *e.plausible_answers)}
    return [found[place] for place in sorted(found)]


def _answer_words(paragraph: Sequence[Example], words: Sequence[Place], *, whole_too: bool) -> set[Place]:
    """The words that answers touch; without `whole_too` only those that an answer cuts through."""
    held = set()
    for answer in answers_of(paragraph):
        for start, end in words:
            touches = start < answer.end and answer.start < end
            whole = answer.start <= start and end <= answer.end
            if touches and (whole_too or not whole):
                held.add((start, end))
    return held


def _folded(texts: Iterable[str]) -> frozenset[str]:
    """The words of the texts, whatever their case."""
    return frozenset(text[a:b].casefold() for text in texts for a, b in find_words(text))
