"""`index.html` of a report: one file with everything in it, which loads nothing from the network.

The markup is in `assets/page.html.j2`; here is what the template is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from tinyreader.data import Example
from tinyreader.progress import duration
from tinyreader.report.languages import OFFICIAL
from tinyreader.report.record import Question, Report, strict
from tinyreader.report.templates import asset, render

AROUND = 700
"""Code points of a long context that are shown on each side of an answer."""

FEW = 50
"""With fewer questions per bin, a calibration error of 0.05 is mostly noise: the share of right answers among
50 varies by 0.07.
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows of single questions.

    `worst` and `lost`: row numbers with the kind of mistake. `counts`, `beside_teacher`: questions per kind,
    as `slices.mistakes` and `slices.with_teacher` give them. `views`: token probabilities and attention.
    """

    examples: Sequence[Example]
    questions: Sequence[Question]
    worst: Sequence[tuple[int, str]] = ()
    lost: Sequence[tuple[int, str]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    beside_teacher: Mapping[str, int] = field(default_factory=dict)
    views: Sequence[Mapping[str, Any]] = ()


def page(report: Report, shown: Shown, plots: Mapping[str, str]) -> str:
    """The whole page; `plots` are SVGs by name, from `plots.save` (empty: a page without plots)."""
    svg = {name: Markup(text) for name, text in plots.items()}
    layers = report.layers or {}
    return render(
        "page.html.j2",
        report=report,
        shown=shown,
        plots=svg,
        sections=_sections(report, shown, plots),
        curves=[
            svg[name]
            for name in ("null_threshold", "reliability", "coverage_risk", "precision_recall")
            if name in svg
        ],
        is_official=report.normalisation == OFFICIAL,
        bin_size=report.data["questions"] / len(report.calibration["bins"]),
        few=FEW,
        all_scores=[
            (name, f"{value:,.4f}" if isinstance(value, float) else f"{value:,}")
            for name, value in report.scores.items()
        ],
        slices={dimension: list(map(_slice_row, rows)) for dimension, rows in report.slices.items()},
        worst=list(_examples(shown, shown.worst)),
        lost=list(_examples(shown, shown.lost)),
        layer_heads=("", *(f"layer {n}" for n in range(len(layers.get("hidden", ()))))),
        layer_rows=[(s["name"], *(f"{v:.3f}" for v in s["hidden"])) for s in layers.get("stages", ())],
        costs=_costs(report),
        machine=[
            *((name, _plain(value)) for name, value in report.machine.items()),
            *report.versions.items(),
            ("reading took", f"{report.speed['reading_seconds']:.1f} s"),
            ("the report took", f"{report.speed['report_seconds']:.1f} s more"),
        ],
        provenance=list(_provenance(report)),
        views=strict(shown.views),
        style=asset("page.css"),
        script=asset("page.js"),
    )


def _sections(report: Report, shown: Shown, plots: Mapping[str, str]) -> dict[str, str]:
    """The title of each section that has something to show, by its anchor."""
    titles = {
        "scores": ("Scores", True),
        "slices": ("Where it fails", True),
        "lost": ("Lost in distillation", shown.lost),
        "worst": ("The worst mistakes", shown.worst),
        "tokens": ("Token by token", shown.views),
        "training": ("Training", "training" in plots),
        "layers": ("Layers beside the teacher's", report.layers is not None),
        "cost": ("Cost", True),
        "provenance": ("What was measured, and how", True),
    }
    return {anchor: title for anchor, (title, is_shown) in titles.items() if is_shown}


def marked_context(example: Example, question: Question) -> Markup:
    """The context as HTML, with the gold answers and the reader's best span marked; a long one is cut around
    them.
    """
    text = example.context
    spans = [(a.start, a.end, "gold") for a in example.answers]
    if question.prediction:
        spans.append((question.start, question.end, "best"))
    low = max(0, min((s for s, _, _ in spans), default=0) - AROUND)
    high = min(len(text), max((e for _, e, _ in spans), default=AROUND) + AROUND)
    cuts = sorted({low, high, *(p for s, e, _ in spans for p in (s, e) if low < p < high)})
    html = Markup("… " if low else "")
    for a, b in pairwise(cuts):
        classes = " ".join(sorted({kind for s, e, kind in spans if s <= a and b <= e}))
        mark = Markup('<mark class="{}">{}</mark>') if classes else Markup("{1}")
        html += mark.format(classes, text[a:b])
    return html + (" …" if high < len(text) else "")


def _examples(shown: Shown, chosen: Iterable[tuple[int, str]]) -> Iterable[dict[str, Any]]:
    """Yield what the page shows of each chosen question."""
    for n, kind in chosen:
        example, question = shown.examples[n], shown.questions[n]
        golds = dict.fromkeys(answer.text for answer in example.answers)
        unanswered = f"no answer (best span: {question.prediction or 'none'})"
        facts = {
            "gold": " | ".join(golds) or "no answer",
            "reader": question.prediction if question.answered else unanswered,
        }
        if question.teacher is not None:
            facts["teacher"] = question.teacher or "no answer"
        facts["confidence"] = f"{100 * question.confidence:.0f} % (null odds {question.null_odds:.2f})"
        facts["id"] = example.id
        yield {
            "kind": kind,
            "question": example.question,
            "confidence": question.confidence,
            "facts": facts,
            "context": marked_context(example, question),
        }


def _slice_row(slice_: Mapping[str, Any]) -> tuple[str, ...]:
    interval = slice_["f1_interval"]
    return (
        slice_["slice"],
        f"{slice_['n']:,}",
        f"{slice_['exact']:.1f}",
        f"{slice_['f1']:.1f}",
        "{:.1f} to {:.1f}".format(*interval) if interval else "",
        f"{100 * slice_['answered']:.0f} %",
        *((f"{slice_['teacher_f1']:.1f}",) if "teacher_f1" in slice_ else ()),
    )


def _costs(report: Report) -> list[tuple[str, str, str]]:
    """Label, value and remark of what the reader takes: time, memory, disk."""
    speed, n = report.speed, report.model.get("parameters")
    one_by_one = [
        (f"Latency {name}", f"{_figure(value)} ms", "one question at a time")
        for name, value in (speed.get("latency_ms") or {}).items()
    ]
    return [
        ("Questions per second", _figure(speed["questions_per_second"]), "in one stream"),
        *one_by_one,
        ("Peak memory", _bytes(speed.get("peak_memory_bytes")), "of the process"),
        (
            "On disk",
            _bytes(report.model.get("size_bytes")),
            "parameters unknown" if n is None else f"{n / 1e6:.1f} million parameters",
        ),
    ]


def _provenance(report: Report) -> Iterable[tuple[str, str]]:
    """Yield what was read by what, with which settings, and how the model was made as far as its run says."""
    for group, values in (("data", report.data), ("reader", report.reader)):
        for name, value in values.items():
            settings = value if isinstance(value, dict) else {name: value}
            yield from ((f"{group}: {key}", _plain(item)) for key, item in settings.items())
    run = report.model.get("run") or {}
    for stage in run.get("stages", ()):
        yield (
            f"trained: stage {stage.get('name')}",
            f"{stage.get('steps', 0):,} steps, {duration(stage.get('seconds', 0.0))}",
        )
    if run.get("finished"):
        yield "trained: finished", str(run["finished"])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _bytes(n: int | None) -> str:
    if n is None:
        return "unknown"
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
