"""From answers to scores: a report's questions, official scores, intervals and curves. Pure functions.

A curve is thinned to at most `POINTS` points; areas and averages are computed over all questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tinyreader.arrays import Bool, Float64
from tinyreader.data import Example
from tinyreader.errors import DataError
from tinyreader.metrics import Version, bootstrap_interval, question_scores, score_v1, score_v2
from tinyreader.report.calibration import BINS, bins_of_equal_mass, expected_calibration_error
from tinyreader.report.languages import language_of, question_word, tokens_of
from tinyreader.report.reading import ReadQuestion
from tinyreader.report.record import Interval, Question
from tinyreader.windows import Windower, WindowSettings

POINTS = 200


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


def score(
    examples: Sequence[Example],
    found: Sequence[ReadQuestion],
    texts: Texts,
    normalisation: str,
    *,
    always_answers: bool = False,
    teacher: Mapping[str, str] | None = None,
) -> list[Question]:
    """Each question with its scores.

    `always_answers` takes the best span whatever its null odds, as SQuAD 1.1 requires. `teacher` holds the
    teacher's answers by question id.
    """
    tokens, language = tokens_of(normalisation), language_of(normalisation)
    rows = []
    for n, (example, read) in enumerate(zip(examples, found, strict=True)):
        answered = always_answers or read.answered
        text_exact, text_f1 = question_scores(example, read.text, tokens)
        none_right = float(example.is_impossible)
        exact, f1 = (text_exact, text_f1) if answered else (none_right, none_right)
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
                exact=exact,
                f1=f1,
                text_exact=text_exact,
                text_f1=text_f1,
                answerable=not example.is_impossible,
                question_word=question_word(example.question, language),
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
    """The scores of that official script at that threshold, in percent, under the script's own keys.

    For 1.1, `exact` repeats its `exact_match`, and `total` is added.
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


def teacher_scores(questions: Sequence[Question]) -> dict[str, Any] | None:
    """The teacher's exact match and F1 in percent; None without its answers."""
    exact = [q.teacher_exact for q in questions if q.teacher_exact is not None]
    f1 = [q.teacher_f1 for q in questions if q.teacher_f1 is not None]
    if not exact:
        return None
    return {"exact": 100.0 * sum(exact) / len(exact), "f1": 100.0 * sum(f1) / len(f1)}


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
    """The curves of a report, by name."""
    odds, answerable = _column(questions, "null_odds"), _answerable(questions)
    exact, f1 = _column(questions, "text_exact"), _column(questions, "text_f1")
    empty = np.array([q.prediction == "" for q in questions])
    return {
        "null_threshold": null_threshold_curve(odds, exact, f1, answerable, empty),
        "precision_recall": {
            "exact": precision_recall_curve(odds, exact, answerable),
            "f1": precision_recall_curve(odds, f1, answerable),
        },
        "coverage_risk": coverage_risk_curve(_column(questions, "confidence"), _column(questions, "exact")),
    }


def calibration(questions: Sequence[Question]) -> dict[str, Any]:
    """The `reliability` of the reader's confidence, and `ece_f1`, its error against F1.

    A calibrated reader's score is the F1 to expect; against exact match, which is lower, a gap remains.
    """
    confidence = _column(questions, "confidence")
    found = reliability(confidence, _column(questions, "exact"))
    return found | {"ece_f1": expected_calibration_error(confidence, _column(questions, "f1"))}


def null_threshold_curve(
    null_odds: Float64, exact: Float64, f1: Float64, answerable: Bool, empty: Bool
) -> dict[str, list[float]]:
    """Scores in percent at thresholds from "always no answer" to "always an answer": `threshold`, `exact`,
    `f1`, `HasAns_f1` and `NoAns_f1` (the last two only where there are such questions).

    All arguments are [n], `exact` and `f1` (0 to 1) those of the best spans; `empty` marks spans without
    text, which count as no answer at every threshold. The thresholds are quantiles of the odds, so the curve
    is dense where it changes.
    """
    finite = null_odds[np.isfinite(null_odds)]
    if not len(finite):
        return {}
    order = np.argsort(null_odds, kind="stable")
    odds = null_odds[order]
    thresholds = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, POINTS - 1)))
    thresholds = np.concatenate([[thresholds[0] - 1.0], thresholds])
    n_answered = np.searchsorted(odds, thresholds, side="right")
    unanswered = np.where(answerable, 0.0, 1.0)
    curve = {"threshold": thresholds.tolist()}

    def means(values: Float64, rows: Bool) -> list[float]:
        given = np.where(empty, unanswered, values)
        gains = np.where(rows, given - unanswered, 0.0)[order]
        reached = np.concatenate([[0.0], np.cumsum(gains)])[n_answered]
        return _rounded(100.0 * (unanswered[rows].sum() + reached) / max(1, rows.sum()))

    every = np.ones_like(answerable)
    curve["exact"], curve["f1"] = means(exact, every), means(f1, every)
    for name, rows in (("HasAns_f1", answerable), ("NoAns_f1", ~answerable)):
        if rows.any():
            curve[name] = means(f1, rows)
    return curve


def precision_recall_curve(null_odds: Float64, values: Float64, answerable: Bool) -> dict[str, Any]:
    """Precision and recall, 0 to 1, of answering the questions with the lowest odds first, and their average
    precision `ap` in percent, as the official SQuAD 2.0 script defines them: `values` [n] (0 to 1) count as
    true positives.
    """
    n_positive = int(answerable.sum())
    if not n_positive:
        return {}
    order = np.argsort(null_odds, kind="stable")
    odds, gains = null_odds[order], np.where(answerable, values, 0.0)[order]
    reached = np.cumsum(gains)
    last = np.append(odds[1:] != odds[:-1], True)  # questions of equal odds are answered together
    precision = (reached / np.arange(1, len(odds) + 1))[last]
    recall = (reached / n_positive)[last]
    ap = 100.0 * float(np.sum(precision * np.diff(recall, prepend=0.0)))
    kept = _spread(len(recall))
    return {"precision": _rounded(precision[kept]), "recall": _rounded(recall[kept]), "ap": ap}


def coverage_risk_curve(confidence: Float64, right: Float64) -> dict[str, Any]:
    """The share of wrong decisions (`risk`) among the most confident share of questions (`coverage`), and the
    area under it.

    `confidence` and `right` are [n], 0 to 1. Questions of equal confidence enter together (Geifman and
    El-Yaniv, 2017).
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    last = np.append(sure[1:] != sure[:-1], True)
    count = np.arange(1, len(sure) + 1)
    risk, coverage = (1.0 - np.cumsum(right[order]) / count)[last], (count / len(sure))[last]
    area = float(np.sum(risk * np.diff(coverage, prepend=0.0)))
    kept = _spread(len(risk))
    return {"coverage": _rounded(coverage[kept]), "risk": _rounded(risk[kept]), "area": area}


def reliability(confidence: Float64, right: Float64, n_bins: int = BINS) -> dict[str, Any]:
    """The expected calibration error `ece`, 0 to 1, as `expected_calibration_error` defines it, and its
    `bins`.

    `confidence` [n] is how sure the reader was of its decision, "no answer" included; `right` [n] is 1 where
    the decision was exactly right, else 0. Each bin: low, high, confidence (its mean), right (the share), n.
    """
    if not len(confidence):
        raise DataError("there are no questions to measure calibration on.")
    order = np.argsort(confidence, kind="stable")
    bin_of = bins_of_equal_mass(np.ones(len(order)), n_bins)
    bins = []
    for number in np.unique(bin_of):
        rows = order[bin_of == number]
        bins.append(
            {
                "low": float(confidence[rows[0]]),
                "high": float(confidence[rows[-1]]),
                "confidence": float(confidence[rows].mean()),
                "right": float(right[rows].mean()),
                "n": len(rows),
            }
        )
    return {"ece": expected_calibration_error(confidence, right, bins=n_bins), "bins": bins}


def _column(questions: Sequence[Question], name: str) -> Float64:
    return np.array([getattr(q, name) for q in questions], dtype=np.float64)


def _answerable(questions: Sequence[Question]) -> Bool:
    return np.array([q.answerable for q in questions], dtype=np.bool_)


def _answer_words(example: Example) -> int | None:
    """Words of the shortest gold answer."""
    return min((max(1, len(a.text.split())) for a in example.answers), default=None)


def _position(example: Example) -> float | None:
    """Where in the context the first gold answer starts, 0 to 1."""
    if not example.answers:
        return None
    return min(1.0, example.answers[0].start / max(1, len(example.context)))


def _spread(n: int) -> npt.NDArray[np.intp]:
    """At most `POINTS` of n places, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(np.intp))


def _rounded(values: Float64) -> list[float]:
    return [round(float(value), 5) for value in values]
