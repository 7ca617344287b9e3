"""Words of grammar, which only words that do the same may stand for: a copy should still be a sentence.

A masked language model that lost "of" also proposes "was" and "and" for it. In another language than English
all words count as words of content, and nothing is held back.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from importlib.resources import files

ALONE = frozenset({"fixed", "negation"})
"""Kinds of words that nothing stands for: fixed parts of a sentence, and what would turn it into its
opposite.
"""

VOWELS = frozenset("aeiou")


@cache
def function_words() -> dict[str, frozenset[str]]:
    """What each word of grammar does, by the word in small letters."""
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


def stands_alone(word: str) -> bool:
    """Whether no other word may stand for `word`: of, to, as; not, never."""
    return not ALONE.isdisjoint(function_words().get(word.casefold(), ()))


def may_stand_for(word: str, proposal: str) -> bool:
    """Whether `proposal` does what `word` does: content for content, and grammar of the same kind."""
    known = function_words()
    mine, theirs = known.get(word.casefold()), known.get(proposal.casefold())
    if mine is None or theirs is None:
        return mine is theirs
    return bool(mine & theirs) and ALONE.isdisjoint(mine | theirs)


def agrees_with_article(before: str, word: str, proposal: str) -> bool:
    """Whether "a" or "an" before `word` still sounds right before `proposal`; told by its first letter."""
    if word.casefold() in ("a", "an"):
        return proposal.casefold() not in ("a", "an")
    article = before.casefold()
    return article not in ("a", "an") or (proposal[:1].casefold() in VOWELS) == (article == "an")
