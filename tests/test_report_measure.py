"""`report.measure`: the report's scores are the official script's on the predictions it wrote, to the last
digit.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import report_samples
from tiny_models import write_vocabulary
from tinyreader.data import Answer, Example
from tinyreader.metrics import question_scores, score_v1, score_v2
from tinyreader.report import load_report, measure, save_report
from tinyreader.report.reading import ReadQuestion
from tinyreader.windows import Windower, WindowSettings


@pytest.mark.parametrize("threshold", [0.0, -1.5, 2.25, math.inf])
def test_scores_equal_the_official_scripts_on_the_written_files(tmp_path: Path, threshold: float) -> None:
    """Scoring the written predictions with the written odds by the official rules gives `report.json`'s
    numbers exactly.
    """
    examples = report_samples.examples(90)
    texts = measure.Texts([1] * 90, [1] * 90)
    judged = measure.judge(examples, report_samples.read(examples, threshold=threshold), texts, "squad-en")
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
    assert measure.shipped_threshold("1.1", 0.5) == math.inf
    assert measure.shipped_threshold("2.0", 0.5) == 0.5


def test_a_language_changes_what_counts_as_equal() -> None:
    """With German articles `die Mühle` is `Mühle`, for the questions and for the means."""
    example = Example("a", "Was steht dort?", "Dort steht die Mühle.", (Answer("Mühle", 15),))
    found = [ReadQuestion("a", "die Mühle", 11, 20, -3.0, True, 0.9, 0.9)]
    texts = measure.Texts([5], [1])
    for name, exact in (("de", 1.0), ("squad-en", 0.0)):
        judged = measure.judge([example], found, texts, name)
        assert judged[0].exact == exact
        assert measure.official_scores([example], judged, "2.0", 0.0, name)["exact"] == 100 * exact
    assert judged[0].question_word == "other"
    assert measure.judge([example], found, texts, "de")[0].question_word == "was"


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
