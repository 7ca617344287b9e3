"""Is one reader better than another? Their reports on the same questions, question by question.

Differences are the second reader's mean minus the first's. A mean's interval and p-value come from the paired
bootstrap over questions; exact match, which is right or wrong, has McNemar's exact test besides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinyreader.errors import DataError
from tinyreader.metrics import paired_bootstrap
from tinyreader.report.record import Question, Report, load_questions, load_report

SAMPLES = 2000

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True, slots=True)
class Side:
    """A report as a comparison sees it: what to call it, what it says, and its questions by id, in the order
    of the data.
    """

    name: str
    report: Report
    questions: Mapping[str, Question]


@dataclass(frozen=True, slots=True)
class Measure:
    """One score of both sides on the same `questions`, in percent, and the second's minus the first's.

    [`low`, `high`] is the 95 % interval of the difference. `p` is two-sided: of the bootstrap, or McNemar's
    exact one where the score is right or wrong and `test` says so. No correction is made for looking at
    several scores or reports.
    """

    score: str
    questions: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    test: Literal["bootstrap", "McNemar"]

    @property
    def verdict(self) -> Verdict:
        """What the interval shows of the second reader."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A question that two readers answer with different F1: what each said ("" for no answer) and scored, 0
    to 1.
    """

    id: str
    first: str
    second: str
    first_f1: float
    second_f1: float
    answerable: bool

    @property
    def is_won(self) -> bool:
        """Whether the second reader did better."""
        return self.second_f1 > self.first_f1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One reader against another: each score, and the questions won and lost, the largest differences
    first.
    """

    first: str
    second: str
    measures: tuple[Measure, ...]
    won: tuple[Disagreement, ...]
    lost: tuple[Disagreement, ...]

    def measure(self, score: str) -> Measure:
        """The score of that name."""
        return next(m for m in self.measures if m.score == score)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data; of the questions, how many."""
        return {
            "first": self.first,
            "second": self.second,
            "scores": {m.score: asdict(m) | {"verdict": m.verdict} for m in self.measures},
            "won": len(self.won),
            "lost": len(self.lost),
        }


def load_sides(directories: Sequence[Path]) -> list[Side]:
    """The reports in these directories. Readers of one name go by their directory too, so that names
    differ.
    """
    reports = [load_report(directory) for directory in directories]
    names = [
        Path(str(report.model.get("name", ""))).name or directory.name
        for report, directory in zip(reports, directories, strict=True)
    ]
    sides = []
    for directory, report, name in zip(directories, reports, names, strict=True):
        shown = f"{name} ({directory})" if names.count(name) > 1 else name
        sides.append(Side(shown, report, {q.id: q for q in load_questions(directory)}))
    return sides


def same_questions(sides: Sequence[Side], *, shared_only: bool = False) -> list[str]:
    """The ids to compare on, in the order of the first report's data.

    Raises `DataError` where reports are of other data (by their fingerprints and ids), unless only the shared
    questions are wanted and there are such, and where they were scored by other rules.
    """
    first = sides[0]
    for side in sides[1:]:
        for what, mine, theirs in (
            ("normalised as", first.report.normalisation, side.report.normalisation),
            ("scored by script", first.report.official.get("script"), side.report.official.get("script")),
        ):
            if mine != theirs:
                raise DataError(
                    f"{first.name} was {what} {mine}, {side.name} {what} {theirs}: such scores do not "
                    "compare. Evaluate both "
                    "in the same way."
                )
        if shared_only:
            continue
        data, others = first.report.data, side.report.data
        same = (
            data.get("fingerprint") == others.get("fingerprint")
            and first.questions.keys() == side.questions.keys()
        )
        if not same:
            n_shared = len(first.questions.keys() & side.questions.keys())
            raise DataError(
                f"{first.name} and {side.name} were evaluated on different data: {data.get('name')} "
                f"({len(first.questions):,} questions) and {others.get('name')} ({len(side.questions):,}); "
                f"{n_shared:,} ids "
                "are in both. Evaluate both on the same file, or compare on the shared questions: "
                "--shared-only."
            )
    ids = [qid for qid in first.questions if all(qid in side.questions for side in sides)]
    if not ids:
        raise DataError("the reports have no question in common")
    for side in sides[1:]:
        differing = [qid for qid in ids if first.questions[qid].answerable != side.questions[qid].answerable]
        if differing:
            raise DataError(
                f"{len(differing):,} questions, such as {differing[0]!r}, have an answer in one report's "
                "data and none in the "
                "other's: the data are not the same"
            )
    return ids


def compare(
    first: Side, second: Side, ids: Sequence[str], *, samples: int = SAMPLES, seed: int = 0
) -> Comparison:
    """The second reader against the first, on these questions of both."""
    ours = [first.questions[qid] for qid in ids]
    theirs = [second.questions[qid] for qid in ids]
    answerable = np.array([q.answerable for q in ours], dtype=np.bool_)
    everything = np.ones(len(ids), dtype=np.bool_)
    measures = []
    for score, field, chosen in (
        ("exact", "exact", everything),
        ("f1", "f1", everything),
        ("HasAns_exact", "exact", answerable),
        ("HasAns_f1", "f1", answerable),
        ("NoAns_exact", "exact", ~answerable),
        ("answered_f1", "text_f1", answerable),
    ):
        if chosen.any():
            a, b = (np.array([getattr(q, field) for q in side])[chosen] for side in (ours, theirs))
            measures.append(_measure(score, a, b, samples, seed))
    apart = [
        Disagreement(a.id, _said(a), _said(b), a.f1, b.f1, a.answerable)
        for a, b in zip(ours, theirs, strict=True)
        if a.f1 != b.f1
    ]
    apart.sort(key=lambda d: -abs(d.second_f1 - d.first_f1))
    won, lost = (tuple(d for d in apart if d.is_won == wanted) for wanted in (True, False))
    return Comparison(first.name, second.name, tuple(measures), won, lost)


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """The two-sided p-value of McNemar's exact test on paired outcomes [n], each right (not 0) or wrong (0).

    Of the questions that only one reader has right, either reader has as many under the null hypothesis: a
    binomial with chance one half (McNemar, 1947). 1.0 where they never differ.
    """
    a, b = np.asarray(first) != 0, np.asarray(second) != 0
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_first + only_second
    log_all, tail = math.lgamma(n + 1) - n * math.log(2.0), range(min(only_first, only_second) + 1)
    return min(
        1.0, 2.0 * math.fsum(math.exp(log_all - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in tail)
    )


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points (both coordinates: more is better) that no other beats in one without losing in the other;
    by the first.

    Such points are the Pareto front. Of equal points, all are on it.
    """
    return sorted(
        (
            i
            for i, (x, y) in enumerate(points)
            if not any(u >= x and v >= y and (u > x or v > y) for u, v in points)
        ),
        key=lambda i: points[i],
    )


def _measure(score: str, a: npt.NDArray[Any], b: npt.NDArray[Any], samples: int, seed: int) -> Measure:
    found = paired_bootstrap(100.0 * b, 100.0 * a, samples=samples, seed=seed)
    is_binary = score.endswith("exact")
    # Of an interval's p-value, the least that so many samples can show is 2 / (samples + 1).
    smaller = min(found.share_larger, 1.0 - found.share_larger) * samples
    p = mcnemar(a, b) if is_binary else min(1.0, 2.0 * (smaller + 1.0) / (samples + 1.0))
    return Measure(
        score,
        len(a),
        100.0 * float(a.mean()),
        100.0 * float(b.mean()),
        found.mean,
        found.low,
        found.high,
        p,
        "McNemar" if is_binary else "bootstrap",
    )


def _said(question: Question) -> str:
    return question.prediction if question.answered else ""
