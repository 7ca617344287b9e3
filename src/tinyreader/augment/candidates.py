"""From proposals to candidates: what is no other word goes, and the case of the word is carried over."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from tinyreader.augment.grammar import agrees_with_article, may_stand_for


def is_word(text: str) -> bool:
    """Whether `text` can stand for a word: letters, with marks, and apostrophes or hyphens between them."""
    return bool(text) and text[0].isalpha() and text[-1] not in "'’-" and all(map(_is_part, text))


def _is_part(character: str) -> bool:
    return character.isalpha() or character in "'’-" or unicodedata.category(character).startswith("M")


def carry_case(word: str, replacement: str) -> str:
    """`replacement` in the case of `word`: all capitals, a capital first, or as it came (bRIDge, iPhone,
    bridge).
    """
    if word.isupper() and sum(map(str.isalpha, word)) > 1:
        return replacement.upper()
    if word[:1].isupper() and word[1:] == word[1:].lower():
        return replacement[:1].upper() + replacement[1:]
    return replacement


def clean(
    word: str, proposals: Iterable[str], limit: int, *, before: str = "", after: str = ""
) -> tuple[str, ...]:
    """The first `limit` proposals that can stand for `word` between its neighbours, each once whatever its
    case.

    Left out are the word itself, the words beside it, what is no word, what does something else in a
    sentence, and what "a" or "an" before it does not go with.
    """
    seen = {word.casefold(), before.casefold(), after.casefold()}
    kept: list[str] = []
    for proposal in proposals:
        folded = proposal.casefold()
        if folded in seen or not is_word(proposal):
            continue
        seen.add(folded)
        if may_stand_for(word, proposal) and agrees_with_article(before, word, proposal):
            kept.append(carry_case(word, proposal))
        if len(kept) == limit:
            break
    return tuple(kept)
