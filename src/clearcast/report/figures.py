"""Charts of the page, and the names of their files in a run folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from clearcast.domain import NoiseType
from clearcast.evaluation.stage import Stage
from clearcast.report.charts.style import MIDDLE, keep
from clearcast.report.sources import Run

# The names of all charts that any run can have. Other files in the folder of figures are not ours.
_STAGE_CHARTS = ("confusion", "roc", "learning", "calibration", "operating", "retake")
FIGURES = frozenset(
    {
        "accuracy",
        "denoising-gain",
        "differences",
        *(f"{stage}-{figure}" for stage in Stage for figure in _STAGE_CHARTS),
        *(f"robustness-{noise}" for noise in NoiseType),
    }
)


@dataclass(frozen=True)
class Chart:
    """A chart inside the page, with a description in words. ``name`` is that of its file, without the suffix."""

    name: str
    caption: str
    words: str
    svg: Markup
    wide: bool


def chart(run: Run, name: str, caption: str, words: str, figure: Figure) -> Chart:
    """Write a figure into the run's folder of figures, and make its chart for the page."""
    svg = keep(figure, run.folder / "figures" / f"{name}.png")
    return Chart(name, caption, words, svg, wide=bool(figure.get_figwidth() > MIDDLE))


def remove_stale(folder: Path, charts: Iterable[Chart]) -> None:
    """Remove figures of an earlier page that this one does not have; other files stay."""
    for name in FIGURES - {chart.name for chart in charts}:
        (folder / f"{name}.png").unlink(missing_ok=True)
