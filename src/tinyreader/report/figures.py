"""The plots of a report, drawn from its plain data."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any

from tinyreader.report.plots import DASHES, Plot, Theme, legend_above, lines
from tinyreader.report.record import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = ("null_threshold", "precision_recall", "reliability", "coverage_risk", "slices", "training", "layers")
"""Every plot that a report can have."""

HALF = (5.2, 3.7)
KINDS = {
    "attention": "attention",
    "hidden": "hidden states",
    "embedding": "embedding",
    "prediction": "prediction",
    "labels": "labels",
}


def figures(report: Report) -> Iterator[Plot]:
    """Yield the plots that the report has data for, in the order of the page."""
    curves = report.curves
    if curves.get("null_threshold"):
        yield Plot(
            "null_threshold",
            "EM and F1 at each no-answer threshold",
            HALF,
            lambda f, t: _thresholds(f, t, report),
        )
    if curves.get("precision_recall", {}).get("f1"):
        yield Plot(
            "precision_recall",
            "Precision and recall of answering",
            HALF,
            lambda f, t: _precision_recall(f, t, report),
        )
    yield Plot(
        "reliability",
        "Confidence against the share that was right",
        HALF,
        lambda f, t: _reliability(f, t, report),
    )
    yield Plot(
        "coverage_risk",
        "Share of wrong decisions among the most confident",
        HALF,
        lambda f, t: _coverage_risk(f, t, report),
    )
    drawn = {name: parts for name, parts in report.slices.items() if len(parts) > 1}
    if drawn:
        height = 1.1 + 0.235 * sum(map(len, drawn.values())) + 0.38 * len(drawn)
        yield Plot(
            "slices", "F1 by kind of question", (7.4, height), lambda f, t: _slices(f, t, report, drawn)
        )
    if report.training is not None:
        training = report.training
        yield Plot(
            "training", "The training, step by step", (10.6, 6.6), lambda f, t: _training(f, t, training)
        )
    if report.layers is not None and report.layers.get("hidden"):
        inside = report.layers
        yield Plot(
            "layers",
            "Distance of the layers to the teacher's",
            _layers_size(inside),
            lambda f, t: _layers(f, inside),
        )


def _thresholds(figure: Figure, theme: Theme, report: Report) -> None:
    curve, axes = report.curves["null_threshold"], figure.subplots()
    names = {"f1": "F1", "exact": "EM", "HasAns_f1": "F1, answerable", "NoAns_f1": "F1, unanswerable"}
    lines(
        axes,
        theme,
        curve["threshold"],
        {label: curve[name] for name, label in names.items() if name in curve},
    )
    shipped, best = report.official.get("na_prob_thresh"), _best_threshold(report.scores)
    axes.set_ylim(0, 101)
    axes.set_xlim(curve["threshold"][0], curve["threshold"][-1])
    for value, label, style, height in ((shipped, "shipped", "-", 5), (best, "best F1", ":", 13)):
        if value is not None and curve["threshold"][0] <= value <= curve["threshold"][-1]:
            axes.axvline(value, color=theme.quiet, linewidth=1.1, linestyle=style)
            left = value > sum(axes.get_xlim()) / 2
            axes.text(
                value,
                height,
                f" {label} {value:.2f} ",
                ha="right" if left else "left",
                va="center",
                color=theme.ink,
                bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 0.8},
                fontsize=8.5,
            )
    axes.set(xlabel="no-answer threshold: null odds (logits)", ylabel="%")
    axes.set_title("Scores at each no-answer threshold")
    legend_above(axes, 4)


def _best_threshold(scores: dict[str, float]) -> float | None:
    """The threshold of the best F1. None where never answering is as good: the official script gives 0 then."""
    never = 100.0 * scores.get("NoAns_total", 0) / scores["total"]
    return scores.get("best_f1_thresh") if scores.get("best_f1", never) > never else None


def _precision_recall(figure: Figure, theme: Theme, report: Report) -> None:
    curve, axes = report.curves["precision_recall"], figure.subplots()
    for n, (name, label) in enumerate((("f1", "F1"), ("exact", "EM"))):
        part = curve[name]
        axes.step(
            [0.0, *part["recall"]],
            [1.0, *part["precision"]],
            where="pre",
            color=(theme.one, theme.two)[n],
            linestyle=DASHES[n],
            label=f"{label}, average precision {part['ap']:.1f} %",
        )
    axes.set(xlabel="recall of the answerable questions", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    axes.set_title("Answering the most confident first")
    legend_above(axes, 2)


def _reliability(figure: Figure, theme: Theme, report: Report) -> None:
    axes, bins = figure.subplots(), report.calibration["bins"]
    axes.plot([0, 1], [0, 1], color=theme.quiet, linewidth=1.1, linestyle=":", label="perfect calibration")
    sure, right = [b["confidence"] for b in bins], [b["right"] for b in bins]
    spread = [_wilson(b["right"], b["n"]) for b in bins]
    axes.errorbar(
        sure,
        right,
        yerr=[
            [max(0.0, r - low) for r, (low, _) in zip(right, spread, strict=True)],
            [max(0.0, high - r) for r, (_, high) in zip(right, spread, strict=True)],
        ],
        color=theme.one,
        marker="o",
        markersize=4.5,
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2,
        label="questions, 95 %",
    )
    axes.set(xlabel="confidence of the reader in its decision", ylabel="share exactly right")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_title(f"Calibration: mean gap {report.calibration['ece']:.3f} over {len(bins)} bins")
    legend_above(axes, 2)


def _coverage_risk(figure: Figure, theme: Theme, report: Report) -> None:
    curve, axes = report.curves["coverage_risk"], figure.subplots()
    axes.plot([100 * c for c in curve["coverage"]], [100 * r for r in curve["risk"]], color=theme.one)
    axes.set(
        xlabel="% of the questions kept, most confident first", ylabel="% wrong among them", xlim=(0, 100)
    )
    axes.set_ylim(0, max(5.0, 110 * max(curve["risk"][len(curve["risk"]) // 20 :], default=0.0)))
    axes.set_title(f"Keeping only confident decisions: mean risk {100 * curve['area']:.1f} %")


def _slices(figure: Figure, theme: Theme, report: Report, drawn: dict[str, list[dict[str, Any]]]) -> None:
    axes, place = figure.subplots(), 0.0
    ticks: list[float] = []
    labels: list[str] = []
    overall = report.scores["f1"]
    axes.axvline(
        overall, color=theme.quiet, linewidth=1.0, linestyle=":", label=f"all questions {overall:.1f}"
    )
    parts: list[dict[str, Any]] = []
    for dimension, slices in drawn.items():
        axes.text(
            0.0,
            place,
            dimension,
            transform=axes.get_yaxis_transform(),
            ha="left",
            va="center",
            weight="bold",
            bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 1.2},
            zorder=5,
        )
        ticks += [place + 1.0 + n for n in range(len(slices))]
        labels += [f"{part['slice']}  ({part['n']:,})" for part in slices]
        parts += slices
        place += len(slices) + 1.6
    f1 = [part["f1"] for part in parts]
    spread = [part["f1_interval"] or (part["f1"], part["f1"]) for part in parts]
    below = [max(0.0, mean - low) for mean, (low, _) in zip(f1, spread, strict=True)]
    above = [max(0.0, high - mean) for mean, (_, high) in zip(f1, spread, strict=True)]
    axes.errorbar(
        f1,
        ticks,
        xerr=[below, above],
        color=theme.one,
        marker="o",
        markersize=5,
        linestyle="",
        elinewidth=1.4,
        capsize=2.5,
        label="F1, 95 %",
    )
    if parts and "teacher_f1" in parts[0]:
        axes.plot(
            [part["teacher_f1"] for part in parts],
            ticks,
            color=theme.two,
            marker="D",
            markersize=5,
            fillstyle="none",
            linestyle="",
            label="teacher",
        )
    axes.set_yticks(ticks, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(-2, 102), ylim=(place - 0.8, -0.8), xlabel="F1, %  (number of questions in brackets)")
    axes.set_title("Where it fails")
    legend_above(axes, 3)


def _training(figure: Figure, theme: Theme, training: dict[str, Any]) -> None:
    axes = figure.subplots(2, 2)
    (loss, rate), (speed, scores) = axes
    begins, offset = [], 0
    colours = dict(zip(KINDS, (theme.one, theme.two, theme.three, theme.four, theme.ink), strict=True))
    dashes = dict(zip(KINDS, (*DASHES, "-"), strict=True))
    named: set[str] = set()
    for stage in training["stages"]:
        steps = [offset + s for s in stage["step"]]
        begins.append((offset, stage["name"]))
        for kind, values in _by_kind(stage["terms"]).items():
            if all(value != value for value in values):  # NaN throughout: nothing to draw or to name
                continue
            loss.plot(
                steps,
                values,
                color=colours.get(kind, theme.quiet),
                linestyle=dashes.get(kind, "-"),
                linewidth=1.3,
                label=None if kind in named else KINDS.get(kind, kind),
            )
            named.add(kind)
        rate.plot(steps, _numbers(stage["learning_rate"]), color=theme.one)
        speed.plot(steps, _numbers(stage["windows_per_second"]), color=theme.one, linewidth=1.2)
        for n, (name, label) in enumerate(
            (("best_f1", "best F1"), ("answered_f1", "F1, answerable, no-answer off"))
        ):
            points = [(offset + e["step"], e[name]) for e in stage["evaluations"] if name in e]
            if points:
                scores.plot(
                    *zip(*points, strict=True),
                    color=(theme.one, theme.two)[n],
                    marker="os"[n],
                    markersize=4,
                    label=None if name in named else label,
                )
                named.add(name)
        offset = steps[-1]
    loss.set_yscale("log")
    _label_decades(loss)
    loss.set_title("Terms of the loss (layers summed)")
    rate.set_title("Learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    speed.set_title("Windows per second")
    speed.set_ylim(bottom=0)
    scores.set_title("Development scores, %")
    if not scores.lines:
        scores.text(
            0.5,
            0.5,
            "not measured during this run",
            transform=scores.transAxes,
            ha="center",
            color=theme.quiet,
        )
        scores.set_xticks([])
        scores.set_yticks([])
    for part in (loss, rate, speed, scores):
        _mark_stages(part, theme, begins, offset, named=part is speed)
    legend_above(loss, 3)
    legend_above(scores, 2)


def _mark_stages(axes: Axes, theme: Theme, begins: list[tuple[int, str]], end: int, *, named: bool) -> None:
    """Marks where each stage begins; `named` adds its name at the bottom, for axes whose curve is never there."""
    axes.set_xlim(0, end)
    axes.set_xlabel("step")
    for begin, name in begins if len(begins) > 1 else ():
        if begin:
            axes.axvline(begin, color=theme.quiet, linewidth=1.0, linestyle=":")
        if named:
            axes.annotate(
                name,
                (begin, 0.0),
                xycoords=("data", "axes fraction"),
                xytext=(4, 4),
                textcoords="offset points",
                color=theme.quiet,
                fontsize=8,
                bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 0.6},
            )


def _label_decades(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis: at its decades, and between them if the axis spans hardly one."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = axes.get_ylim()
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain if high < 12 * low else NullFormatter())


def _by_kind(terms: dict[str, list[float | None]]) -> dict[str, list[float]]:
    """The terms of a loss by kind, those of its layers (`hidden.3`) summed."""
    kinds: dict[str, list[list[float]]] = {}
    for name, values in terms.items():
        kinds.setdefault(name.split(".")[0], []).append(_numbers(values))
    return {kind: [sum(step) for step in zip(*parts, strict=True)] for kind, parts in kinds.items()}


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _layers_size(layers: dict[str, Any]) -> tuple[float, float]:
    rows, columns = len(layers["hidden"]), len(layers["hidden"][0])
    n = 2 if layers.get("attention") else 1
    return n * (1.6 + 0.42 * columns), 1.7 + 0.36 * rows


def _layers(figure: Figure, layers: dict[str, Any]) -> None:
    parts = [("hidden", "Hidden states (1 - CKA)", 0)]
    if layers.get("attention"):
        parts.append(("attention", "Attention (total variation)", 1))
    for axes, (name, title, first) in zip(
        figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True
    ):
        values = layers[name]
        axes.imshow(values, cmap="cividis_r", vmin=0.0, vmax=1.0, aspect="auto")
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                shown = f"{value:.2f}".removeprefix("0")
                colour = "#ffffff" if value > 0.55 else "#000000"
                axes.text(column, row, shown, ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(values[0])), [str(n + first) for n in range(len(values[0]))])
        axes.set_yticks(range(len(values)), [str(n + first) for n in range(len(values))])
        axes.grid(visible=False)
        axes.set(xlabel="layer of the teacher", ylabel="layer of this reader")
        axes.set_title(title)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n (Wilson, 1927)."""
    z = 1.96
    centre, spread = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
