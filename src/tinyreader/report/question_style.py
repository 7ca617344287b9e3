"""How well unanswerable questions can be told from the question alone, without its text.

Whoever writes questions without an answer tends to give them away, and a reader trained on them learns the style instead of
reading. A naive Bayes classifier on words, pairs of words, opening and length shows how much there is to learn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import log

from tinyreader.data import Example
from tinyreader.metrics import auroc

MIN_OF_A_KIND = 50
"""Fewer answerable or unanswerable questions than this say too little."""

_TOKEN = re.compile(r"[\w']+|\?")
_LENGTH_STEP = 3  # questions of 6 to 8 words are one length


def question_style_auroc(examples: Sequence[Example]) -> float | None:
    """The AUROC with which the question alone tells unanswerable questions apart; 0.5 is chance, None for too few.

    Half of the questions are scored by a classifier trained on the other half; a question that is asked of several texts
    is in one half. Values near 0.5 are wanted: `tinyreader data sample --removed` and `--elsewhere` make unanswerable
    questions that no style gives away.
    """
    impossible = [example.is_impossible for example in examples]
    if min(sum(impossible), len(examples) - sum(impossible)) < MIN_OF_A_KIND:
        return None
    numbers = {
        question: n for n, question in enumerate(dict.fromkeys(example.question for example in examples))
    }
    half = [numbers[example.question] % 2 for example in examples]
    features = [_features(example.question) for example in examples]
    scores = [0.0] * len(examples)
    for fold in (0, 1):
        counts = {kind: Counter[str]() for kind in (True, False)}
        totals = Counter[bool]()
        for words, kind, part in zip(features, impossible, half, strict=True):
            if part != fold:
                counts[kind].update(words)
                totals[kind] += 1
        for n, part in enumerate(half):
            if part == fold:
                scores[n] = sum(
                    log((counts[True][feature] + 1) / (totals[True] + 2))
                    - log((counts[False][feature] + 1) / (totals[False] + 2))
                    for feature in features[n]
                )
    return auroc(scores, impossible)


def _features(question: str) -> set[str]:
    words = _TOKEN.findall(question.lower())
    return {
        *words,
        *(f"{a} {b}" for a, b in pairwise(words)),
        f"first: {words[0] if words else ''}",
        f"length: {len(words) // _LENGTH_STEP}",
        f"capital: {question[:1].isupper()}",
    }
