"""Curves of a report, from arrays with one value per question: thresholds, precision and recall, coverage and
risk, calibration. Pure functions; each curve comes as at most `POINTS` points, and what is summed up is
summed over all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Bool, Float64
from tinyreader.errors import DataError
from tinyreader.report.calibration import BINS, bins_of_equal_mass, expected_calibration_error

POINTS = 200


def null_threshold(
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


def precision_recall(null_odds: Float64, values: Float64, answerable: Bool) -> dict[str, Any]:
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


def coverage_risk(confidence: Float64, right: Float64) -> dict[str, Any]:
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


def calibration(confidence: Float64, right: Float64, n_bins: int = BINS) -> dict[str, Any]:
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


def _spread(n: int) -> npt.NDArray[np.intp]:
    """At most `POINTS` of n places, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(np.intp))


def _rounded(values: Float64) -> list[float]:
    return [round(float(value), 5) for value in values]
