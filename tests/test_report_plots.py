"""`report.plots` and `report.figures`: every plot can be read, in both themes, and is the same twice."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import report_samples
from tinyreader.errors import MissingExtraError
from tinyreader.report.machine import counted
from tinyreader.report.plots import DARK, LIGHT, Plot, Theme, _render, _style, require_matplotlib, save

pytest.importorskip("matplotlib", reason="needs matplotlib, which the report extra brings")

from tinyreader.report.figures import NAMES, _best_threshold, figures


def full_report() -> Any:
    """A report that has something for every plot."""
    examples = report_samples.examples(150)
    judged = report_samples.questions(examples, teacher=True)
    return report_samples.report(
        examples, judged, training=report_samples.training(), layers=report_samples.layers()
    )


REPORT = full_report()
PLOTS = list(figures(REPORT))


def luminance(colour: str) -> float:
    """The relative luminance of a colour #rrggbb, as WCAG defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def texts(figure: Any) -> list[Any]:
    """Every text that is drawn: titles, labels, ticks within their axis, legends and notes."""
    found = []
    for axes in figure.axes:
        found += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            found.append(axis.get_offset_text())
        if axes.get_legend():
            found += axes.get_legend().get_texts()
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def test_every_plot_is_there() -> None:
    """A report with everything makes seven plots; one without training, layers and thresholds makes those it
    has data for.
    """
    assert [p.name for p in PLOTS] == [
        "null_threshold",
        "precision_recall",
        "reliability",
        "coverage_risk",
        "slices",
        "training",
        "layers",
    ]
    assert set(NAMES) == {p.name for p in PLOTS}
    bare = replace(
        REPORT, training=None, layers={"note": "no"}, curves=REPORT.curves | {"null_threshold": {}}
    )
    assert [p.name for p in figures(bare)] == ["precision_recall", "reliability", "coverage_risk", "slices"]


def test_no_best_threshold_is_drawn_where_silence_is_best() -> None:
    """The official script says 0 where never answering is best; a line there would stand where F1 is
    another.
    """
    assert _best_threshold({"best_f1": 50.5, "best_f1_thresh": -2.0, "NoAns_total": 1, "total": 2}) == -2.0
    assert _best_threshold({"best_f1": 50.0, "best_f1_thresh": 0.0, "NoAns_total": 1, "total": 2}) is None
    assert _best_threshold({"best_f1": 100.0, "best_f1_thresh": 0.0, "NoAns_total": 2, "total": 2}) is None
    assert _best_threshold({"exact_match": 80.0, "f1": 88.0, "total": 2}) is None


@pytest.mark.parametrize("plot", PLOTS, ids=lambda p: p.name)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_no_text_lies_on_another_or_outside(plot: Plot, theme: Theme) -> None:
    """Labels, titles and legends keep clear of each other and inside the picture."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style(theme, plot.name)):
        figure = Figure(figsize=plot.size, layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure, theme)
        figure.canvas.draw()
        boxes = [(text.get_text(), text.get_window_extent().shrunk(0.98, 0.9)) for text in texts(figure)]
    assert len(boxes) > 8
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} lies on {other!r}"
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_paper(theme: Theme) -> None:
    """Texts reach a contrast of 4.5 and data 3, as WCAG asks for; no two data colours are alike in lightness
    and hue.
    """
    for name in ("ink", "quiet"):
        assert contrast(getattr(theme, name), theme.paper) >= 4.5
    data = [theme.one, theme.two, theme.three, theme.four]
    assert min(contrast(colour, theme.paper) for colour in data) >= 3
    assert len(set(asdict(theme).values())) == len(asdict(theme))


def test_files_of_both_themes_and_an_svg_for_the_page(tmp_path: Path) -> None:
    """Each plot is written as PNG and SVG, light and dark; the page's SVG follows its colours and keeps its
    ids apart.
    """
    on_page = save(PLOTS[:2], tmp_path)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert names == {
        f"{p.name}{dark}.{kind}" for p in PLOTS[:2] for dark in ("", "-dark") for kind in ("png", "svg")
    }
    light, dark_svg = ((tmp_path / "plots" / f"null_threshold{d}.svg").read_text() for d in ("", "-dark"))
    assert LIGHT.one in light
    assert LIGHT.one not in dark_svg
    assert DARK.one in dark_svg
    for name, svg in on_page.items():
        assert svg.startswith('<svg role="img" aria-label=')
        assert "var(--one)" in svg
        assert not any(colour in svg for colour in asdict(LIGHT).values())
        assert f'id="{name}-' in svg
        assert 'href="#m' not in svg


def test_one_core_is_one_core() -> None:
    """Counts of one are in the singular."""
    assert [counted(n, "core") for n in (1, 2, 1200)] == ["1 core", "2 cores", "1,200 cores"]


def test_the_same_report_gives_the_same_bytes() -> None:
    """Drawn twice, a plot is the same to the last byte: no date, no random ids."""
    assert _render(PLOTS[2], DARK, with_svg=True) == _render(PLOTS[2], DARK, with_svg=True)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where matplotlib is missing, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"tinyreader\[report\]"):
        require_matplotlib()
