"""From what was read to what it scores: a report's questions, official scores, intervals and curves. Pure
functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tinyreader.arrays import Float64
from tinyreader.data import Example
from tinyreader.metrics import Version, bootstrap_interval, question_scores, score_v1, score_v2
from tinyreader.report import curves
from tinyreader.report.calibration import expected_calibration_error
from tinyreader.report.languages import Language, language_of, question_word, tokens_of
from tinyreader.report.reading import ReadQuestion
from tinyreader.report.record import Interval, Question
from tinyreader.windows import Windower, WindowSettings


@dataclass(frozen=True, slots=True)
class Texts:
    """How long the texts of n questions are for a reader: tokens of the context and windows it is read in."""

    context_tokens: Sequence[int]
    windows: Sequence[int]


def measure_texts(examples: Sequence[Example], tokenizer: Tokenizer, settings: WindowSettings) -> Texts:
    """The lengths of the examples' texts, with the tokenizer and settings they are read with."""
    tokens, windows = [0] * len(examples), [0] * len(examples)
    for window in Windower(tokenizer, settings).windows(examples):
        tokens[window.example] += (
            window.stop - window.first - (settings.doc_stride if windows[window.example] else 0)
        )
        windows[window.example] += 1
    return Texts(tokens, windows)


def judge(
    examples: Sequence[Example],
    found: Sequence[ReadQuestion],
    texts: Texts,
    normalisation: str,
    *,
    always_answers: bool = False,
    teacher: Mapping[str, str] | None = None,
) -> list[Question]:
    """Each question with its scores; `always_answers` takes the best span whatever the odds, as SQuAD 1.1
    wants it.
    """
    tokens, language = tokens_of(normalisation), language_of(normalisation)
    rows = []
    for n, (example, read) in enumerate(zip(examples, found, strict=True)):
        answered = always_answers or read.answered
        text_exact, text_f1 = question_scores(example, read.text, tokens)
        none_right = float(example.is_impossible)
        said = (text_exact, text_f1) if answered else (none_right, none_right)
        theirs = None if teacher is None else teacher[example.id]
        their_scores = (None, None) if theirs is None else question_scores(example, theirs, tokens)
        rows.append(
            Question(
                id=example.id,
                prediction=read.text,
                start=read.start,
                end=read.end,
                answered=answered,
                null_odds=read.null_odds,
                score=read.score,
                confidence=read.score if answered else read.confidence,
                exact=said[0],
                f1=said[1],
                text_exact=text_exact,
                text_f1=text_f1,
                answerable=not example.is_impossible,
                question_word=_word(example, language),
                context_tokens=texts.context_tokens[n],
                windows=texts.windows[n],
                answer_words=_answer_words(example),
                position=_position(example),
                teacher=theirs,
                teacher_exact=their_scores[0],
                teacher_f1=their_scores[1],
            )
        )
    return rows


def official_scores(
    examples: Sequence[Example],
    questions: Sequence[Question],
    script: Version,
    threshold: float,
    normalisation: str,
) -> dict[str, float]:
    """What that official script says of the predictions, at that threshold: keys as the script has them,
    percentages.

    The 1.1 script's `exact_match` is also there as `exact`, with the `total` it does not give.
    """
    tokens = tokens_of(normalisation)
    predictions = {q.id: q.prediction for q in questions}
    if script == "1.1":
        scores = score_v1(examples, predictions, tokens=tokens)
        return {"exact": scores["exact_match"], "f1": scores["f1"], "total": len(questions), **scores}
    return score_v2(examples, predictions, {q.id: q.null_odds for q in questions}, threshold, tokens=tokens)


def answered_scores(questions: Sequence[Question]) -> dict[str, float]:
    """Exact match and F1 in percent of the answerable questions with no-answer switched off; empty where
    there are none.
    """
    pairs = [(q.text_exact, q.text_f1) for q in questions if q.answerable]
    if not pairs:
        return {}
    exact, f1 = (100.0 * np.array(pairs).mean(0)).tolist()
    return {"exact": exact, "f1": f1}


def intervals(questions: Sequence[Question], samples: int) -> dict[str, Interval]:
    """Bootstrap intervals (95 %, in percent) of the means: exact and f1, of all, HasAns and NoAns, and
    answered_f1.
    """
    exact, f1, answerable = _column(questions, "exact"), _column(questions, "f1"), _answerable(questions)
    text_f1 = _column(questions, "text_f1")
    columns = {
        "exact": exact,
        "f1": f1,
        "HasAns_exact": exact[answerable],
        "HasAns_f1": f1[answerable],
        "NoAns_exact": exact[~answerable],
        "NoAns_f1": f1[~answerable],
        "answered_f1": text_f1[answerable],
    }
    return {
        name: bootstrap_interval(100.0 * values, samples=samples)
        for name, values in columns.items()
        if len(values)
    }


def all_curves(questions: Sequence[Question]) -> dict[str, Any]:
    """The curves of `curves.py` over the questions, by name."""
    odds, answerable = _column(questions, "null_odds"), _answerable(questions)
    exact, f1 = _column(questions, "text_exact"), _column(questions, "text_f1")
    empty = np.array([q.prediction == "" for q in questions])
    return {
        "null_threshold": curves.null_threshold(odds, exact, f1, answerable, empty),
        "precision_recall": {
            "exact": curves.precision_recall(odds, exact, answerable),
            "f1": curves.precision_recall(odds, f1, answerable),
        },
        "coverage_risk": curves.coverage_risk(_column(questions, "confidence"), _column(questions, "exact")),
    }


def calibration(questions: Sequence[Question]) -> dict[str, Any]:
    """How well the reader's confidence tells whether it is right: `curves.calibration` with `ece_f1`, the
    error against F1.

    A calibrated reader's score is the F1 to expect; exact match, which is lower, leaves it a gap.
    """
    confidence = _column(questions, "confidence")
    found = curves.calibration(confidence, _column(questions, "exact"))
    return found | {"ece_f1": expected_calibration_error(confidence, _column(questions, "f1"))}


def _column(questions: Sequence[Question], name: str) -> Float64:
    return np.array([getattr(q, name) for q in questions], dtype=np.float64)


def _answerable(questions: Sequence[Question]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([q.answerable for q in questions], dtype=np.bool_)


def _word(example: Example, language: Language) -> str:
    return question_word(example.question, language)


def _answer_words(example: Example) -> int | None:
    """Words of the shortest gold answer."""
    return min((max(1, len(a.text.split())) for a in example.answers), default=None)


def _position(example: Example) -> float | None:
    """Where in the context the first gold answer starts, 0 to 1."""
    if not example.answers:
        return None
    return min(1.0, example.answers[0].start / max(1, len(example.context)))


def shipped_threshold(script: Version, threshold: float) -> float:
    """The no-answer threshold that scores are computed at: the reader's own, none where the script knows no
    "no answer".
    """
    return math.inf if script == "1.1" else threshold
