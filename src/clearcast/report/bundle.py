"""What a bundle shows after training: a table for the terminal, and a figure of sampled test images."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from rich.table import Table

from clearcast.bundle.samples import SampleRow
from clearcast.evaluation.stage import Stage
from clearcast.report.charts.style import PICTURE_SIDE, empty, save
from clearcast.report.evaluated import add_restoration
from clearcast.report.numbers import DASH, measured
from clearcast.runtime.manifest import Manifest

SAMPLES = "samples.png"
_VERDICTS = {
    Stage.REFERENCE: "verdict on noise-free images",
    Stage.NOISY: "verdict on noisy images",
    Stage.DENOISED: "verdict on denoised images",
}


def bundle_table(manifest: Manifest) -> Table:
    """Tabulate the test metrics with 95% confidence intervals over parts."""
    evidence = manifest["measured"]
    rows = f"{evidence['images']} test images of {evidence['parts']} parts"
    added = ", with noise added, since none is noisy" if manifest.get("noise_made_anew") else ""
    table = Table("", "noise", "noisy", "denoised", title=f"Measured on {rows}{added}", title_justify="left")
    add_restoration(table, evidence, ("psnr", "ssim"))
    stages = evidence["classification"]
    table.add_row("noise type, accuracy", "all", measured(stages[Stage.NOISE_TYPE]["accuracy"], 3), DASH)
    distilled = manifest["recipe"] == "glance"  # such a bundle classifies noisy images directly
    titles = _VERDICTS | ({Stage.DENOISED: "verdict on noisy images, distilled"} if distilled else {})
    for stage, title in titles.items():
        for measure in ("roc_area", "accuracy") if stage in stages else ():
            figure = measured(stages[stage][measure], 3)
            cells = (DASH, figure) if stage is Stage.DENOISED and not distilled else (figure, DASH)
            table.add_row(f"{title}, {measure.replace('_', ' ')}", "all", *cells)
    return table


def write_samples(folder: Path, samples: Sequence[SampleRow]) -> Path:
    """Draw sampled test rows into a folder: the noisy, denoised and noise-free images, and where a defect is found."""
    columns = 4 if samples[0].heat_map is not None else 3
    sheet, _ = empty(PICTURE_SIDE * columns, (PICTURE_SIDE + 0.25) * len(samples), len(samples), columns)
    for place, sample in enumerate(samples):
        _draw_row(sheet.axes[place * columns : (place + 1) * columns], sample)
    save(sheet, folder / SAMPLES)
    return folder / SAMPLES


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
