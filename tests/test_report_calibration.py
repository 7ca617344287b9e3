"""`report.calibration`: curves, thresholds and calibration error against brute force and against known
truths.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyreader.errors import DataError, SettingsError
from tinyreader.reader import ReaderSettings
from tinyreader.report.calibration import (
    Curve,
    Scored,
    balance,
    best_threshold,
    crossing,
    decisions,
    expected_calibration_error,
    fit,
    fit_curve,
    pooled,
)


def invented(n: int, seed: int = 0, share_unanswerable: float = 0.5, scale: float = 4.0) -> Scored:
    """Questions of a reader whose odds rise with the chance of no answer, but are `scale` times too large to
    be logits.
    """
    rng = np.random.default_rng(seed)
    answerable = rng.random(n) >= share_unanswerable
    odds = scale * np.where(answerable, rng.normal(-1.0, 1.3, n), rng.normal(0.9, 1.3, n))
    chance = 1.0 / (1.0 + np.exp(0.6 * odds / scale - 0.8))
    exact = (answerable & (rng.random(n) < chance)).astype(float)
    f1 = np.where(answerable, np.maximum(exact, rng.random(n) * (rng.random(n) < 0.5)), 0.0)
    return Scored(odds, exact, f1, answerable, np.arange(n) % 20, np.ones(n))


def mean_f1(scored: Scored, threshold: float) -> float:
    """Mean F1, 0 to 1, of a reader with that threshold."""
    return float(decisions(scored, ReaderSettings(no_answer_threshold=threshold))[2].mean())


def test_a_curve_is_found_again() -> None:
    """Events drawn from a logistic give its offset and temperature, weighted or in shares."""
    rng = np.random.default_rng(0)
    truth = Curve(offset=1.5, temperature=2.5)
    odds = rng.normal(0, 5, 40_000)
    happened = (rng.random(len(odds)) < truth(odds)).astype(float)
    found = fit_curve(odds, happened, np.ones_like(odds))
    assert (found.offset, found.temperature) == pytest.approx((1.5, 2.5), abs=0.1)
    shares = fit_curve(odds, truth(odds), rng.random(len(odds)) + 0.5)
    assert (shares.offset, shares.temperature) == pytest.approx((1.5, 2.5), abs=0.02)
    assert truth(np.array([-1e6, 1.5, 1e6])).tolist() == [0.0, 0.5, 1.0]


def test_a_curve_is_finite_where_odds_separate_perfectly_and_refused_where_they_say_nothing() -> None:
    """Two clean halves give a steep curve between them; odds that fall with the event are an error."""
    odds = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0] * 20)
    found = fit_curve(odds, (odds > 0).astype(float), np.ones_like(odds))
    assert abs(found.offset) < 0.1
    assert 0.0 < found.temperature < 1.0
    with pytest.raises(DataError, match=r"the probability that it rains does not rise with the null odds"):
        fit_curve(odds, (odds < 0).astype(float), np.ones_like(odds), "that it rains")
    with pytest.raises(DataError, match="does not rise"):
        fit_curve(np.zeros(10), np.array([0.0, 1.0] * 5), np.ones(10))


@given(st.floats(-5, 5), st.floats(0.1, 9), st.floats(-5, 5), st.floats(0.1, 9))
def test_the_crossing_is_where_both_are_worth_the_same(a: float, s: float, b: float, t: float) -> None:
    """At the crossing, the F1 to expect of an answer is the chance that there is none."""
    lost, none = Curve(a, s), Curve(b, t)
    at = np.array([crossing(lost, none)])
    assert 1.0 - lost(at)[0] == pytest.approx(none(at)[0], abs=1e-9)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.sampled_from([-1.0, 0.0, 0.25, 1.0])), min_size=1, max_size=12)
)
def test_the_best_threshold_is_that_of_brute_force(rows: list[tuple[int, float]]) -> None:
    """No threshold, between equal odds or not, wins more."""
    odds, gain = np.array([float(o) for o, _ in rows]), np.array([g for _, g in rows])

    def won(threshold: float) -> float:
        return float(gain[odds <= threshold].sum())

    found = best_threshold(odds, gain)
    assert won(found) == pytest.approx(max(won(t) for t in (-math.inf, *odds.tolist())))


def test_weights_make_the_share() -> None:
    """Unanswerable questions weigh what was asked for; the mean weight is 1; a lacking kind and no share are
    errors.
    """
    answerable = np.array([True] * 83 + [False] * 17)
    weights = balance(answerable, 0.4)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[~answerable].sum() == pytest.approx(40.0)
    with pytest.raises(DataError, match="none of the 5 questions is unanswerable"):
        balance(np.ones(5, dtype=np.bool_), 0.5)
    with pytest.raises(DataError, match="none of the 5 questions is answerable"):
        balance(np.zeros(5, dtype=np.bool_), 0.5)
    for wrong in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(SettingsError, match="must lie between 0 and 1"):
            balance(answerable, wrong)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_fitted_holds_on_other_questions(seed: int) -> None:
    """Fitted on data with few unanswerable questions, a reader is calibrated, and near its best F1, where
    half are.
    """
    learned = fit(invented(3000, seed, share_unanswerable=0.17), 0.5)
    other = invented(20_000, seed + 100)
    settings = ReaderSettings().changed(dict(learned.changes()))
    confidence, _, f1 = decisions(other, settings)
    raw, _, raw_f1 = decisions(other, ReaderSettings())
    assert expected_calibration_error(confidence, f1) < 0.04
    assert expected_calibration_error(raw, raw_f1) > 0.1
    best = best_threshold(other.odds, np.where(other.answerable, other.f1, -1.0))
    assert mean_f1(other, learned.threshold) > mean_f1(other, best) - 0.005
    assert learned.low < learned.threshold < learned.high


def test_more_unanswerable_questions_lower_the_threshold() -> None:
    """The share asked for decides how ready the reader is to answer; the seed touches the interval alone."""
    scored = invented(2000)
    thresholds = [fit(scored, share).threshold for share in (0.2, 0.5, 0.8)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert fit(scored, 0.5, seed=1).threshold == fit(scored, 0.5, seed=2).threshold


def test_at_the_threshold_both_scores_are_equal() -> None:
    """The calibrated reader says whichever of its two scores is larger."""
    learned = fit(invented(1000))
    settings = ReaderSettings().changed(dict(learned.changes()))
    assert settings.score(learned.threshold) == pytest.approx(settings.no_answer_score(learned.threshold))
    assert settings.score(learned.threshold - 1) > settings.no_answer_score(learned.threshold - 1)


@pytest.mark.parametrize(
    "wrong", [{"no_answer_temperature": 0.0}, {"score_offset": math.inf}, {"no_answer_offset": math.nan}]
)
def test_settings_of_scores_without_sense_are_refused(wrong: dict[str, float]) -> None:
    """A temperature must be above 0 and an offset finite; the bad one is named."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ReaderSettings(**wrong)  # type: ignore[arg-type]


def test_uncalibrated_scores_add_up_to_one() -> None:
    """Where only the score's settings are known, "no answer" gets the rest."""
    settings = ReaderSettings(temperature=3.0, score_offset=-1.0)
    assert settings.score(2.5) + settings.no_answer_score(2.5) == pytest.approx(1.0)
    assert (settings.score(1e6), settings.no_answer_score(-1e6)) == (0.0, 0.0)


def naive_error(confidence: Any, right: Any, bins: int) -> float:
    """The calibration error of n values, n a multiple of bins, from its definition."""
    pairs = sorted(zip(confidence, right, strict=True))
    size = len(pairs) // bins
    gaps = [sum(c - r for c, r in pairs[i : i + size]) / size for i in range(0, len(pairs), size)]
    return float(sum(abs(gap) for gap in gaps) / bins)


judgements = st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))


@given(st.lists(judgements, min_size=30, max_size=30, unique_by=lambda pair: pair[0]))
def test_the_calibration_error_is_its_definition(rows: list[tuple[float, float]]) -> None:
    """Bins of equal mass, gaps weighted by mass; weights count as so many questions; order does not
    matter.
    """
    confidence, right = (np.array(column) for column in zip(*rows, strict=True))
    error = expected_calibration_error(confidence, right, bins=15)
    assert error == pytest.approx(naive_error(confidence, right, 15))
    assert expected_calibration_error(
        confidence[::-1], right[::-1], np.full(30, 7.0), bins=15
    ) == pytest.approx(error)


def test_the_calibration_error_of_plain_cases() -> None:
    """Sure and right is 0, sure and wrong is 1, always half sure of a coin is 0."""
    ones, zeros = np.ones(60), np.zeros(60)
    assert expected_calibration_error(ones, ones) == 0.0
    assert expected_calibration_error(ones, zeros) == 1.0
    assert expected_calibration_error(np.full(60, 0.5), np.array([0.0, 1.0] * 30), bins=15) == pytest.approx(
        0.0
    )


def test_decisions_are_those_of_the_settings() -> None:
    """Right and F1 follow from the threshold, confidence from the score of what is said."""
    scored = Scored(
        np.array([-2.0, -2.0, 3.0, 3.0]),
        np.array([1.0, 0.0, 1.0, 0.0]),
        np.array([1.0, 0.4, 1.0, 0.0]),
        np.array([True, True, True, False]),
        np.zeros(4, dtype=np.int64),
        np.ones(4),
    )
    settings = ReaderSettings(
        temperature=2.0, score_offset=1.0, no_answer_temperature=3.0, no_answer_offset=-1.0
    )
    confidence, right, f1 = decisions(scored, settings)
    answers, none = 1 / (1 + math.exp(-1.5)), 1 / (1 + math.exp(-4 / 3))
    assert confidence == pytest.approx([answers, answers, none, none])
    assert right.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert f1.tolist() == [1.0, 0.4, 0.0, 1.0]


def test_pooled_sources_count_the_same() -> None:
    """A small source weighs as much as a large one, for both kinds of question, and articles stay apart."""

    def part(n: int, odds: float) -> Scored:
        answerable = np.arange(n) % 2 == 0
        return Scored(np.full(n, odds), np.ones(n), np.ones(n), answerable, np.arange(n) % 3, np.ones(n))

    both = pooled([part(10, 1.0), part(1000, 2.0)])
    weights = both.weights(0.5)
    small = both.odds == 1.0
    for kind in (both.answerable, ~both.answerable):
        assert weights[kind & small].sum() == pytest.approx(weights[kind & ~small].sum())
    assert weights.mean() == pytest.approx(1.0)
    assert not set(both.article[small]) & set(both.article[~small])
