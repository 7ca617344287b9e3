"""Unanswerable questions made from answerable ones, so that a reader sees the same question both ways.

Questions that people write without an answer give themselves away by their style, and a reader learns the style.
Here the question stays as it is and the text changes: either another text that does not answer it, or its own text
without the sentence that does.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

from tinyreader.data.example import Example
from tinyreader.data.split import group_articles
from tinyreader.errors import SettingsError

ELSEWHERE = "elsewhere"
"""Suffix of the id of a question put to another text, after a hyphen."""
REMOVED = "removed"
"""Suffix of the id of a question whose answering sentence was removed, after a hyphen."""

_MIN_CHARS_LEFT = 100  # a text much shorter than a paragraph would give itself away
_MAX_ANSWER_CHARS = 400  # gold answers further apart than this are not one place
_K1, _B = 1.2, 0.75  # BM25's usual constants

_WORD = re.compile(r"\w+")
_BOUNDARY = re.compile(r"""[.!?]["')\]»”’]*(?=\s)|\n""")
_ABBREVIATION = re.compile(
    r"(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|Nr|Prof|Fig|Art|Sec|vs|ca|approx|etc|e\.g|i\.e|p|pp)\."
)


@dataclass(frozen=True, slots=True)
class Unanswerable:
    """Examples without an answer, in the order of the questions that they come from, and how many were unsuitable."""

    examples: tuple[Example, ...]
    n_unsuitable: int


def ask_elsewhere(examples: Iterable[Example], n_questions: int | None, seed: int = 0) -> Unanswerable:
    """Put `n_questions` of the answerable questions (None: all) to the nearest other text that does not hold their answer.

    That is the paragraph of the same article which shares the rarest words with the question (Rajpurkar et al., arXiv
    1806.03822, had people write such questions). A question whose article has no such paragraph goes to the nearest
    paragraph of another article by BM25. Texts that contain one of the gold answers, in whatever case, are left out.
    Ids end with `-elsewhere`; a question is put elsewhere at most once. `seed` decides which questions are drawn.
    Raises `SettingsError` where fewer than `n_questions` are suitable.
    """
    examples = list(examples)
    names = group_articles(examples)
    contexts: dict[str, dict[str, None]] = defaultdict(dict)
    for name, example in zip(names, examples, strict=True):
        contexts[name][example.context] = None
    articles = {name: _Article(list(own)) for name, own in contexts.items()}
    collection: list[_Collection] = []  # built when first needed

    def put(i: int) -> Example | None:
        example = examples[i]
        context = articles[names[i]].nearest(example)
        if context is None and len(articles) > 1:
            if not collection:
                collection.append(_Collection(dict.fromkeys(one.context for one in examples)))
            context = collection[0].nearest(example)
        if context is None:
            return None
        title = example.title if context in contexts[names[i]] else ""
        return Example(f"{example.id}-{ELSEWHERE}", example.question, context, title=title)

    return _make(examples, n_questions, seed, ELSEWHERE, put)


def remove_answers(examples: Iterable[Example], n_questions: int | None, seed: int = 0) -> Unanswerable:
    """Take the sentence or row that answers out of the text of `n_questions` answerable questions (None: all).

    A question is unsuitable where the words of an answer also stand in the rest of the text, where its gold answers
    lie far apart, or where little text is left. Ids end with `-removed`; a question is used at most once. `seed`
    decides which questions are drawn. Raises `SettingsError` where fewer than `n_questions` are suitable.
    """
    examples = list(examples)

    def remove(i: int) -> Example | None:
        example = examples[i]
        context = without_answer(example)
        if context is None:
            return None
        return Example(f"{example.id}-{REMOVED}", example.question, context, title=example.title)

    return _make(examples, n_questions, seed, REMOVED, remove)


def without_answer(example: Example) -> str | None:
    """Return the context without the sentences that hold the gold answers; None where that is unsuitable."""
    begin = min(answer.start for answer in example.answers)
    end = max(answer.end for answer in example.answers)
    if end - begin > _MAX_ANSWER_CHARS:
        return None
    context = example.context
    touched = [(a, b) for a, b in sentences(context) if a < end and b > begin]
    before, after = context[: touched[0][0]], context[touched[-1][1] :]
    glue = "" if not before or before[-1].isspace() or after[:1].isspace() else " "
    left = (before + glue + after).strip()
    if len(left) < _MIN_CHARS_LEFT or _contains(left, example):
        return None
    return left


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each sentence or row; together they cover `text`, blanks included.

    A line break ends a row, unless the line is long, does not end a sentence, and the next one begins in lower case:
    then it is a sentence wrapped by hand, as in e-mails.
    """
    cuts = [0]
    for match in _BOUNDARY.finditer(text):
        following = text[match.end() : match.end() + 80]
        if match[0] == "\n":
            line = text[cuts[-1] : match.start()].rsplit("\n", 1)[-1].strip()
            if (
                len(line) > 50
                and not line.endswith((".", "!", "?", ":", ";"))
                and re.match(r" *[a-z(]", following)
            ):
                continue
        else:
            word = text[: match.start() + 1].rsplit(None, 1)[-1]
            if _ABBREVIATION.fullmatch(word) or re.match(r"\s+[a-z]", following):
                continue
        cuts.append(match.end())
    if cuts[-1] < len(text):
        cuts.append(len(text))
    return list(pairwise(cuts))


def draw_key(name: str, place: int, seed: int) -> bytes:
    """Return the key by which questions are drawn: a hash of the seed, the place and the id."""
    return hashlib.blake2b(
        f"{seed}\n{place}\n{name}".encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()


def _make(
    examples: Sequence[Example],
    n_questions: int | None,
    seed: int,
    suffix: str,
    make: Callable[[int], Example | None],
) -> Unanswerable:
    """Draw answerable questions until `make` has given `n_questions` examples."""
    if n_questions is not None and (type(n_questions) is not int or n_questions < 1):
        raise SettingsError(f"n_questions is {n_questions!r}; give a number of questions from 1 up")
    taken = {example.id for example in examples}
    answerable = [i for i, example in enumerate(examples) if not example.is_impossible]
    unused = [i for i in answerable if f"{examples[i].id}-{suffix}" not in taken]
    found: dict[int, Example] = {}
    n_unsuitable = 0
    for i in sorted(unused, key=lambda i: draw_key(examples[i].id, i, seed)):
        if len(found) == n_questions:
            break
        made = make(i)
        if made is None:
            n_unsuitable += 1
        else:
            found[i] = made
    if n_questions is not None and len(found) < n_questions:
        used = len(answerable) - len(unused)
        raise SettingsError(
            f"{n_questions} '{suffix}' questions cannot be made: {len(found)} of the {len(unused)} answerable ones are "
            "suitable (the answer's words must not stand in the text that the question is then put to)"
            + (f"; {used} more have been used before" if used else "")
        )
    return Unanswerable(tuple(found[i] for i in sorted(found)), n_unsuitable)


def _contains(text: str, example: Example) -> bool:
    """Whether a gold answer stands in the text as whole words, in whatever case."""
    folded = text.casefold()
    return any(
        re.search(rf"(?<!\w){re.escape(answer.text.casefold())}(?!\w)", folded) for answer in example.answers
    )


class _Article:
    """The paragraphs of an article and how rare each word is among them."""

    def __init__(self, contexts: Sequence[str]) -> None:
        self.contexts = contexts
        self.folded = [context.casefold() for context in contexts]
        self.words = [frozenset(_WORD.findall(text)) for text in self.folded]
        counts = Counter(word for words in self.words for word in words)
        self.rarity = {word: log(1 + len(contexts) / count) for word, count in counts.items()}

    def nearest(self, example: Example) -> str | None:
        """Return the paragraph that shares the rarest words with the question, the first of equals."""
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


class _Collection:
    """All paragraphs by the words they hold, ranked by BM25 (Robertson and Zaragoza 2009, equation 3.15)."""

    def __init__(self, contexts: Iterable[str]) -> None:
        self.contexts = list(contexts)
        counts = [Counter(_WORD.findall(context.casefold())) for context in self.contexts]
        lengths = [sum(words.values()) for words in counts]
        mean = max(1.0, sum(lengths) / len(lengths))
        self.saturation = [_K1 * (1 - _B + _B * length / mean) for length in lengths]
        self.postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for n, words in enumerate(counts):
            for word, count in words.items():
                self.postings[word].append((n, count))

    def nearest(self, example: Example) -> str | None:
        """Return the best paragraph that does not hold the answer, None where none shares a word with the question."""
        scores: dict[int, float] = defaultdict(float)
        for word in sorted(set(_WORD.findall(example.question.casefold()))):
            found = self.postings.get(word, ())
            weight = log(1 + (len(self.contexts) - len(found) + 0.5) / (len(found) + 0.5))
            for n, count in found:
                scores[n] += weight * count * (_K1 + 1) / (count + self.saturation[n])
        for n in sorted(scores, key=lambda n: (-scores[n], n)):
            if self.contexts[n] != example.context and not _contains(self.contexts[n], example):
                return self.contexts[n]
        return None
