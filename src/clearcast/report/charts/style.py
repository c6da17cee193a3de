"""Style of the charts, and their output as PNG beside the page and as SVG inside it."""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clearcast.core.evidence_schema import Stage
from clearcast.core.files import replace_file
from clearcast.noise.registry import NoiseType
from clearcast.report.run_reader import RunResults

# Okabe and Ito's colours, safe for colour-blind readers. In the page each becomes a variable of the style sheet, so
# that charts follow its light, dark and print themes.
INK, MUTED, GRID, PAPER = "#1d2733", "#5b6875", "#d5dbe1", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#aa4499"
SQUARE, MIDDLE, WIDE = 2.9, 3.8, 8.0  # inches; wide figures take the whole width of the page
IMAGE_SIDE = 2.2  # inches of an image in a contact sheet
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
}
apply_style = mpl.rc_context(
    {
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.facecolor": PAPER,
        "legend.edgecolor": "none",
    }
)
# Names of all charts that any run can have; other files in the folder of figures are not removed.
_STAGE_CHARTS = ("confusion", "roc", "learning", "calibration", "operating", "retake")
CHART_NAMES = frozenset(
    {
        "accuracy",
        "denoising-gain",
        "differences",
        *(f"{stage}-{figure}" for stage in Stage for figure in _STAGE_CHARTS),
        *(f"robustness-{noise}" for noise in NoiseType),
    }
)


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Axes]:
    """Make an empty figure, size in inches, on its own canvas (without pyplot), and return it with its first axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes[0, 0]


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG atomically."""
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=150, facecolor=PAPER, metadata={"Software": None})


def add_legend_below(figure: Figure, axes: Iterable[Axes], columns: int = 1) -> None:
    """Add one legend below the figure, where it hides no curve, with each name once."""
    pairs = (zip(*reversed(each.get_legend_handles_labels()), strict=True) for each in axes)
    marks = {name: mark for pair in pairs for name, mark in pair}
    figure.legend(marks.values(), marks.keys(), loc="outside lower left", fontsize=8, handlelength=1.4, ncols=columns)


def save_png_and_svg(figure: Figure, path: Path) -> Markup:
    """Write a figure as PNG and return it as SVG with the colours and font of the page."""
    figure.savefig(path, dpi=200, facecolor=PAPER, metadata={"Software": None})
    figure.set_layout_engine("none")  # PNG and SVG share one layout, computed once
    buffer = io.StringIO()
    # The salt makes identifiers unique within the page and reproducible.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", facecolor="none", metadata=no_metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg.replace("xlink:href", "href"))


@dataclass(frozen=True)
class Chart:
    """A chart inside the page, with a description for screen readers. ``name``: of its file, without the suffix."""

    name: str
    caption: str
    description: str
    svg: Markup
    wide: bool


def make_chart(run: RunResults, name: str, caption: str, description: str, figure: Figure) -> Chart:
    """Write a figure into the run's folder of figures, and make its chart for the page."""
    svg = save_png_and_svg(figure, run.folder / "figures" / f"{name}.png")
    return Chart(name, caption, description, svg, wide=bool(figure.get_figwidth() > MIDDLE))


def remove_stale_charts(folder: Path, charts: Iterable[Chart]) -> None:
    """Remove figures of an earlier page that this one does not have; other files stay."""
    for name in CHART_NAMES - {chart.name for chart in charts}:
        (folder / f"{name}.png").unlink(missing_ok=True)
