"""`index.html` of a report: one file with everything in it, which asks nothing of the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from itertools import pairwise
from typing import Any

from tinyreader.data import Example
from tinyreader.report.record import Question, Report, strict
from tinyreader.report.sections import (
    cost,
    examples_section,
    eye_section,
    headline,
    layers_section,
    provenance,
    slices_tables,
)

AROUND = 700
"""Code points of a long context that are shown on each side of an answer."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows of single questions: numbers of questions with their kind of mistake, and views for
    the eye.
    """

    examples: Sequence[Example]
    questions: Sequence[Question]
    worst: Sequence[tuple[int, str]] = ()
    lost: Sequence[tuple[int, str]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    beside_teacher: Mapping[str, int] = field(default_factory=dict)
    eye: Sequence[Mapping[str, Any]] = ()


def page(report: Report, shown: Shown, plots: Mapping[str, str]) -> str:
    """The whole page; `plots` are SVGs by name, as `plots.save` gives them (none: the page does without)."""
    parts = [(title, anchor, body) for title, anchor, body in _parts(report, shown, plots) if body]
    model, data = report.model, report.data
    sections = "\n".join(
        f'<section id="{anchor}">\n<h2>{title}</h2>\n{body}\n</section>' for title, anchor, body in parts
    )
    return _filled(
        _asset("page.html"),
        {
            "title": escape(f"{model['name']} on {data['name']}"),
            "name": escape(str(model["name"])),
            "subtitle": escape(
                f"{data['questions']:,} questions of {data['name']}, {data['answerable']:,} of them "
                "answerable; "
                f"{report.date}"
            ),
            "navigation": " ".join(f'<a href="#{anchor}">{title}</a>' for title, anchor, _ in parts),
            "sections": sections,
            "footer": "Made by tinyreader evaluate. Everything on this page is in report.json and questions.jsonl beside it.",
            "data": _json_in_html({"eye": shown.eye}),
            "style": _asset("page.css"),
            "script": _asset("page.js"),
        },
    )


def _parts(report: Report, shown: Shown, plots: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """Yield title, anchor and body of each section; a body is empty where there is nothing to show."""
    grid = ("null_threshold", "reliability", "coverage_risk", "precision_recall")
    drawn = "".join(f"<div>{plots[name]}</div>" for name in grid if name in plots)
    yield "Scores", "scores", headline(report) + (f'<div class="plots">{drawn}</div>' if drawn else "")
    slices = f'<div class="middle">{plots["slices"]}</div>' if "slices" in plots else ""
    yield "Where it fails", "slices", slices + slices_tables(report)
    contexts = {
        n: marked_context(shown.examples[n], shown.questions[n]) for n, _ in (*shown.worst, *shown.lost)
    }
    yield "What distilling lost", "lost", examples_section(shown, shown.lost, "lost", contexts)
    yield "The worst mistakes", "worst", examples_section(shown, shown.worst, "worst", contexts)
    yield "By eye", "eye", eye_section(shown.eye)
    yield (
        "Training",
        "training",
        f'<div class="wide">{plots["training"]}</div>' if "training" in plots else "",
    )
    layers = f'<div class="wide scroll">{plots["layers"]}</div>' if "layers" in plots else ""
    yield "Layers beside the teacher's", "layers", layers_section(report, layers)
    yield "Cost", "cost", cost(report)
    yield "What was measured, and how", "provenance", provenance(report)


def marked_context(example: Example, question: Question) -> str:
    """The context as HTML, with the gold answers and the reader's best span marked; a long one is cut around
    them.
    """
    text = example.context
    spans = [(a.start, a.end, "gold") for a in example.answers]
    if question.prediction:
        spans.append((question.start, question.end, "said"))
    low = max(0, min((s for s, _, _ in spans), default=0) - AROUND)
    high = min(len(text), max((e for _, e, _ in spans), default=AROUND) + AROUND)
    cuts = sorted({low, high, *(p for s, e, _ in spans for p in (s, e) if low < p < high)})
    pieces = []
    for a, b in pairwise(cuts):
        kinds = sorted({kind for s, e, kind in spans if s <= a and b <= e})
        piece = escape(text[a:b])
        pieces.append(f'<mark class="{" ".join(kinds)}">{piece}</mark>' if kinds else piece)
    return ("… " if low else "") + "".join(pieces) + (" …" if high < len(text) else "")


def _json_in_html(value: Any) -> str:
    """JSON that no HTML parser takes for the end of its script."""
    text = json.dumps(strict(value), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with `{{name}}` replaced, once: what is put in is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _asset(name: str) -> str:
    return files("tinyreader.report").joinpath("assets", name).read_text(encoding="utf-8")
