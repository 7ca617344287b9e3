"""`report.measure`: the report's scores are the official script's on the predictions it wrote, to the last
digit; each curve equals what counting by hand gives.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_samples
from tiny_models import write_vocabulary
from tinyreader.data import Answer, Example
from tinyreader.errors import DataError
from tinyreader.metrics import question_scores, score_v1, score_v2
from tinyreader.report import load_report, measure, save_report
from tinyreader.report.reading import ReadQuestion
from tinyreader.windows import Windower, WindowSettings

NUMBERS = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from((0.0, 0.25, 1.0)), st.booleans()), min_size=1, max_size=25
)


@pytest.mark.parametrize("threshold", [0.0, -1.5, 2.25, math.inf])
def test_scores_equal_the_official_scripts_on_the_written_files(tmp_path: Path, threshold: float) -> None:
    """Scoring the written predictions with the written odds by the official rules gives `report.json`'s
    numbers exactly.
    """
    examples = report_samples.examples(90)
    texts = measure.Texts([1] * 90, [1] * 90)
    judged = measure.score(examples, report_samples.read(examples, threshold=threshold), texts, "squad-en")
    scores = measure.official_scores(examples, judged, "2.0", threshold, "squad-en")
    save_report(report_samples.report(examples, judged, scores=scores), judged, tmp_path)
    predictions, odds = (
        json.loads((tmp_path / name).read_text("utf-8")) for name in ("predictions.json", "null_odds.json")
    )
    assert load_report(tmp_path).scores == score_v2(examples, predictions, odds, threshold)
    exact = sum(q.exact for q in judged) / 90
    assert scores["exact"] == pytest.approx(100 * exact, abs=1e-9)
    assert scores["f1"] == pytest.approx(100 * sum(q.f1 for q in judged) / 90, abs=1e-9)


def test_squad_1_1_always_answers() -> None:
    """By the 1.1 script every question is answered by its best span, and the numbers are that script's."""
    examples = report_samples.examples(30, unanswerable=False)
    judged = report_samples.questions(examples, always_answers=True)
    scores = measure.official_scores(examples, judged, "1.1", math.inf, "squad-en")
    assert all(q.answered for q in judged)
    by_script = score_v1(examples, {q.id: q.prediction for q in judged})
    assert (scores["exact_match"], scores["f1"]) == (by_script["exact_match"], by_script["f1"])
    assert scores["exact"] == scores["exact_match"]


def test_a_language_changes_what_counts_as_equal() -> None:
    """With German articles `die Mühle` is `Mühle`, for the questions and for the means."""
    example = Example("a", "Was steht dort?", "Dort steht die Mühle.", (Answer("Mühle", 15),))
    found = [ReadQuestion("a", "die Mühle", 11, 20, -3.0, True, 0.9, 0.9)]
    texts = measure.Texts([5], [1])
    for name, exact in (("de", 1.0), ("squad-en", 0.0)):
        judged = measure.score([example], found, texts, name)
        assert judged[0].exact == exact
        assert measure.official_scores([example], judged, "2.0", 0.0, name)["exact"] == 100 * exact
    assert judged[0].question_word == "other"
    assert measure.score([example], found, texts, "de")[0].question_word == "was"


def test_decisions_are_judged_at_the_threshold() -> None:
    """A question left unanswered scores as "no answer"; its best span is judged beside it; the teacher is
    judged alike.
    """
    examples = report_samples.examples(40)
    for example, q in zip(examples, report_samples.questions(examples, teacher=True), strict=True):
        none_right = float(example.is_impossible)
        assert (q.text_exact, q.text_f1) == question_scores(example, q.prediction)
        assert (q.exact, q.f1) == ((q.text_exact, q.text_f1) if q.answered else (none_right, none_right))
        assert q.teacher is not None
        assert (q.teacher_exact, q.teacher_f1) == question_scores(example, q.teacher)
        assert (q.answer_words is None) == (q.position is None) == example.is_impossible


def test_intervals_hold_their_means_and_name_what_is_there() -> None:
    """Each interval holds its mean; what there are no questions of has none."""
    judged = report_samples.questions(report_samples.examples(60))
    spread = measure.intervals(judged, 300)
    for name in ("exact", "f1"):
        mean = 100 * sum(getattr(q, name) for q in judged) / len(judged)
        assert spread[name][0] < mean < spread[name][1]
    answerable = [q for q in judged if q.answerable]
    assert set(measure.intervals(answerable, 10)) == {
        "exact",
        "f1",
        "HasAns_exact",
        "HasAns_f1",
        "answered_f1",
    }
    assert measure.answered_scores([q for q in judged if not q.answerable]) == {}


def test_texts_are_measured_with_their_windows(tmp_path: Path) -> None:
    """Tokens are those of the context, each once however many windows share it; windows are the windower's
    own.
    """
    tokenizer = write_vocabulary(tmp_path)
    settings = WindowSettings(40, 8)
    examples = [Example(f"{n}", "who ?", " ".join(["bridge"] * n)) for n in (1, 5, 33, 34, 35, 100, 257)]
    texts = measure.measure_texts(examples, tokenizer, settings)
    assert texts.context_tokens == [1, 5, 33, 34, 35, 100, 257]
    assert texts.windows == [len(list(Windower(tokenizer, settings).windows([e]))) for e in examples]
    assert texts.windows[-1] > 2


def test_unanswerable_questions_have_intervals_of_both_scores() -> None:
    """Exact match of NoAns has its interval like every other score of a card's table."""
    spread = measure.intervals(report_samples.questions(report_samples.examples(60)), 100)
    assert spread["NoAns_exact"] == spread["NoAns_f1"]


def test_calibration_is_measured_against_f1_as_well() -> None:
    """`ece_f1` is the mean gap of confidence and F1 over fifteen bins of equal mass, counted by hand."""
    sample = report_samples.questions(report_samples.examples(90))
    judged = [replace(q, f1=max(q.f1, 0.25)) for q in sample]
    found = measure.calibration(judged)
    ordered = sorted(judged, key=lambda q: q.confidence)
    gaps = [sum(q.confidence - q.f1 for q in ordered[6 * n : 6 * n + 6]) for n in range(15)]
    assert found["ece_f1"] == pytest.approx(sum(map(abs, gaps)) / 90)
    assert found["ece_f1"] != found["ece"]


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
    result = measure.precision_recall_curve(odds.astype(float), values, answerable)
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
    curve = measure.coverage_risk_curve(sure, right)
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
    result = measure.reliability(sure, right)
    assert {b["n"] for b in result["bins"]} <= {66, 67}
    assert sum(b["n"] for b in result["bins"]) == 1000
    gaps = sum(abs(b["confidence"] - b["right"]) * b["n"] for b in result["bins"]) / 1000
    assert result["ece"] == pytest.approx(gaps)
    assert result["ece"] > 0.1
    assert len(measure.reliability(sure[:4], right[:4])["bins"]) == 4
    with pytest.raises(DataError, match="no questions"):
        measure.reliability(sure[:0], right[:0])


def test_long_curves_are_thinned_with_their_ends() -> None:
    """Ten thousand questions make at most 200 points, the first and the last among them, and no other sum."""
    rng = np.random.default_rng(0)
    sure, right = rng.random(10_000), (rng.random(10_000) < 0.7).astype(float)
    curve = measure.coverage_risk_curve(sure, right)
    assert len(curve["coverage"]) == 200
    assert curve["coverage"][-1] == 1.0
    assert curve["risk"][-1] == pytest.approx(1 - right.mean(), abs=1e-5)


def test_no_spans_at_all_make_no_threshold_curve() -> None:
    """Where no context has a token, there is no threshold to speak of."""
    none, false = np.array([np.inf]), np.array([False])
    assert measure.null_threshold_curve(none, np.zeros(1), np.zeros(1), false, ~false) == {}
