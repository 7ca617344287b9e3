"""A reader's no-answer threshold and the meaning of its scores, learned on questions it has not seen.

After calibration, `score` is the expected F1 of the answer, 0 to 1, and `no_answer_score` the probability that
there is none; the reader decides for the larger one. `Reading.confidence`, the larger of the two, is then how right
it is on average. Each has its own offset and temperature: a best answer is often wrong although there is an answer.

F1 and not exact match, because it carries over from training sets with one gold answer per question to test sets
with several: an exact match with one person's answer is rarer than with one of three.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.arrays import Bool, Float64, Int64
from tinyreader.data import Example, fingerprint
from tinyreader.data.split import group_articles
from tinyreader.errors import DataError
from tinyreader.metrics import question_scores
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.report.calibration import (
    Calibration,
    Scored,
    balance,
    best_threshold,
    decisions,
    expected_calibration_error,
    fit,
)
from tinyreader.windows import Windower

MIN_OF_A_KIND = 100
"""Fewer answerable or unanswerable questions are not enough to learn a threshold."""

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Quality:
    """How a reader with some settings does on weighted questions.

    `ece` is the calibration error of its confidence against F1, 0 to 1, `ece_exact` against exact match;
    `exact` and `f1` are percentages.
    """

    ece: float
    ece_exact: float
    exact: float
    f1: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was learned from `questions` questions, and what it changes.

    `before` is the uncalibrated reader, `after` the calibrated one, each on articles that it was not fitted
    on (`folds` parts in turn; where there are fewer articles than that, on other questions of the same
    articles). `best_f1` is that of the best threshold on these very questions. All are weighted to
    `share_unanswerable`. `left_out` counts questions on texts without a word, which have no odds.
    """

    calibration: Calibration
    questions: int
    answerable: int
    left_out: int
    share_unanswerable: float
    by_article: bool
    folds: int
    before: Quality
    after: Quality
    best_f1: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data, for `reader.json` and for programs."""
        content = asdict(self)
        learned = content.pop("calibration")
        return {
            "threshold": learned["threshold"],
            "threshold_95": [learned["low"], learned["high"]],
            **self.calibration.changes(),
            **content,
        }


def score(
    reader: Reader, examples: Sequence[Example], on_progress: Callable[[int], None] | None = None
) -> tuple[Scored, int]:
    """The scores of the reader's best answers to the examples, and the number of examples left out because
    their text has no words.

    `on_progress` is called with the number of questions read so far.
    """
    names = group_articles(examples)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    rows: list[tuple[float, float, float, bool, int]] = []
    pairs = ((example.question, example.context) for example in examples)
    readings = reader.read_many(pairs, top_k=1, score_threshold=0.0)
    for number, (example, name, reading) in enumerate(zip(examples, names, readings, strict=True), 1):
        if reading.answers:
            best = reading.answers[0]
            exact, f1 = question_scores(example, best.text)
            rows.append((best.null_odds, exact, f1, not example.is_impossible, numbers[name]))
        if on_progress is not None:
            on_progress(number)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    odds, exacts, f1s = (np.array(column, dtype=np.float64) for column in columns[:3])
    scored = Scored(
        odds,
        exacts,
        f1s,
        np.array(columns[3], dtype=np.bool_),
        np.array(columns[4], dtype=np.int64),
        np.ones(len(rows)),
    )
    return scored, len(examples) - len(rows)


def learn(scored: Scored, share_unanswerable: float = 0.5, *, left_out: int = 0, seed: int = 0) -> Calibrated:
    """The calibration that these questions give. Raises `DataError` where they are too few or all of one kind."""
    balance(scored.answerable, share_unanswerable)  # raises where a kind is lacking altogether
    n_answerable = int(scored.answerable.sum())
    for kind, n in (("answerable", n_answerable), ("unanswerable", len(scored) - n_answerable)):
        if n < MIN_OF_A_KIND:
            raise DataError(
                f"only {n} {kind} questions to calibrate on; at least {MIN_OF_A_KIND} of each kind are "
                "needed, and 500 are better. `tinyreader data split` keeps whole articles of a training set "
                "aside."
            )
    fold_of, by_article = _folds(scored, seed)
    after = [
        (
            fold_of == fold,
            ReaderSettings().changed(fit(scored[fold_of != fold], share_unanswerable, seed).changes()),
        )
        for fold in range(_FOLDS)
    ]
    weights = scored.weights(share_unanswerable)
    best = best_threshold(scored.odds, weights * np.where(scored.answerable, scored.f1, -1.0))
    everywhere = np.ones(len(scored), dtype=np.bool_)
    return Calibrated(
        fit(scored, share_unanswerable, seed),
        len(scored),
        n_answerable,
        left_out,
        share_unanswerable,
        by_article,
        _FOLDS,
        before=_quality(scored, weights, [(everywhere, ReaderSettings())]),
        after=_quality(scored, weights, after),
        best_f1=_quality(scored, weights, [(everywhere, ReaderSettings(no_answer_threshold=best))]).f1,
    )


def _folds(scored: Scored, seed: int) -> tuple[Int64, bool]:
    """The part that each question [n] belongs to, whole articles together where there are enough, and whether
    there are.
    """
    rng = np.random.default_rng(seed)
    articles, article_of = np.unique(scored.article, return_inverse=True)
    by_article = len(articles) >= _FOLDS
    parts = article_of if by_article else np.arange(len(scored))
    # the largest articles first, each to the fold with the fewest questions so far
    fold_of_part = np.empty(int(parts.max()) + 1, dtype=np.int64)
    sizes, filled = np.bincount(parts), np.zeros(_FOLDS)
    for part in sorted(rng.permutation(len(sizes)).tolist(), key=lambda p: -sizes[p]):
        fold_of_part[part] = int(np.argmin(filled))
        filled[fold_of_part[part]] += sizes[part]
    return fold_of_part[parts], by_article


def _quality(scored: Scored, weights: Float64, parts: Sequence[tuple[Bool, ReaderSettings]]) -> Quality:
    """The quality over all parts together, each a choice of the questions [n] with the settings to read them
    by.
    """
    columns = np.concatenate(
        [np.stack([*decisions(scored[rows], settings), weights[rows]]) for rows, settings in parts], axis=1
    )
    confidence, right, f1, mass = columns
    mean = mass / mass.sum()
    return Quality(
        expected_calibration_error(confidence, f1, mass),
        expected_calibration_error(confidence, right, mass),
        100.0 * float(mean @ right),
        100.0 * float(mean @ f1),
    )


def check_questions(reader: Reader, examples: Sequence[Example]) -> None:
    """Raises `DataError` for a question that leaves no room for its text, before work is spent."""
    windower = Windower(reader.tokenizer, reader.settings.windows)
    for example in examples:
        windower.check_question(example)


def record(calibrated: Calibrated, reader: Reader, examples: Sequence[Example], data: str) -> dict[str, Any]:
    """What `reader.json` keeps of where its settings come from."""
    return {
        "data": Path(data).name if Path(data).exists() else data,
        "fingerprint": fingerprint(examples),
        **calibrated.as_dict(),
        "tinyreader": version("tinyreader"),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
