"""Contact sheets of a benchmark and of a bundle's test rows, and the benchmark's terminal tables."""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from rich.table import Table

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.evidence_schema import ValueWithCI
from clearcast.evaluation.benchmark.scoring import (
    ALL_TYPES_KEY,
    BEST_BY_TYPE,
    CLASSIFICATION_METRICS,
    REFERENCE_NAME,
)
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, QUALITY_MEASURES
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.samples import SampleRow
from clearcast.report.charts.style import IMAGE_SIDE, new_figure, save_png
from clearcast.report.formatting import DASH, format_decimal, format_value_with_ci

if TYPE_CHECKING:
    from clearcast.evaluation.benchmark.benchmark_runner import BenchmarkResult

_IMAGE_MEASURES = {"psnr": QUALITY_MEASURES["psnr"], "ssim": QUALITY_MEASURES["ssim"]}
SAMPLES_FIGURE = "samples.png"


def make_benchmark_tables(result: "BenchmarkResult") -> list[Table]:
    """Tabulate PSNR, SSIM and, if there are classifiers, their verdicts, with 95% intervals over parts."""
    metadata = result.metadata
    rows = f"{metadata['measured_images']} images of {metadata['measured_parts']} parts"
    tables = [
        _benchmark_table(f"{info.label} ({rows}, grey)", result, metadata["denoisers"], measure, info.decimals)
        for measure, info in _IMAGE_MEASURES.items()
    ]
    chosen = ", ".join(f"{name} for {NoiseType(kind).display_name}" for kind, name in metadata["best_by_type"].items())
    tables[0].caption = f"{BEST_BY_TYPE}: {chosen}, chosen on these images for a known noise type."
    for measure in CLASSIFICATION_METRICS if metadata["judges"] else ():
        info = CLASSIFICATION_MEASURES[measure]
        tables.append(
            _benchmark_table(f"Verdicts: {info.name} ({rows})", result, metadata["judges"], measure, info.decimals)
        )
    threads = "threads: PyTorch {torch}, OpenCV {opencv}".format(**metadata["threads"])
    tables[-1].caption = f"ms: median time of one image, in memory; {threads}."
    return tables


def write_contact_sheets(result: "BenchmarkResult") -> list[Path]:
    """Draw ``contact-TYPE.png`` for each noise type: test images, noisy, denoised by each method, and noise-free."""
    names = [name for name in result.metadata["denoisers"] if name != BEST_BY_TYPE] + [REFERENCE_NAME]
    written = []
    for kind, rows in result.metadata["examples"].items():
        sheet, _ = new_figure(IMAGE_SIDE * len(names), IMAGE_SIDE * len(rows) + 0.3, len(rows), len(names))
        for index, axes in enumerate(sheet.axes):
            row, name = rows[index // len(names)], names[index % len(names)]
            _draw_image(axes, result.folder / "pictures" / f"{row}-{name}.png", name if index < len(names) else "")
        path = result.folder / f"contact-{kind}.png"
        save_png(sheet, path)
        written.append(path)
    return written


def _benchmark_table(title: str, result: "BenchmarkResult", names: list[str], measure: str, digits: int) -> Table:
    noise_types = _noise_types(result)
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    for heading in (
        "ms",
        *(noise if noise == ALL_TYPES_KEY else NoiseType(noise).display_name for noise in noise_types),
    ):
        table.add_column(heading, justify="right")
    lines = {
        (line["contender"], line["noise_type"]): line
        for line in result.figures.to_dict("records")
        if line["measure"] == measure
    }
    for name in names:
        values = [lines.get((name, noise)) for noise in noise_types]
        cells = [format_value_with_ci(_value_with_ci(line), digits) if line else DASH for line in values]
        table.add_row(name, format_decimal(lines[name, ALL_TYPES_KEY]["ms"], 1), *cells)
    return table


def _noise_types(result: "BenchmarkResult") -> list[str]:
    return [noise for noise in (ALL_TYPES_KEY, *NoiseType) if (result.figures["noise_type"] == noise).any()]


def _value_with_ci(line: Mapping[Hashable, Any]) -> ValueWithCI:
    value, low, high = (None if math.isnan(line[end]) else float(line[end]) for end in ("value", "low", "high"))
    return {"value": value, "low": low, "high": high}


def _draw_image(axes: Axes, path: Path, title: str) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    if path.exists():
        axes.imshow(imaging.load_image(path, Channels.GREY), cmap="gray", vmin=0, vmax=255)


def draw_sample_rows(folder: Path, samples: Sequence[SampleRow]) -> Path:
    """Draw sampled test rows into a folder: the noisy, denoised and noise-free images, and where a defect is found."""
    columns = 4 if samples[0].heat_map is not None else 3
    sheet, _ = new_figure(IMAGE_SIDE * columns, (IMAGE_SIDE + 0.25) * len(samples), len(samples), columns)
    for index, sample in enumerate(samples):
        _draw_row(sheet.axes[index * columns : (index + 1) * columns], sample)
    save_png(sheet, folder / SAMPLES_FIGURE)
    return folder / SAMPLES_FIGURE


def _draw_row(axes: list[Axes], sample: SampleRow) -> None:
    decibels = f", {sample.psnr:.1f} dB" if sample.psnr is not None else ""
    titles = (
        f"{sample.noise_type.display_name}: predicted {sample.predicted_noise_type.display_name}",
        f"denoised{decibels}",
        "noise-free: unknown" if sample.reference is None else "noise-free",
    )
    images = (sample.noisy, sample.denoised, sample.reference)
    for each, image, title in zip(axes, images, titles, strict=False):
        titled = _titled(each, title)
        if image is not None:
            titled.imshow(image, cmap="gray", vmin=0, vmax=255)
    if sample.heat_map is not None:
        last = _titled(axes[-1], f"{sample.label}: predicted {'defect' if sample.defect else 'ok'}")
        last.imshow(sample.denoised, cmap="gray", vmin=0, vmax=255)
        last.imshow(sample.heat_map, cmap="autumn", alpha=0.6 * sample.heat_map, vmin=0, vmax=1)


def _titled(axes: Axes, title: str) -> Axes:
    axes.set_axis_off()
    axes.set_title(title, fontsize=8)
    return axes
