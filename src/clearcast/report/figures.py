"""A figure's place in the page, and the names that figures have in a run's folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from clearcast.domain import NoiseType
from clearcast.evaluation.stage import Stage
from clearcast.report.charts.style import MIDDLE, keep
from clearcast.report.sources import Run

# The names of all figures that some run has: what else lies in a run's folder of figures is somebody else's.
_OF_A_STAGE = ("confusion", "roc", "learning", "calibration", "operating", "retake")
FIGURES = frozenset(
    {
        "accuracy",
        "denoising-gain",
        "differences",
        *(f"{stage}-{figure}" for stage in Stage for figure in _OF_A_STAGE),
        *(f"robustness-{noise}" for noise in NoiseType),
    }
)


@dataclass(frozen=True)
class Chart:
    """A figure inside the page, with what it shows in words. ``name`` is that of its file, without the ending."""

    name: str
    caption: str
    words: str
    svg: Markup
    wide: bool


def chart(run: Run, name: str, caption: str, words: str, figure: Figure) -> Chart:
    """Write a figure into the run's folder of figures, and keep it for the page."""
    svg = keep(figure, run.folder / "figures" / f"{name}.png")
    return Chart(name, caption, words, svg, wide=bool(figure.get_figwidth() > MIDDLE))


def remove_stale(folder: Path, charts: Iterable[Chart]) -> None:
    """Remove figures of an earlier page that this one does not have; files with other names are not ours."""
    for name in FIGURES - {chart.name for chart in charts}:
        (folder / f"{name}.png").unlink(missing_ok=True)
