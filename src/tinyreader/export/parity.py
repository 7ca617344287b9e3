"""Whether a built or exported network says what the original says, and how far it may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinyreader.data import Example
from tinyreader.export.trial import Outcome, Trial
from tinyreader.metrics import question_scores

MIN_OF_A_KIND = 50
"""With at least so many answerable and unanswerable questions each kind counts half."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a network may be from the original: share of equal answers, logits, and points of F1 where data
    tells it.

    All of them count: what moves F1 by little on some thousand questions can be luck, what leaves nearly
    every answer as it was is not. None leaves a logit free.
    """

    equal_answers: float
    logit: float | None = None
    f1: float = 0.5


TOLERANCES = {
    "fp32": Tolerance(equal_answers=0.995, logit=0.02, f1=0.05),
    "bf16": Tolerance(equal_answers=0.95),
    "int8": Tolerance(equal_answers=0.96),
    "packed": Tolerance(equal_answers=0.95),
}
"""What is usual for each precision, and for packed weights."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How a network compares with the original on real windows.

    F1 in points, answerable and unanswerable questions counted half each where there are both (int8 tends to
    shift the null score, which data with few unanswerable questions hides); None where the data has no
    answers.
    """

    questions: int
    windows: int
    largest_logit_difference: float
    mean_logit_difference: float
    equal_answers: float
    f1_original: float | None
    f1: float | None

    @property
    def f1_change(self) -> float | None:
        """The network's F1 less the original's, in points."""
        return None if self.f1 is None or self.f1_original is None else self.f1 - self.f1_original

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {**asdict(self), "f1_change": self.f1_change}

    def failures(self, tolerance: Tolerance) -> list[str]:
        """What lies beyond the tolerance, one sentence each."""
        found = []
        change = self.f1_change
        if not np.isfinite(self.largest_logit_difference):
            found.append("logits are not finite")
        elif tolerance.logit is not None and self.largest_logit_difference > tolerance.logit:
            found.append(
                f"a logit differs by {self.largest_logit_difference:.3g}; at most {tolerance.logit:g} is "
                "allowed"
            )
        if change is not None and change < -tolerance.f1:
            found.append(f"F1 falls by {-change:.2f} points; at most {tolerance.f1:g} is allowed")
        if self.equal_answers < tolerance.equal_answers:
            found.append(
                f"{self.equal_answers:.1%} of the answers are equal; at least {tolerance.equal_answers:.1%} "
                "should be"
            )
        return found


def compare(trial: Trial, original: Outcome, other: Outcome) -> Parity:
    """How the other outcome of the trial compares with the original's."""
    # In fp64, so that logits near fp32's limits do not overflow on the way.
    pairs = [
        (a, b)
        for one, two in zip(original.logits, other.logits, strict=True)
        for a, b in zip(one, two, strict=True)
    ]
    differences = np.concatenate([np.abs(np.subtract(a, b, dtype=np.float64)) for a, b in pairs])
    equal = sum(a == b for a, b in zip(original.answers, other.answers, strict=True))
    return Parity(
        questions=len(trial.examples),
        windows=len(trial.windows),
        largest_logit_difference=float(differences.max()),
        mean_logit_difference=float(differences.mean()),
        equal_answers=equal / len(trial.examples),
        f1_original=f1(trial.examples, original.answers) if trial.has_answers else None,
        f1=f1(trial.examples, other.answers) if trial.has_answers else None,
    )


def f1(examples: Sequence[Example], answers: Sequence[str]) -> float:
    """The mean F1 of the answers, in points: the mean over answerable and over unanswerable questions,
    averaged.

    Where there are fewer than `MIN_OF_A_KIND` of either, all questions count alike: one of a few would decide
    by itself.
    """
    scores = np.array([question_scores(e, answer)[1] for e, answer in zip(examples, answers, strict=True)])
    impossible = np.array([e.is_impossible for e in examples])
    kinds = [scores[impossible], scores[~impossible]]
    if min(map(len, kinds)) < MIN_OF_A_KIND:
        return 100 * float(scores.mean())
    return 100 * float(np.mean([kind.mean() for kind in kinds]))
