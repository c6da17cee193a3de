"""What a benchmark shows: tables for the terminal, and sheets of pictures side by side."""

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from rich.table import Table

from clearcast import imaging
from clearcast.domain import NoiseType
from clearcast.evaluation.benchmark.figures import ALL, BY_TYPE, VERDICT
from clearcast.evaluation.benchmark.run import REFERENCE, Benchmark
from clearcast.evaluation.evidence.contract import Figure as Measured
from clearcast.imaging import Channels
from clearcast.report.charts.style import PICTURE_SIDE, empty, save
from clearcast.report.numbers import DASH, decimal, measured

_MEASURES = {"psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 3)}


def benchmark_tables(result: Benchmark) -> list[Table]:
    """PSNR, SSIM, and where judges took part their verdicts; with 95% intervals over parts."""
    about, figures = result.about, result.figures
    kinds = [kind for kind in (ALL, *NoiseType) if (figures["noise_type"] == kind).any()]
    rows = f"{about['measured_images']} images of {about['measured_parts']} parts"
    tables = [
        _table(f"{title} in grey ({rows})", result, about["denoisers"], measure, kinds, digits)
        for measure, (title, digits) in _MEASURES.items()
    ]
    chosen = ", ".join(f"{name} for {NoiseType(kind).display_name}" for kind, name in about["best_by_type"].items())
    tables[0].caption = f"{BY_TYPE}: {chosen}, chosen by these very images for one who knows the noise type."
    for measure in VERDICT if about["judges"] else ():
        title = f"Verdict: {measure.replace('_', ' ')} ({rows})"
        tables.append(_table(title, result, about["judges"], measure, kinds, 3))
    threads = "threads: PyTorch {torch}, OpenCV {opencv}".format(**about["threads"])
    tables[-1].caption = f"ms: median of one image, in memory; {threads}."
    return tables


def write_contact_sheets(result: Benchmark) -> list[Path]:
    """Draw of each noise type ``contact-TYPE.png``: some test pictures, noisy, as restored by each, and noise-free."""
    names = [name for name in result.about["denoisers"] if name != BY_TYPE] + [REFERENCE]
    written = []
    for kind, rows in result.about["examples"].items():
        sheet, _ = empty(PICTURE_SIDE * len(names), PICTURE_SIDE * len(rows) + 0.3, len(rows), len(names))
        for place, axes in enumerate(sheet.axes):
            row, name = rows[place // len(names)], names[place % len(names)]
            _draw(axes, result.folder / "pictures" / f"{row}-{name}.png", name if place < len(names) else "")
        path = result.folder / f"contact-{kind}.png"
        save(sheet, path)
        written.append(path)
    return written


def _table(title: str, result: Benchmark, names: list[str], measure: str, kinds: list[str], digits: int) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    for heading in ("ms", *(kind if kind == ALL else NoiseType(kind).display_name for kind in kinds)):
        table.add_column(heading, justify="right")
    lines = {
        (line["contender"], line["noise_type"]): line
        for line in result.figures.to_dict("records")
        if line["measure"] == measure
    }
    for name in names:
        found = [lines.get((name, kind)) for kind in kinds]
        cells = [measured(_figure(line), digits) if line else DASH for line in found]
        table.add_row(name, decimal(lines[name, ALL]["ms"], 1), *cells)
    return table


def _figure(line: Mapping[Hashable, Any]) -> Measured:
    value, low, high = (None if math.isnan(line[end]) else float(line[end]) for end in ("value", "low", "high"))
    return {"value": value, "low": low, "high": high}


def _draw(axes: Axes, picture: Path, title: str) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    if picture.exists():
        axes.imshow(imaging.load(picture, Channels.GREY), cmap="gray", vmin=0, vmax=255)
