"""`metrics`: the official scripts' scores to the last digit, and intervals that hold what they say."""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyreader.data.example import Answer, Example
from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import (
    Gold,
    auroc,
    bootstrap_interval,
    gold_from_json,
    normalise_answer,
    paired_bootstrap,
    question_scores,
    score_v1,
    score_v2,
    squad_version,
)

Case = dict[str, Any]

GOLDEN = json.loads(
    Path(__file__).with_name("golden").joinpath("squad_scores.json").read_text(encoding="utf-8")
)
SCORED = [case for case in GOLDEN if case["stdout"] is not None]
STOPPED = [case for case in GOLDEN if case["stdout"] is None]
NAMED = {"ids": lambda case: case["name"].replace(" ", "-")}


def official_stdout(case: Case) -> str:
    """What the official script printed on a Python that sums as this one does."""
    newer = case.get("stdout_from_3_12", case["stdout"])
    return str(newer if sys.version_info >= (3, 12) else case["stdout"])


def score(case: Case) -> str:
    """Our scores of a golden case, as the official script writes its own."""
    questions = gold_from_json(case["data"])
    if case["version"] == "1.1":
        return json.dumps(score_v1(questions, case["predictions"])) + "\n"
    thresh = 1.0 if case["na_prob_thresh"] is None else case["na_prob_thresh"]
    return json.dumps(score_v2(questions, case["predictions"], case["na_probs"], thresh), indent=2) + "\n"


@pytest.mark.parametrize("case", SCORED, **NAMED)
def test_scores_equal_the_official_script(case: Case) -> None:
    """Every digit, key and place in the order is what the official script printed for the same files."""
    assert score(case) == official_stdout(case)


@pytest.mark.parametrize("case", STOPPED, **NAMED)
def test_what_stops_the_official_script_is_an_error(case: Case) -> None:
    """Files that end the official script in a traceback end here in a `DataError`."""
    with pytest.raises(DataError):
        score(case)


@pytest.mark.parametrize("case", GOLDEN, **NAMED)
def test_the_version_is_found(case: Case) -> None:
    """The file's own version picks the script."""
    if "data" in case["data"]:
        assert squad_version(case["data"]) == case["version"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat", "cat"),
        ("an-other a.n. the", "another"),
        ("theatre of the absurd!", "theatre of absurd"),
        ("x'the", "xthe"),
        ("«the» — an", "« » —"),
        ("tab\tand\u00a0\u3000space\x1fs", "tab and space s"),
        ("a\u200bn", "\u200bn"),
        ("the\u0301", "\u0301"),  # a combining mark is no word character, so a whole article stands before it
        ("İ", "i\u0307"),
        ("$5.00", "500"),
        ("...", ""),
        ("", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    """Case, ASCII punctuation, English articles and white space go; all else stays as it is."""
    assert normalise_answer(text) == expected


@given(st.text())
def test_normalisation_is_one_line_without_punctuation(text: str) -> None:
    """Whatever the text, the result has single blanks and no ASCII punctuation."""
    normal = normalise_answer(text)
    assert normal == " ".join(normal.split())
    assert not set(normal) & set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def example(*answers: str) -> Example:
    """An example with these gold answers."""
    return Example("q", "?", " ".join(answers), tuple(Answer(text, 0) for text in answers))


@pytest.mark.parametrize(
    ("answers", "prediction", "expected"),
    [
        (("red fox",), "The red fox.", (1.0, 1.0)),
        (("red fox",), "fox", (0.0, 2 / 3)),
        (("red fox", "fox"), "fox", (1.0, 1.0)),
        (("red fox", "quick fox ran"), "fox ran", (0.0, 0.8)),
        (("red fox",), "", (0.0, 0.0)),
        (("red fox",), "blue", (0.0, 0.0)),
        ((), "", (1.0, 1.0)),
        ((), "the", (1.0, 1.0)),
        ((), "fox", (0.0, 0.0)),
        (("...",), "", (1.0, 1.0)),
        (("...", "fox"), "", (0.0, 0.0)),
    ],
)
def test_question_scores(answers: tuple[str, ...], prediction: str, expected: tuple[float, float]) -> None:
    """One example's exact match and F1 are the best over its gold answers; no answer wants an empty
    prediction.
    """
    assert question_scores(example(*answers), prediction) == pytest.approx(expected)
    assert question_scores(Gold("q", answers), prediction) == question_scores(example(*answers), prediction)


def test_examples_and_gold_score_alike() -> None:
    """Examples can be scored as they are, without a file."""
    examples = [Example("a", "?", "a red fox", (Answer("red fox", 2),)), Example("b", "?", "nothing")]
    gold = [Gold("a", ("red fox",)), Gold("b", ())]
    predictions, odds = {"a": "fox", "b": "nothing"}, {"a": -1.5, "b": 2.0}
    assert score_v2(examples, predictions, odds, 0.0) == score_v2(gold, predictions, odds, 0.0)
    assert score_v1(examples[:1], predictions) == score_v1(gold[:1], predictions)


def test_missing_predictions_are_named() -> None:
    """The error of 2.0 scoring says how many questions lack a prediction, which, and what to do."""
    gold = [Gold(f"q{n}", ()) for n in range(6)]
    with pytest.raises(
        DataError, match=r"5 of 6 questions have no prediction: 'q1', 'q2', 'q3', \.\.\..*\"\""
    ):
        score_v2(gold, {"q0": ""})
    with pytest.raises(DataError, match=r"1 of 6 questions have no no-answer probability: 'q5'"):
        score_v2(gold, {f"q{n}": "" for n in range(6)}, {f"q{n}": 0.0 for n in range(5)})


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], 'the file should be an object with "data"'),
        ({"data": 3}, '"data" of the file should be a list, not int'),
        ({"data": [{}]}, r'data\[0\] should be an object with "paragraphs"'),
        ({"data": [{"paragraphs": [None]}]}, r'data\[0\]\.paragraphs\[0\] should be an object with "qas"'),
        ({"data": [{"paragraphs": [{"qas": [{"answers": []}]}]}]}, r'qas\[0\] should be an object with "id"'),
        (
            {"data": [{"paragraphs": [{"qas": [{"id": 7, "answers": []}]}]}]},
            r'"id" of data.* should be a text, not 7',
        ),
        (
            {"data": [{"paragraphs": [{"qas": [{"id": "q"}]}]}]},
            r'qas\[0\] should be an object with "answers"',
        ),
        (
            {"data": [{"paragraphs": [{"qas": [{"id": "q", "answers": ["x"]}]}]}]},
            r'an answer of data.*with "text"',
        ),
    ],
)
def test_a_wrong_shape_names_its_place(document: object, place: str) -> None:
    """Data that is not SQuAD JSON is refused with the place where it stops being it."""
    with pytest.raises(DataError, match=place):
        gold_from_json(document)


@pytest.mark.parametrize(
    ("version", "qa", "expected"),
    [
        ("1.1", {"answers": [], "is_impossible": True}, "1.1"),
        ("v2.0", {"answers": [{"text": "x"}]}, "2.0"),
        (2.0, {"answers": [{"text": "x"}]}, "2.0"),
        ("my 3", {"answers": [{"text": "x"}]}, "1.1"),
        (None, {"answers": [{"text": "x"}], "is_impossible": False}, "2.0"),
        (None, {"answers": []}, "2.0"),
        (None, {"answers": [{"text": "x"}]}, "1.1"),
    ],
)
def test_which_script_scores_a_file(version: object, qa: Case, expected: str) -> None:
    """A known version decides; else a question that may have no answer makes it 2.0."""
    document = {"data": [{"paragraphs": [{"qas": [{"id": "q"} | qa]}]}]} | (
        {"version": version} if version else {}
    )
    assert squad_version(document) == expected


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    """Over many samples of a known distribution, a 90 % interval misses the true mean in about 10 %."""
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.random(100) < 0.7, samples=300, confidence=0.9, seed=seed)
        held += low <= 0.7 <= high
    assert 0.82 <= held / 200 <= 0.97


def test_the_interval_is_that_of_the_normal_law() -> None:
    """For many values the interval is the mean plus and minus 1.96 standard errors."""
    values = np.random.default_rng(3).normal(50, 10, 4000)
    low, high = bootstrap_interval(values, samples=4000)
    error = values.std() / math.sqrt(4000)
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.1 * error
    )


def test_the_interval_depends_on_the_seed_alone() -> None:
    """One seed, one interval; another seed, another one."""
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values.tolist(), seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)


def test_resampling_bounds_its_memory() -> None:
    """A hundred thousand values are resampled in blocks, far below the size of all resamples at once."""
    values = np.random.default_rng(0).random(100_000)
    tracemalloc.start()
    bootstrap_interval(values, samples=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    """Two readers right on the same questions but for a few differ surely, though their own intervals
    overlap.
    """
    theirs = np.random.default_rng(0).random(500) < 0.7
    ours = theirs.copy()
    ours[np.flatnonzero(~theirs)[:12]] = True
    difference = paired_bootstrap(ours, theirs)
    assert difference.mean == pytest.approx(12 / 500)
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.share_larger == 1.0
    assert bootstrap_interval(ours)[0] < bootstrap_interval(theirs)[1]


def test_a_reader_beside_itself_is_neither_better_nor_worse() -> None:
    """Equal values differ by zero, surely, and are larger in half of the resamples."""
    values = [0.0, 1.0, 0.5]
    difference = paired_bootstrap(values, values)
    assert (difference.mean, difference.low, difference.high, difference.share_larger) == (0.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0], [2.0]]])
def test_intervals_need_finite_values(values: Any) -> None:
    """No values, NaN or a table instead of a list are refused."""
    with pytest.raises(DataError, match="finite numbers"):
        bootstrap_interval(values)


def test_interval_settings_are_checked() -> None:
    """A confidence outside 0 to 1, no samples, or sides of different lengths are refused by name."""
    with pytest.raises(SettingsError, match="confidence is 95"):
        bootstrap_interval([1.0], confidence=95)
    with pytest.raises(SettingsError, match="samples is 0"):
        bootstrap_interval([1.0], samples=0)
    with pytest.raises(DataError, match="not 2 and 1"):
        paired_bootstrap([1.0, 2.0], [1.0])


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({positive for _, positive in rows}) == 2
    )
)
def test_auroc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    """Over all pairs of a positive and a negative: how many have the larger score on the positive, ties half."""
    pairs = [(a, b) for a, is_positive in rows for b, other in rows if is_positive and not other]
    expected = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    assert auroc([a for a, _ in rows], [p for _, p in rows]) == pytest.approx(expected)


def test_auroc_needs_both_kinds() -> None:
    """One kind alone, and labels that are lacking, are errors."""
    with pytest.raises(DataError, match="all labels are the same"):
        auroc([1.0, 2.0], [True, True])
    with pytest.raises(DataError, match="2 scores and 1 labels"):
        auroc([1.0, 2.0], [True])
