"""Is one reader better than another? Their reports on the same questions, compared question by question; and
their speed against their score as a plot.

Differences are the second reader's mean minus the first's. A mean's interval and p-value come from the paired
bootstrap over questions; the p-value of exact match, which is right or wrong, from McNemar's exact test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tinyreader.errors import DataError
from tinyreader.metrics import paired_bootstrap
from tinyreader.report.machine import counted
from tinyreader.report.plots import MARKS, Plot, Theme, legend_above
from tinyreader.report.record import Question, Report, load_questions, load_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAMPLES = 2000

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the reports that are compared: the reader's name, the report, and its questions by id, in the
    order of the data.
    """

    name: str
    report: Report
    questions: Mapping[str, Question]


@dataclass(frozen=True, slots=True)
class Measure:
    """One score of both sides on the same `questions`, in percent, and the second's minus the first's.

    [`low`, `high`] is the 95 % interval of the difference. `p` is two-sided, from the `test` named. It is not
    corrected for comparing several scores or reports.
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
    """A question on which two readers differ in F1: their answers ("" for no answer) and scores, 0 to 1."""

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
    """One reader against another: each score, and the questions that the second won and lost, the largest
    differences first.
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
        """The comparison as plain data, with the numbers of questions won and lost."""
        return {
            "first": self.first,
            "second": self.second,
            "scores": {m.score: asdict(m) | {"verdict": m.verdict} for m in self.measures},
            "won": len(self.won),
            "lost": len(self.lost),
        }


def load_sides(directories: Sequence[Path]) -> list[Side]:
    """The reports in these directories. Readers of the same name are told apart by their directories."""
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

    Raises `DataError` where the reports have no question in common, were scored by different rules, or, unless
    `shared_only`, are of different data (by fingerprint and ids).
    """
    first = sides[0]
    for side in sides[1:]:
        for what, mine, theirs in (
            ("normalised as", first.report.normalisation, side.report.normalisation),
            ("scored by script", first.report.official.get("script"), side.report.official.get("script")),
        ):
            if mine != theirs:
                raise DataError(
                    f"{first.name} was {what} {mine}, {side.name} {what} {theirs}: these scores cannot "
                    "be compared. Evaluate both in the same way."
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
                f"{n_shared:,} ids are in both. Evaluate both on the same file, or compare on the shared questions "
                "with --shared-only."
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
                "other's: the data differ"
            )
    return ids


def compare(
    first: Side, second: Side, ids: Sequence[str], *, samples: int = SAMPLES, seed: int = 0
) -> Comparison:
    """The second reader against the first on these questions, by id."""
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
        Disagreement(a.id, _answer(a), _answer(b), a.f1, b.f1, a.answerable)
        for a, b in zip(ours, theirs, strict=True)
        if a.f1 != b.f1
    ]
    apart.sort(key=lambda d: -abs(d.second_f1 - d.first_f1))
    won, lost = (tuple(d for d in apart if d.is_won == wanted) for wanted in (True, False))
    return Comparison(first.name, second.name, tuple(measures), won, lost)


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """The two-sided p-value of McNemar's exact test on paired outcomes [n], each right (not 0) or wrong (0).

    Under the null hypothesis, each question that only one reader has right is either reader's with probability
    one half (McNemar, 1947). 1.0 where they never differ.
    """
    a, b = np.asarray(first) != 0, np.asarray(second) != 0
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_first + only_second
    log_all, tail = math.lgamma(n + 1) - n * math.log(2.0), range(min(only_first, only_second) + 1)
    return min(
        1.0, 2.0 * math.fsum(math.exp(log_all - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in tail)
    )


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The Pareto front of points where larger is better in both coordinates: the numbers of the points that no
    other dominates, sorted by the first coordinate. Equal points are all on it.
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
    # the smallest p-value that this number of samples can show is 2 / (samples + 1)
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


def _answer(question: Question) -> str:
    return question.prediction if question.answered else ""


def split_timed(sides: Sequence[Side]) -> tuple[list[Side], list[str]]:
    """The sides whose report has a speed, and the names of the others."""
    timed = [side for side in sides if _speed(side) > 0]
    return timed, [side.name for side in sides if side not in timed]


def pareto_plot(sides: Sequence[Side]) -> Plot:
    """F1 against questions per second of readers that have a speed; those that no other beats in both are
    joined by a line. The plot says so where they were timed on different machines.
    """
    best = [sides[i].name for i in _front_of(sides)]
    says = f"F1 against questions per second of {len(sides)} readers. On the Pareto front: {', '.join(best)}."
    height = 4.2 + 0.21 * -(-(len(sides) + 2) // _columns(sides))
    return Plot("pareto", says, (6.4, height), lambda figure, theme: _draw(figure, theme, sides))


def _draw(figure: Figure, theme: Theme, sides: Sequence[Side]) -> None:
    axes, on_front = figure.add_subplot(), _front_of(sides)
    colours = (theme.one, theme.two, theme.three, theme.four)
    for number, side in enumerate(sorted(sides, key=_speed)):
        f1 = side.report.scores["f1"]
        low, high = side.report.intervals.get("f1", (f1, f1))
        colour = colours[number % 4]
        is_best = any(side is sides[i] for i in on_front)
        axes.errorbar(
            _speed(side),
            f1,
            yerr=[[max(0.0, f1 - low)], [max(0.0, high - f1)]],
            fmt=MARKS[(number + number // 4) % 4],  # no two of sixteen readers share colour and mark
            markersize=7,
            color=colour,
            markerfacecolor=colour if is_best else theme.paper,
            elinewidth=1.0,
            capsize=3,
            label=side.name,
        )
    if len(on_front) > 1:
        points = [(_speed(sides[i]), sides[i].report.scores["f1"]) for i in on_front]
        axes.plot(
            *zip(*points, strict=True),
            color=theme.quiet,
            linestyle=(0, (5, 2)),
            zorder=1,
            label="Pareto front",
        )
    if len(on_front) < len(sides):
        axes.plot(
            [],
            [],
            color=theme.quiet,
            marker=MARKS[0],
            markerfacecolor=theme.paper,
            linestyle="none",
            label="hollow: beaten in speed and score",
        )
    axes.set_xscale("log")
    _plain_ticks(axes, [_speed(side) for side in sides])
    axes.margins(x=0.12, y=0.1)
    axes.set_ylabel("F1, with its 95 % interval")
    machines = {_machine(side.report.machine) for side in sides}
    where = machines.pop() if len(machines) == 1 else "timed on different machines: speeds do not compare"
    axes.set_xlabel(f"questions per second (faster to the right)\n{where}")
    axes.set_title("Speed and score")
    legend_above(axes, _columns(sides))


def _plain_ticks(axes: Axes, speeds: Sequence[float]) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, written as plain numbers; more of them where the speeds lie
    close together.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    steps = (1.0, 2.0, 5.0) if max(speeds) > 3 * min(speeds) else tuple(n / 2 for n in range(2, 20))
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _columns(sides: Sequence[Side]) -> int:
    """Columns of the legend: one where names are long."""
    return 1 if max(len(side.name) for side in sides) > 36 else 2


def _front_of(sides: Sequence[Side]) -> list[int]:
    return front([(_speed(side), side.report.scores["f1"]) for side in sides])


def _speed(side: Side) -> float:
    """Questions per second; 0 where the report does not say."""
    speed = side.report.speed.get("questions_per_second")
    return float(speed) if isinstance(speed, int | float) else 0.0


def _machine(facts: Mapping[str, Any]) -> str:
    cores = facts.get("cores")
    name = facts.get("processor") or "machine not stated"
    return f"{name}, {counted(cores, 'core')}" if cores else name
