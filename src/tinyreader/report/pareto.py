"""Speed against score as a plot: the readers that no other beats in both are joined by a line, the Pareto
front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyreader.report.compare import Side, front
from tinyreader.report.markdown import counted
from tinyreader.report.plots import MARKS, Plot, Theme, legend_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLACES = tuple(
    (right, up, ("center", "left", "right")[np.sign(right)], ("center", "bottom", "top")[np.sign(up)])
    for right, up in (
        (9, 0),
        (-9, 0),
        (8, 9),
        (-8, 9),
        (8, -9),
        (-8, -9),
        (0, 12),
        (0, -12),
        (22, 22),
        (-22, 22),
        (22, -22),
        (-22, -22),
        (30, 38),
        (-30, 38),
        (30, -38),
        (-30, -38),
        (40, 0),
        (-40, 0),
    )
)
"""Where a label may stand beside its point: points to the right and up, and how it is aligned; near ones
first.
"""

_FAR = 15
"""From this distance on, a thin line leads from a label to its point."""


@dataclass(frozen=True, slots=True)
class Point:
    """A reader in the plot: questions per second, F1 in percent with its 95 % interval, and the machine it
    was timed on.
    """

    name: str
    speed: float
    f1: float
    low: float
    high: float
    machine: str


def points_of(sides: Sequence[Side]) -> tuple[list[Point], list[str]]:
    """The points of those reports that tell a speed, and the names of the others."""
    points, without = [], []
    for side in sides:
        speed = side.report.speed.get("questions_per_second")
        if not isinstance(speed, int | float) or speed <= 0:
            without.append(side.name)
            continue
        f1 = side.report.scores["f1"]
        low, high = side.report.intervals.get("f1", (f1, f1))
        points.append(Point(side.name, float(speed), f1, low, high, _machine(side.report.machine)))
    return points, without


def pareto_plot(points: Sequence[Point]) -> Plot:
    """The plot of these readers; it says so where they were timed on different machines."""
    best = [points[i].name for i in front([(p.speed, p.f1) for p in points])]
    says = (
        f"F1 against questions per second of {len(points)} readers. On the Pareto front: {', '.join(best)}."
    )
    return Plot("pareto", says, (6.4, 4.4), lambda figure, theme: _draw(figure, theme, points))


def _draw(figure: Figure, theme: Theme, points: Sequence[Point]) -> None:
    axes = figure.add_subplot()
    on_front = front([(p.speed, p.f1) for p in points])
    axes.plot(
        [points[i].speed for i in on_front],
        [points[i].f1 for i in on_front],
        color=theme.three,
        linestyle=(0, (5, 2)),
        linewidth=1.4,
        zorder=1,
        label="Pareto front" if len(on_front) > 1 else None,
    )
    beaten = [number for number in range(len(points)) if number not in on_front]
    for number, point in enumerate(points):
        is_best = number in on_front
        colour = theme.one if is_best else theme.two
        axes.errorbar(
            point.speed,
            point.f1,
            yerr=[[max(0.0, point.f1 - point.low)], [max(0.0, point.high - point.f1)]],
            fmt="none",
            ecolor=theme.quiet,
            elinewidth=1.0,
            capsize=3,
            zorder=2,
        )
        axes.plot(
            point.speed,
            point.f1,
            marker=MARKS[0] if is_best else MARKS[1],
            markersize=7.5,
            color=colour,
            markeredgecolor=theme.paper,
            linestyle="none",
            zorder=3,
            label="beaten in speed and score" if number in beaten[:1] else None,
        )
    axes.set_xscale("log")
    _plain_ticks(axes, [p.speed for p in points])
    axes.margins(x=0.22, y=0.14)
    axes.set_ylabel("F1, with its 95 % interval")
    machines = list(dict.fromkeys(p.machine for p in points))
    where = machines[0] if len(machines) == 1 else "timed on different machines: speeds do not compare"
    axes.set_xlabel(f"questions per second (faster to the right)\n{where}")
    axes.set_title("Speed and score")
    legend_above(axes, 2)  # inside, it would lie on intervals
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is settled: what is measured now stays where it is
    _label(figure, axes, theme, points, on_front)


def _plain_ticks(axes: Axes, speeds: Sequence[float]) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, written as plain numbers; every digit where the speeds lie
    close together.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    steps = (1.0, 2.0, 5.0) if max(speeds) > 3 * min(speeds) else tuple(n / 2 for n in range(2, 20))
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label(
    figure: Figure, axes: Axes, theme: Theme, points: Sequence[Point], on_front: Sequence[int]
) -> None:
    """Names the points, each label where it covers least of points, other labels, the legend and the front's
    line.
    """
    from matplotlib.text import Text

    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # the canvas that draws PNG has one
    inside = axes.get_window_extent(renderer)
    taken = [_around(axes, point) for point in points]
    if (legend := axes.get_legend()) is not None:
        taken.append(legend.get_window_extent(renderer))
    line = _along(axes, [points[i] for i in on_front])
    for point in points:
        tried: list[tuple[float, int, Any, Any]] = []
        for number, (right, up, across, along) in enumerate(_PLACES):
            far = max(abs(right), abs(up)) > _FAR
            label = axes.annotate(
                point.name,
                (point.speed, point.f1),
                xytext=(right, up),
                textcoords="offset points",
                ha=across,
                va=along,
                fontsize=8.5,
                color=theme.ink,
                zorder=4,
                arrowprops={"arrowstyle": "-", "color": theme.quiet, "linewidth": 0.7, "shrinkB": 4}
                if far
                else None,
            )
            label.update_positions(renderer)
            box = Text.get_window_extent(label, renderer)  # of the words, without the line that leads to them
            outside = not (
                inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            )
            crossed = bool(box.count_contains(line)) if len(line) else False
            cost = 3.0 * sum(box.overlaps(other) for other in taken) + 5.0 * outside + 2.0 * crossed + far
            tried.append((cost, number, label, box))
        chosen = min(tried, key=lambda entry: entry[:2])
        for entry in tried:
            if entry is not chosen:
                entry[2].remove()
        taken.append(chosen[3])


def _along(axes: Axes, points: Sequence[Point]) -> Any:
    """Places along the line through the points, close together, in pixels of the figure: [n, 2]."""
    ends = axes.transData.transform([(p.speed, p.f1) for p in points])
    steps = np.linspace(0.0, 1.0, 60)[:, None]
    return (
        np.concatenate([a + (b - a) * steps for a, b in pairwise(ends)])
        if len(points) > 1
        else np.empty((0, 2))
    )


def _around(axes: Axes, point: Point) -> Any:
    """The box of a point with its interval, in pixels of the figure."""
    from matplotlib.transforms import Bbox

    (x, low), (_, high) = axes.transData.transform([(point.speed, point.low), (point.speed, point.high)])
    return Bbox.from_extents(x - 6, min(low, high) - 6, x + 6, max(low, high) + 6)


def _machine(facts: dict[str, Any]) -> str:
    cores = facts.get("cores")
    return f"{facts.get('processor') or 'machine not stated'}" + (
        f", {counted(cores, 'core')}" if cores else ""
    )
