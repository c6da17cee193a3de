"""Terminal tables and contact sheets of a benchmark."""

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
from clearcast.evaluation.measures import CLASSIFICATION_MEASURES, QUALITY_MEASURES
from clearcast.imaging import Channels
from clearcast.report.charts.style import PICTURE_SIDE, empty, save
from clearcast.report.numbers import DASH, decimal, measured

_IMAGE_MEASURES = {"psnr": QUALITY_MEASURES["psnr"], "ssim": QUALITY_MEASURES["ssim"]}


def benchmark_tables(result: Benchmark) -> list[Table]:
    """Tabulate PSNR, SSIM and, if there are classifiers, their verdicts, with 95% intervals over parts."""
    about = result.about
    rows = f"{about['measured_images']} images of {about['measured_parts']} parts"
    tables = [
        _table(f"{info.label} ({rows}, grey)", result, about["denoisers"], measure, info.decimals)
        for measure, info in _IMAGE_MEASURES.items()
    ]
    chosen = ", ".join(f"{name} for {NoiseType(kind).display_name}" for kind, name in about["best_by_type"].items())
    tables[0].caption = f"{BY_TYPE}: {chosen}, chosen on these images for a known noise type."
    for measure in VERDICT if about["judges"] else ():
        info = CLASSIFICATION_MEASURES[measure]
        tables.append(_table(f"Verdicts: {info.name} ({rows})", result, about["judges"], measure, info.decimals))
    threads = "threads: PyTorch {torch}, OpenCV {opencv}".format(**about["threads"])
    tables[-1].caption = f"ms: median time of one image, in memory; {threads}."
    return tables


def write_contact_sheets(result: Benchmark) -> list[Path]:
    """Draw ``contact-TYPE.png`` for each noise type: test images, noisy, denoised by each method, and noise-free."""
    names = [name for name in result.about["denoisers"] if name != BY_TYPE] + [REFERENCE]
    written = []
    for kind, rows in result.about["examples"].items():
        sheet, _ = empty(PICTURE_SIDE * len(names), PICTURE_SIDE * len(rows) + 0.3, len(rows), len(names))
        for place, axes in enumerate(sheet.axes):
            row, name = rows[place // len(names)], names[place % len(names)]
            _draw_image(axes, result.folder / "pictures" / f"{row}-{name}.png", name if place < len(names) else "")
        path = result.folder / f"contact-{kind}.png"
        save(sheet, path)
        written.append(path)
    return written


def _table(title: str, result: Benchmark, names: list[str], measure: str, digits: int) -> Table:
    noise_types = _noise_types(result)
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    for heading in ("ms", *(noise if noise == ALL else NoiseType(noise).display_name for noise in noise_types)):
        table.add_column(heading, justify="right")
    lines = {
        (line["contender"], line["noise_type"]): line
        for line in result.figures.to_dict("records")
        if line["measure"] == measure
    }
    for name in names:
        found = [lines.get((name, noise)) for noise in noise_types]
        cells = [measured(_figure(line), digits) if line else DASH for line in found]
        table.add_row(name, decimal(lines[name, ALL]["ms"], 1), *cells)
    return table


def _noise_types(result: Benchmark) -> list[str]:
    return [noise for noise in (ALL, *NoiseType) if (result.figures["noise_type"] == noise).any()]


def _figure(line: Mapping[Hashable, Any]) -> Measured:
    value, low, high = (None if math.isnan(line[end]) else float(line[end]) for end in ("value", "low", "high"))
    return {"value": value, "low": low, "high": high}


def _draw_image(axes: Axes, path: Path, title: str) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    if path.exists():
        axes.imshow(imaging.load(path, Channels.GREY), cmap="gray", vmin=0, vmax=255)
