"""How answers are normalised in each language before they are compared, and its question words.

"squad-en" is the official scripts' rule and the default for every language: only scores under it compare with
published ones. The others do the same in their language: lower case, composed (NFC), no punctuation (all of
Unicode's), no articles, single spaces. A report records the normalisation of its scores.
"""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import regex

from tinyreader.errors import SettingsError
from tinyreader.metrics import Tokens, normalise_answer

OFFICIAL = "squad-en"


@dataclass(frozen=True, slots=True)
class Language:
    """Articles, which are removed, those elided before the next word (l'), and question words.

    The first question word of a group names it: `wo, woher, wohin` count as `wo`. Longer phrases come before
    their parts.
    """

    articles: str
    question_words: tuple[str, ...]
    elided: str = ""


ENGLISH = Language(
    "a an the", ("how many how much", "what", "who whom whose", "when", "where", "which", "why", "how")
)
LANGUAGES = {
    "en": ENGLISH,
    "de": Language(
        "der die das den dem des ein eine einen einem einer eines",
        (
            "wie viele wie viel wieviel wieviele",
            "was",
            "wer wem wen wessen",
            "wann",
            "wo woher wohin",
            "welche welcher welches welchem welchen",
            "warum weshalb wieso wozu",
            "wie",
        ),
    ),
    "fr": Language(
        "le la les un une des du",
        (
            "combien",
            "qui",
            "quand",
            "où",
            "quel quelle quels quelles lequel laquelle",
            "pourquoi",
            "comment",
            "que quoi qu",
        ),
        elided="l",
    ),
    "es": Language(
        "el la los las lo un una unos unas",
        (
            "cuánto cuánta cuántos cuántas",
            "qué",
            "quién quiénes",
            "cuándo",
            "dónde adónde",
            "cuál cuáles",
            "por qué",
            "cómo",
        ),
    ),
    "it": Language(
        "il lo la i gli le un uno una",
        (
            "quanto quanta quanti quante",
            "chi",
            "quando",
            "dove",
            "quale quali qual",
            "perché",
            "come",
            "che cosa cosa che",
        ),
        elided="l un gl",
    ),
    "nl": Language(
        "de het een",
        (
            "hoeveel",
            "wat",
            "wie wiens",
            "wanneer",
            "waar waarheen waarvandaan",
            "welke welk",
            "waarom",
            "hoe",
        ),
    ),
    "pt": Language(
        "o a os as um uma uns umas",
        (
            "quanto quanta quantos quantas",
            "quem",
            "quando",
            "onde aonde",
            "qual quais",
            "por que porquê",
            "como",
            "que o que",
        ),
    ),
    "none": Language("", ENGLISH.question_words),
}
"""By ISO 639-1 code; "none" removes no articles, for every other language."""

PHRASES = {
    "how": ("many", "much"),
    "wie": ("viele", "viel"),
    "por": ("qué", "que"),
}  # pairs that are one question word
OTHER = "other"


def normalisations() -> tuple[str, ...]:
    """The names that `tokens_of` knows."""
    return (OFFICIAL, *LANGUAGES)


def tokens_of(name: str) -> Tokens | None:
    """The function from an answer to its words under that normalisation; None for the official one, which is
    the default of `metrics`.
    """
    if name == OFFICIAL:
        return None
    language = language_of(name)
    articles = frozenset(language.articles.split())
    elided_articles = "|".join(language.elided.split())
    elided = regex.compile(rf"\b(?:{elided_articles})['’]") if elided_articles else None
    punctuation = _punctuation()

    def tokens(text: str) -> list[str]:
        lowered = unicodedata.normalize("NFC", text).lower()
        if elided is not None:
            lowered = elided.sub(" ", lowered)
        return [word for word in lowered.translate(punctuation).split() if word not in articles]

    return tokens


def language_of(name: str) -> Language:
    """The language of a normalisation. Raises `SettingsError` for an unknown one."""
    if name == OFFICIAL:
        return ENGLISH
    if name not in LANGUAGES:
        raise SettingsError(f"normalisation {name!r} is unknown; give one of: {', '.join(normalisations())}.")
    return LANGUAGES[name]


def question_word(question: str, language: Language) -> str:
    """The first question word of a question, by the name of its group; "other" where there is none."""
    groups = _groups(language)
    words = regex.findall(r"\w+", question.lower())
    for word, following in pairwise([*words, ""]):
        if following in PHRASES.get(word, ()) and f"{word} {following}" in groups:
            return groups[f"{word} {following}"]
        if word in groups:
            return groups[word]
    return OTHER


@cache
def _groups(language: Language) -> dict[str, str]:
    """Each question word or phrase with the name of its group, which is the group's first."""
    groups: dict[str, str] = {}
    for line in language.question_words:
        members = _members(line)
        groups |= {member: groups.get(member, members[0]) for member in members}
    return groups


def _members(line: str) -> list[str]:
    """The words and two-word phrases of a group."""
    words, members = line.split(), []
    while words:
        n = 2 if len(words) > 1 and words[1] in PHRASES.get(words[0], ()) else 1
        members.append(" ".join(words[:n]))
        words = words[n:]
    return members


@cache
def _punctuation() -> dict[int, None]:
    """All punctuation of Unicode and ASCII's symbols, as `str.translate` takes it."""
    ascii_symbols = set(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))
    return dict.fromkeys(
        code
        for code in range(sys.maxunicode + 1)
        if code in ascii_symbols or unicodedata.category(chr(code)).startswith("P")
    )


def normalise(text: str, name: str) -> str:
    """The text under that normalisation."""
    tokens = tokens_of(name)
    return normalise_answer(text) if tokens is None else " ".join(tokens(text))
