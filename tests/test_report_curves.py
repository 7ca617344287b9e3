"""`report.curves`: each curve equals what counting by hand gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_samples
from tinyreader.errors import DataError
from tinyreader.metrics import score_v2
from tinyreader.report import curves, measure

NUMBERS = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from((0.0, 0.25, 1.0)), st.booleans()), min_size=1, max_size=25
)


def test_thresholds_score_as_the_official_script() -> None:
    """At each threshold of the curve the official script gives the same EM and F1."""
    examples = report_samples.examples(40)
    judged = report_samples.questions(examples)
    curve = measure.all_curves(judged)["null_threshold"]
    texts, odds = {q.id: q.prediction for q in judged}, {q.id: q.null_odds for q in judged}
    for n in (0, 1, 17, 60, len(curve["threshold"]) - 1):
        scores = score_v2(examples, texts, odds, curve["threshold"][n])
        for name in ("exact", "f1", "HasAns_f1", "NoAns_f1"):
            assert curve[name][n] == pytest.approx(scores[name], abs=1e-4)
    assert curve["NoAns_f1"][0] == 100.0
    assert curve["HasAns_f1"][0] == 0.0


@given(NUMBERS)
def test_precision_and_recall_are_the_official_scripts(rows: list[tuple[int, float, bool]]) -> None:
    """Average precision equals the official script's loop, ties of odds included."""
    odds, values, answerable = (np.array(column) for column in zip(*rows, strict=True))
    result = curves.precision_recall(odds.astype(float), values, answerable)
    if not answerable.any():
        assert result == {}
        return
    order = sorted(range(len(rows)), key=lambda i: odds[i])
    true_positives, recall_before, average = 0.0, 0.0, 0.0
    for place, i in enumerate(order):
        true_positives += values[i] if answerable[i] else 0.0
        recall = true_positives / answerable.sum()
        if place == len(order) - 1 or odds[i] != odds[order[place + 1]]:
            average += true_positives / (place + 1) * (recall - recall_before)
            recall_before = recall
    assert result["ap"] == pytest.approx(100.0 * average)


@given(NUMBERS)
def test_coverage_and_risk_are_counted_over_the_surest(rows: list[tuple[int, float, bool]]) -> None:
    """At each point the risk is the share of wrong decisions among those at least so sure."""
    sure, right = np.array([r[0] for r in rows], float), np.array([float(r[2]) for r in rows])
    curve = curves.coverage_risk(sure, right)
    for coverage, risk, least in zip(
        curve["coverage"], curve["risk"], sorted(set(sure.tolist()), reverse=True), strict=True
    ):
        kept = sure >= least
        assert coverage == pytest.approx(kept.mean(), abs=1e-5)
        assert risk == pytest.approx(1.0 - right[kept].mean(), abs=1e-5)


def test_calibration_bins_hold_the_same_mass() -> None:
    """The error is the bins' mean gap by their weight; bins are of equal mass, in order of confidence; few
    make fewer bins.
    """
    rng = np.random.default_rng(0)
    sure = rng.random(1000)
    right = (rng.random(1000) < sure**2).astype(float)
    result = curves.calibration(sure, right)
    assert {b["n"] for b in result["bins"]} <= {66, 67}
    assert sum(b["n"] for b in result["bins"]) == 1000
    gaps = sum(abs(b["confidence"] - b["right"]) * b["n"] for b in result["bins"]) / 1000
    assert result["ece"] == pytest.approx(gaps)
    assert result["ece"] > 0.1
    assert len(curves.calibration(sure[:4], right[:4])["bins"]) == 4
    with pytest.raises(DataError, match="no questions"):
        curves.calibration(sure[:0], right[:0])


def test_long_curves_are_thinned_with_their_ends() -> None:
    """Ten thousand questions make at most 200 points, the first and the last among them, and no other sum."""
    rng = np.random.default_rng(0)
    sure, right = rng.random(10_000), (rng.random(10_000) < 0.7).astype(float)
    curve = curves.coverage_risk(sure, right)
    assert len(curve["coverage"]) == 200
    assert curve["coverage"][-1] == 1.0
    assert curve["risk"][-1] == pytest.approx(1 - right.mean(), abs=1e-5)


def test_no_spans_at_all_make_no_threshold_curve() -> None:
    """Where no context has a token, there is no threshold to speak of."""
    none, false = np.array([np.inf]), np.array([False])
    assert curves.null_threshold(none, np.zeros(1), np.zeros(1), false, ~false) == {}
