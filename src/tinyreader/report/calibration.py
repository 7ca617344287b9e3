"""What a reader's null odds mean: the threshold for "no answer", and the curves from odds to probabilities.

Pure functions of arrays with one entry per question; `calibrate.py` has the reader and the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinyreader.arrays import Bool, Float64, Int64
from tinyreader.errors import DataError, SettingsError
from tinyreader.reader.settings import ReaderSettings

BINS = 15
_RESAMPLES = 200
_STEPS = 100
_MAX_SLOPE = 1e3  # of a standardised logit: beyond it the odds separate right from wrong perfectly


@dataclass(frozen=True, slots=True)
class Scored:
    """A reader's best answers to n questions, scored: each array is [n].

    `odds` are null odds in logits; `exact` (0 or 1) and `f1` (0 to 1) are the best answer's own, before any
    decision that there is none; `answerable` is what the data says. `article` numbers the article a question
    belongs to. `weight` is how much each question counts beside the others of its kind.
    """

    odds: Float64
    exact: Float64
    f1: Float64
    answerable: Bool
    article: Int64
    weight: Float64

    def __len__(self) -> int:
        return len(self.odds)

    def __getitem__(self, rows: Bool | Int64) -> Scored:
        return Scored(
            self.odds[rows],
            self.exact[rows],
            self.f1[rows],
            self.answerable[rows],
            self.article[rows],
            self.weight[rows],
        )

    def weights(self, share_unanswerable: float) -> Float64:
        """A weight for each question [n], with which the unanswerable ones make up that share."""
        return balance(self.answerable, share_unanswerable, self.weight)


def pooled(parts: Sequence[Scored], shares: Sequence[float] | None = None) -> Scored:
    """Questions from several sources as one, for both kinds of question in these shares (None: equal ones)."""
    weights = []
    for part, share in zip(parts, shares or [1.0] * len(parts), strict=True):
        weight = np.empty(len(part))
        for kind in (part.answerable, ~part.answerable):
            if kind.any():
                weight[kind] = share * part.weight[kind] / part.weight[kind].sum()
        weights.append(weight)
    first_article = np.cumsum([0, *(int(part.article.max(initial=-1)) + 1 for part in parts)])
    return Scored(
        np.concatenate([part.odds for part in parts]),
        np.concatenate([part.exact for part in parts]),
        np.concatenate([part.f1 for part in parts]),
        np.concatenate([part.answerable for part in parts]),
        np.concatenate([part.article + n for part, n in zip(parts, first_article, strict=False)]),
        np.concatenate(weights),
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """A probability as a logistic function of the null odds: 1 / (1 + exp(-(odds - offset) / temperature))."""

    offset: float
    temperature: float

    def __call__(self, odds: Float64) -> Float64:
        """The probability at these odds, each 0 to 1."""
        chances: Float64 = 0.5 * (1.0 + np.tanh(0.5 * (odds - self.offset) / self.temperature))
        return chances


@dataclass(frozen=True, slots=True)
class Calibration:
    """What null odds mean for one reader.

    Above `threshold` the reader says that there is no answer; [`low`, `high`] is its 95 % bootstrap interval.
    `lost` is the expected loss of F1 of the best answer, `no_answer` the probability that the text has none.
    """

    threshold: float
    low: float
    high: float
    lost: Curve
    no_answer: Curve

    def changes(self) -> dict[str, float]:
        """The settings of a reader that express it."""
        return {
            "no_answer_threshold": self.threshold,
            "temperature": self.lost.temperature,
            "score_offset": self.lost.offset,
            "no_answer_temperature": self.no_answer.temperature,
            "no_answer_offset": self.no_answer.offset,
        }


def balance(answerable: Bool, share_unanswerable: float, weight: Float64 | None = None) -> Float64:
    """A weight for each question [n], 1 in the mean, with which the unanswerable ones make up that share.

    Within its kind each question counts by `weight` [n] (None: all the same).
    """
    if not 0.0 < share_unanswerable < 1.0:
        raise SettingsError(
            f"the share of unanswerable questions is {share_unanswerable}; it must lie between 0 and 1."
        )
    n, n_answerable = len(answerable), int(answerable.sum())
    if not 0 < n_answerable < n:
        lacking = "unanswerable" if n_answerable else "answerable"
        raise DataError(
            f"none of the {n} questions is {lacking}. A no-answer threshold weighs both kinds against each "
            f"other: add {lacking} questions, as SQuAD 2.0 has them."
        )
    given = np.ones(n) if weight is None else weight
    weights: Float64 = np.where(
        answerable,
        given * n * (1 - share_unanswerable) / given[answerable].sum(),
        given * n * share_unanswerable / given[~answerable].sum(),
    )
    return weights


def fit(scored: Scored, share_unanswerable: float = 0.5, seed: int = 0) -> Calibration:
    """The threshold and curves that fit these questions, weighted to that share of unanswerable ones.

    The threshold is where the expected F1 of the best answer falls below the probability that there is none:
    the one falls and the other rises as a logistic of the odds, so they cross once. (The odds of the best F1 on
    the sample would follow its noise: the top of that curve is flat.) Raises `DataError` where one kind of
    question is missing, or the odds are uninformative.
    """
    lost, none = _curves(scored, share_unanswerable)
    resampled = [crossing(*_curves(scored[rows], share_unanswerable)) for rows in _resamples(scored, seed)]
    low, high = np.quantile(resampled, (0.025, 0.975)).tolist()
    return Calibration(crossing(lost, none), low, high, lost, none)


def _curves(scored: Scored, share_unanswerable: float) -> tuple[Curve, Curve]:
    """The expected loss of F1 of the best answer, and the probability of no answer, as functions of the odds."""
    weights = scored.weights(share_unanswerable)
    none = (~scored.answerable).astype(np.float64)
    return (
        fit_curve(scored.odds, 1.0 - scored.f1, weights, "that the best answer is wrong"),
        fit_curve(scored.odds, none, weights, "that there is no answer"),
    )


def crossing(lost: Curve, none: Curve) -> float:
    """The odds at which 1 - lost(odds) = none(odds): -(o - a) / s = (o - b) / t has this one solution."""
    return (lost.offset * none.temperature + none.offset * lost.temperature) / (
        lost.temperature + none.temperature
    )


def _resamples(scored: Scored, seed: int) -> Iterator[Int64]:
    """Yield the rows of resamples with replacement (Efron, 1979), each with as many questions of either
    kind.
    """
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(scored.answerable), np.flatnonzero(~scored.answerable)]
    for _ in range(_RESAMPLES):
        yield np.concatenate([rng.choice(rows, len(rows)) for rows in kinds])


def fit_curve(odds: Float64, happened: Float64, weights: Float64, what: str = "of the event") -> Curve:
    """The logistic curve of greatest likelihood for events [n], 0 to 1 (a share of one counts so much), at
    `odds` [n].

    This is Platt's scaling (1999); his targets, a little inside 0 and 1, keep the curve finite where the odds
    separate the events perfectly. Raises `DataError` where the probability does not rise with the odds.
    """
    n_happened, n_not = float(weights @ happened), float(weights @ (1.0 - happened))
    low, high = 1 / (n_not + 2), (n_happened + 1) / (n_happened + 2)
    targets = low + happened * (high - low)
    centre, width = float(np.average(odds, weights=weights)), float(odds.std()) or 1.0
    features = np.stack([np.ones_like(odds), (odds - centre) / width], axis=1)
    theta = _newton(features, targets, weights)
    if not 0.0 < theta[1] < _MAX_SLOPE:
        raise DataError(
            f"the probability {what} does not rise with the null odds (slope {theta[1]:.3g}): this reader's "
            "odds say nothing about it on these questions, so no threshold can be learned. Was the reader "
            "trained with unanswerable questions?"
        )
    return Curve(centre - width * float(theta[0] / theta[1]), width / float(theta[1]))


def _newton(features: Float64, targets: Float64, weights: Float64) -> Float64:
    """The parameters of the weighted logistic regression; steps are halved until the loss falls."""
    theta = np.zeros(features.shape[1])

    def loss(at: Float64) -> float:
        logits = features @ at
        return float(weights @ (np.logaddexp(0.0, logits) - targets * logits))

    value = loss(theta)
    for _ in range(_STEPS):
        chances = 0.5 * (1.0 + np.tanh(0.5 * (features @ theta)))
        gradient = features.T @ (weights * (chances - targets))
        curvature = (features.T * (weights * chances * (1.0 - chances))) @ features + 1e-9 * np.eye(
            len(theta)
        )
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while size > 1e-6 and loss(theta - size * step) > value:
            size /= 2
        theta = theta - size * step
        before, value = value, loss(theta)
        if before - value <= 1e-10 * max(1.0, abs(before)):
            break
    return theta


def best_threshold(odds: Float64, gain: Float64) -> float:
    """The odds up to which to answer for the greatest sum of `gain` [n], what answering each question wins
    over saying none.

    It lies half-way to the next question's odds; where several thresholds are best, it is in the middle of
    the widest.
    """
    order = np.argsort(odds, kind="stable")
    sorted_odds = odds[order]
    reached = np.concatenate([[0.0], np.cumsum(gain[order])])
    ends = np.concatenate([[sorted_odds[0] - 1.0], sorted_odds, [sorted_odds[-1] + 1.0]])
    possible = np.concatenate([[True], sorted_odds[1:] > sorted_odds[:-1], [True]])  # none between equal odds
    best = np.flatnonzero(possible & (reached >= reached[possible].max() - 1e-9))
    widest = best[np.argmax(ends[best + 1] - ends[best])]
    return float((ends[widest] + ends[widest + 1]) / 2)


def decisions(scored: Scored, settings: ReaderSettings) -> tuple[Float64, Float64, Float64]:
    """Of a reader with these settings: how sure it is of what it says to each question, whether that is
    right, and its F1.

    It says the best answer or that there is none, whichever its threshold wants; right is the official exact
    match. Confidence is `Reading.confidence`. Each array is [n], with values from 0 to 1.
    """
    says_answer = scored.odds <= settings.no_answer_threshold
    confidence = np.array(
        [
            settings.score(odds) if answers else settings.no_answer_score(odds)
            for odds, answers in zip(scored.odds.tolist(), says_answer.tolist(), strict=True)
        ]
    )
    none_right = (~scored.answerable).astype(np.float64)
    return (
        confidence,
        np.where(says_answer, scored.exact, none_right),
        np.where(says_answer, scored.f1, none_right),
    )


def expected_calibration_error(
    confidence: Float64, right: Float64, weights: Float64 | None = None, bins: int = BINS
) -> float:
    """The mean gap, 0 to 1, between confidence [n] and how right it was [n], each 0 to 1, over bins of equal
    mass.

    Questions sorted by confidence are cut into `bins` parts of equal weight, as nearly as whole questions
    allow; each part's gap counts by its weight (Naeini et al., 2015, with equal mass as Nguyen and O'Connor,
    2015).
    """
    order = np.argsort(confidence, kind="stable")
    weights = np.ones(len(order)) if weights is None else weights
    mass = weights[order]
    bin_of = bins_of_equal_mass(mass, bins)
    gaps = np.bincount(bin_of, mass * (confidence - right)[order], bins)
    return float(np.abs(gaps).sum() / mass.sum())


def bins_of_equal_mass(mass: Float64, bins: int) -> Int64:
    """The bin [n], from 0, of each of n things in order, where every bin is to hold the same share of their
    `mass` [n].
    """
    middle = np.cumsum(mass) - mass / 2
    numbers: Int64 = np.minimum((middle / mass.sum() * bins).astype(np.int64), bins - 1)
    return numbers
