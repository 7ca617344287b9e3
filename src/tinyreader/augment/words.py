"""Which words of a text may be replaced, and which proposals may replace them."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import regex

from tinyreader.augment.proposer import AugmentOptions
from tinyreader.data import Example

# Letters, marks and digits, with apostrophes between letters. The 's of a genitive is not part of the word
# (Beyoncé's).
_WORD = regex.compile(
    r"(?<![\p{L}\p{M}\p{N}]['’])[\p{L}\p{N}][\p{L}\p{M}\p{N}]*(?:['’](?![sS]\b)\p{L}[\p{L}\p{M}]*)*"
)
_DIGIT = regex.compile(r"\p{N}")
_HYPHENS = "-\u2010\u2011"
_MAX_WORD_LENGTH = 60  # anything longer is a chemical name, a link or keyboard noise
_NEVER_REPLACED = frozenset({"fixed", "negation"})  # sections of function_words.txt
_VOWELS = frozenset("aeiou")

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a text's words, and those of them that may be replaced, both in order."""

    words: tuple[Place, ...]
    replaceable: tuple[Place, ...]

    def neighbours(self, text: str) -> dict[Place, tuple[str, str]]:
        """The words before and after each word of `text`; empty strings at its ends."""
        words = ["", *(text[start:end] for start, end in self.words), ""]
        return {place: (words[n], words[n + 2]) for n, place in enumerate(self.words)}


def find_words(text: str) -> tuple[Place, ...]:
    """The words of `text` as (start, end) in code points; what lies between them never changes."""
    return tuple(match.span() for match in _WORD.finditer(text))


def find_places(paragraph: Sequence[Example], options: AugmentOptions) -> Places:
    """The words of the paragraph that all the examples ask about, and which of them may be replaced.

    Parts of compounds (Port-au-Prince), single letters (vitamin C), negations, and function words without an
    equivalent are kept. Words that overlap an answer or a plausible answer are kept, unless
    `options.replace_answers`: then only words that an answer starts or ends inside are kept, because an
    answer cannot move by half a word.
    """
    text = paragraph[0].context
    words = find_words(text)
    shared = frozenset[str]() if options.replace_question_words else _folded(e.question for e in paragraph)
    protected = _answer_words(paragraph, words, whole_too=not options.replace_answers)

    def is_replaceable(place: Place) -> bool:
        word = text[place[0] : place[1]]
        if place in protected or len(word) > _MAX_WORD_LENGTH or word.casefold() in shared:
            return False
        if is_never_replaced(word) or _in_compound(text, place):
            return False
        if is_function_word(word):
            return not options.keep_stop_words
        return len(word) > 1 and (options.replace_digits or not _DIGIT.search(word))

    return Places(words, tuple(filter(is_replaceable, words)))


def _in_compound(text: str, place: Place) -> bool:
    """Whether a hyphen joins the word to another."""
    start, end = place
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    joined = len(before) == 2 and before[1] in _HYPHENS and before[0].isalnum()
    return joined or (len(after) == 2 and after[0] in _HYPHENS and after[1].isalnum())


def _answer_words(paragraph: Sequence[Example], words: Sequence[Place], *, whole_too: bool) -> set[Place]:
    """The words that overlap answers; without `whole_too` only those that an answer covers in part."""
    answers = {(a.start, a.end) for e in paragraph for a in (*e.answers, *e.plausible_answers)}
    found = set()
    for first, last in answers:
        for start, end in words:
            overlaps = start < last and first < end
            whole = first <= start and end <= last
            if overlaps and (whole_too or not whole):
                found.add((start, end))
    return found


def _folded(texts: Iterable[str]) -> frozenset[str]:
    """The words of the texts, case-folded."""
    return frozenset(text[a:b].casefold() for text in texts for a, b in find_words(text))


def clean(
    word: str, proposals: Iterable[str], limit: int, *, before: str = "", after: str = ""
) -> tuple[str, ...]:
    """The first `limit` proposals that can replace `word` between its neighbours, in the word's case.

    Left out are the word itself, the words beside it, duplicates that differ only in case, anything that is
    not a word, words with another grammatical function, and what does not agree with "a" or "an" before it.
    """
    seen = {word.casefold(), before.casefold(), after.casefold()}
    kept: list[str] = []
    for proposal in proposals:
        folded = proposal.casefold()
        if folded in seen or not is_word(proposal):
            continue
        seen.add(folded)
        if may_replace(word, proposal) and agrees_with_article(before, word, proposal):
            kept.append(carry_case(word, proposal))
        if len(kept) == limit:
            break
    return tuple(kept)


def is_word(text: str) -> bool:
    """Whether `text` is one word: letters and combining marks, with apostrophes or hyphens between them."""
    return bool(text) and text[0].isalpha() and text[-1] not in "'’-" and all(map(_is_part, text))


def _is_part(character: str) -> bool:
    return character.isalpha() or character in "'’-" or unicodedata.category(character).startswith("M")


def carry_case(word: str, replacement: str) -> str:
    """`replacement` in upper case or capitalised where `word` is; otherwise unchanged (bRIDge, iPhone)."""
    if word.isupper() and sum(map(str.isalpha, word)) > 1:
        return replacement.upper()
    if word[:1].isupper() and word[1:] == word[1:].lower():
        return replacement[:1].upper() + replacement[1:]
    return replacement


# A masked language model that lost "of" also proposes "was" and "and". Only words with the same function may
# replace function words, so that a copy stays a sentence. The list is English: in other languages every word
# counts as a content word.


@cache
def function_words() -> dict[str, frozenset[str]]:
    """The grammatical functions of each function word, by its lower-case form."""
    lines = (
        files("tinyreader.augment").joinpath("function_words.txt").read_text(encoding="utf-8").splitlines()
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        if not line.startswith("#"):
            kind, _, words = line.partition(":")
            for word in words.split():
                found[word].add(kind)
    return {word: frozenset(kinds) for word, kinds in found.items()}


def is_function_word(word: str) -> bool:
    """Whether `word` carries grammar rather than content."""
    return word.casefold() in function_words()


def is_never_replaced(word: str) -> bool:
    """Whether `word` has no equivalent (of, to, as) or negates (not, never)."""
    return not _NEVER_REPLACED.isdisjoint(function_words().get(word.casefold(), ()))


def may_replace(word: str, proposal: str) -> bool:
    """Whether both are content words, or function words with a function in common."""
    known = function_words()
    mine, theirs = known.get(word.casefold()), known.get(proposal.casefold())
    if mine is None or theirs is None:
        return mine is theirs
    return bool(mine & theirs) and _NEVER_REPLACED.isdisjoint(mine | theirs)


def agrees_with_article(before: str, word: str, proposal: str) -> bool:
    """Whether "a" or "an" before `word` also fits `proposal`, judged by its first letter."""
    if word.casefold() in ("a", "an"):
        return proposal.casefold() not in ("a", "an")
    article = before.casefold()
    return article not in ("a", "an") or (proposal[:1].casefold() in _VOWELS) == (article == "an")
