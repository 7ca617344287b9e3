"""A training set with as many unanswerable questions as are wanted: drawn by share, or made from other
paragraphs.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

from tinyreader.data.example import Example
from tinyreader.data.split import group_articles
from tinyreader.errors import DataError, SettingsError

ELSEWHERE = "elsewhere"
"""What the id of a question put to another paragraph ends with, after a hyphen."""

_WORD = re.compile(r"\w+")


def sample(
    examples: Iterable[Example],
    *,
    n_questions: int | None = None,
    unanswerable: float | None = None,
    seed: int = 0,
) -> list[Example]:
    """Return `n_questions` of the examples (None: as many as there can be), in their order.

    The share `unanswerable` of them has no answer (None: the share that all of them have, as it comes). Which
    are drawn depends on `seed` and their ids and places. Raises `SettingsError` where there are not enough of
    a kind.
    """
    examples = list(examples)
    if n_questions is not None and (type(n_questions) is not int or n_questions < 1):
        raise SettingsError(f"n_questions is {n_questions!r}; give a number of questions from 1 up")
    if unanswerable is None:
        kept = _drawn(range(len(examples)), examples, _enough(n_questions, len(examples), "questions"), seed)
        return [examples[i] for i in sorted(kept)]
    if not 0 <= unanswerable <= 1:
        raise SettingsError(f"unanswerable is {unanswerable!r}; give a share from 0 to 1")
    without = [i for i, example in enumerate(examples) if example.is_impossible]
    answered = [i for i, example in enumerate(examples) if not example.is_impossible]
    n = _most(len(answered), len(without), unanswerable) if n_questions is None else n_questions
    n_without = round(n * unanswerable)
    kept = _drawn(without, examples, _enough(n_without, len(without), "unanswerable questions"), seed)
    kept |= _drawn(answered, examples, _enough(n - n_without, len(answered), "answerable questions"), seed)
    return [examples[i] for i in sorted(kept)]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Questions put to other paragraphs, and how many could not be: every other paragraph holds their
    answer's words.
    """

    examples: tuple[Example, ...]
    n_without_place: int


def ask_elsewhere(examples: Iterable[Example], n_questions: int, seed: int = 0) -> Elsewhere:
    """Put `n_questions` of the answerable questions to the paragraph of their article that shares most words
    with them.

    Their own paragraph and those in which an answer of theirs stands (in whatever case) are left out, so what
    comes back has no answer and looks as if it had one; Rajpurkar et al. (arXiv 1806.03822) had people write
    such questions. Words count by how rare they are among the article's paragraphs. Ids end with
    `-elsewhere`; a question whose new id is taken has been put elsewhere before, and is not again. Which
    questions are drawn depends on `seed`. Raises `SettingsError` where fewer questions can be put elsewhere.
    """
    examples = list(examples)
    if type(n_questions) is not int or n_questions < 1:
        raise SettingsError(f"n_questions is {n_questions!r}; give a number of questions from 1 up")
    articles = _articles(examples)
    named = group_articles(examples)
    taken = {example.id for example in examples}
    answerable = [i for i, example in enumerate(examples) if not example.is_impossible]
    answered = [i for i in answerable if f"{examples[i].id}-{ELSEWHERE}" not in taken]
    found: dict[int, Example] = {}
    n_without_place = 0
    for i in sorted(answered, key=lambda i: _draw(examples[i].id, i, seed)):
        if len(found) == n_questions:
            break
        context = articles[named[i]].nearest(examples[i])
        if context is None:
            n_without_place += 1
            continue
        one = examples[i]
        found[i] = Example(f"{one.id}-{ELSEWHERE}", one.question, context, title=one.title)
    if len(found) < n_questions:
        before = len(answerable) - len(answered)
        raise SettingsError(
            f"{n_questions} questions cannot be put to another paragraph of their article: {len(found)} of "
            "the "
            f"{len(answered)} answerable ones have one without their answer's words"
            + (f"; {before} more have been put elsewhere before" if before else "")
        )
    return Elsewhere(tuple(found[i] for i in sorted(found)), n_without_place)


class _Article:
    """The paragraphs of an article and how rare each word is among them."""

    def __init__(self, contexts: Sequence[str]) -> None:
        self.contexts = contexts
        self.folded = [context.casefold() for context in contexts]
        self.words = [frozenset(_WORD.findall(text)) for text in self.folded]
        counts = Counter(word for words in self.words for word in words)
        self.rarity = {word: log(1 + len(contexts) / count) for word, count in counts.items()}

    def nearest(self, example: Example) -> str | None:
        """The paragraph that shares the rarest words with the question and does not hold its answers, the
        first of equals.
        """
        asked = set(_WORD.findall(example.question.casefold()))
        answers = [answer.text.casefold() for answer in example.answers]
        best: tuple[float, str] | None = None
        for context, folded, words in zip(self.contexts, self.folded, self.words, strict=True):
            if context == example.context or any(answer in folded for answer in answers):
                continue
            score = sum(self.rarity[word] for word in sorted(asked & words))
            if best is None or score > best[0]:
                best = score, context
        return None if best is None else best[1]


def _articles(examples: Sequence[Example]) -> dict[str, _Article]:
    """The articles by the names that `group_articles` gives them."""
    contexts: dict[str, dict[str, None]] = defaultdict(dict)
    for name, example in zip(group_articles(examples), examples, strict=True):
        contexts[name][example.context] = None
    return {name: _Article(list(own)) for name, own in contexts.items()}


def _most(n_answered: int, n_without: int, share: float) -> int:
    """The most questions of which that share can be unanswerable."""
    if not n_answered + n_without:
        raise DataError("there are no questions to draw from")
    n = n_answered + n_without
    while n and (round(n * share) > n_without or n - round(n * share) > n_answered):
        n -= 1  # by ones, since what is rounded does not grow evenly
    if not n:
        raise SettingsError(
            f"a share of {share:g} unanswerable questions cannot be drawn: there are {n_answered} answerable "
            "and "
            f"{n_without} unanswerable ones"
        )
    return n


def _enough(wanted: int | None, there: int, what: str) -> int:
    if wanted is not None and wanted > there:
        raise SettingsError(f"{wanted} {what} are wanted, but there are {there}; ask for fewer")
    return there if wanted is None else wanted


def _drawn(rows: Sequence[int], examples: Sequence[Example], n: int, seed: int) -> set[int]:
    """That many of the rows."""
    return set(sorted(rows, key=lambda i: _draw(examples[i].id, i, seed))[:n])


def _draw(name: str, place: int, seed: int) -> bytes:
    return hashlib.blake2b(
        f"{seed}\n{place}\n{name}".encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()
