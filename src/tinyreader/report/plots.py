"""How plots are drawn and saved: light and dark, as PNG and SVG, and as SVG whose colours follow the page.

The colours can be distinguished with every kind of colour vision (Okabe and Ito, 2008) and never stand alone:
lines also differ in their dashes, points in their shapes. matplotlib is loaded when the first plot is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyreader.errors import MissingExtraError
from tinyreader.report.record import PLOTS
from tinyreader.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 144


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a plot: background, text, secondary text, grid lines, and four for data."""

    paper: str
    ink: str
    quiet: str
    grid: str
    one: str
    two: str
    three: str
    four: str


LIGHT = Theme("#fffffe", "#1f2328", "#59636e", "#d8dee4", "#0072b2", "#d55e00", "#008f68", "#a3528a")
DARK = Theme("#0e1117", "#e6edf3", "#9aa4af", "#30363d", "#56b4e9", "#f0a030", "#35c79f", "#e39ac6")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1.5, 1, 1.5)))
MARKS = ("o", "s", "^", "D")


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: the name of its files, what it shows in words, its size in inches, and how it is drawn."""

    name: str
    says: str
    size: tuple[float, float]
    draw: Callable[[Figure, Theme], None]


def require_matplotlib() -> None:
    """Raises `MissingExtraError` where matplotlib is not installed: before work is spent."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("drawing plots", "report") from error


def save(plots: Sequence[Plot], directory: Path) -> dict[str, str]:
    """Writes NAME.svg, NAME.png, NAME-dark.svg and NAME-dark.png of each plot under `directory`/plots;
    returns each one's SVG for the page by name, with colours that are the page's CSS variables (`--ink`,
    `--one`, ...).
    """
    require_matplotlib()
    folder, on_page = directory / PLOTS, {}
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        svg, png = _render(plot, LIGHT, with_svg=True)
        _, dark_png = _render(plot, DARK, with_svg=False)
        dark_svg = _recoloured(svg, asdict(DARK))
        for name, content in (
            (f"{plot.name}.svg", svg.encode()),
            (f"{plot.name}-dark.svg", dark_svg.encode()),
            (f"{plot.name}.png", png),
            (f"{plot.name}-dark.png", dark_png),
        ):
            with atomic_path(folder / name) as path:
                path.write_bytes(content)
        variables = {name: f"var(--{name})" for name in asdict(LIGHT)}
        on_page[plot.name] = _for_page(_recoloured(svg, variables), plot)
    return on_page


def _render(plot: Plot, theme: Theme, *, with_svg: bool) -> tuple[str, bytes]:
    """The plot as SVG (empty without `with_svg`) and as PNG; the same plot gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style(theme, plot.name)):
        figure = Figure(figsize=plot.size, layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure, theme)
        vector, raster = io.StringIO(), io.BytesIO()
        if with_svg:
            figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # the layout is final; repeating it takes longer than drawing
        figure.savefig(
            raster, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 4}
        )
    return vector.getvalue(), raster.getvalue()


def _style(theme: Theme, salt: str) -> Any:
    return {
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "text.color": theme.ink,
        "axes.labelcolor": theme.quiet,
        "axes.titlecolor": theme.ink,
        "axes.edgecolor": theme.grid,
        "xtick.color": theme.grid,
        "ytick.color": theme.grid,
        "xtick.labelcolor": theme.quiet,
        "ytick.labelcolor": theme.quiet,
        "axes.grid": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.labelsize": 9,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "font.size": 9,
        "font.family": "sans-serif",
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
        "lines.linewidth": 1.8,
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "axes.unicode_minus": False,
        "text.parse_math": False,
    }


def _recoloured(svg: str, colours: Mapping[str, str]) -> str:
    """The SVG of the light theme in other colours."""
    for name, colour in asdict(LIGHT).items():
        svg = svg.replace(colour, colours[name])
    return svg


def _for_page(svg: str, plot: Plot) -> str:
    """The SVG for inlining in a page: no XML prologue, ids that no other plot has, a label for screen readers."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{plot.name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{plot.name}-", body)
    says = escape(plot.says)
    return body.replace("<svg ", f'<svg role="img" aria-label="{says}" class="plot" ', 1)


def lines(axes: Axes, theme: Theme, x: Sequence[float], series: Mapping[str, Sequence[float | None]]) -> None:
    """Draws up to four series over `x` that differ in colour and dashes; None leaves a gap."""
    colours = (theme.one, theme.two, theme.three, theme.four)
    for (label, values), colour, dashes in zip(series.items(), colours, DASHES, strict=False):
        shown = [float("nan") if value is None else value for value in values]
        axes.plot(x, shown, color=colour, linestyle=dashes, label=label)


def legend_above(axes: Axes, columns: int = 4) -> None:
    """A legend above the axes and below the title, where it covers no data."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2, handlelength=2.4
        )
        axes.set_title(axes.get_title(loc="left"), loc="left", pad=8 + 15 * -(-len(handles) // columns))
