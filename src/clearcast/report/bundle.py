"""What a bundle shows after training: a table for the terminal, and a sheet of pictures to look at."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from rich.table import Table

from clearcast.bundle.measuring import pictures_of
from clearcast.bundle.networks import Networks, is_defect, judge
from clearcast.domain import NoiseType, Subset
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.folder import PREDICTIONS, read_csv
from clearcast.models.clear.restoring import restore
from clearcast.report.charts.style import PICTURE_SIDE, empty, save
from clearcast.report.evaluated import add_restoration
from clearcast.report.numbers import DASH, measured
from clearcast.runtime.heat import heat_map
from clearcast.runtime.manifest import Manifest

SAMPLES = "samples.png"
_EACH = 3  # pictures of each noise type
_VERDICTS = {
    Stage.REFERENCE: "verdict on noise-free pictures",
    Stage.NOISY: "verdict on noisy pictures as they come",
    Stage.DENOISED: "verdict on restored pictures",
}


def bundle_table(manifest: Manifest) -> Table:
    """The figures on test images, with 95% intervals over parts."""
    evidence = manifest["measured"]
    rows = f"{evidence['images']} test images of {evidence['parts']} parts"
    anew = ", with noise made anew, since none is noisy" if manifest.get("noise_made_anew") else ""
    table = Table("", "noise", "noisy", "restored", title=f"Measured on {rows}{anew}", title_justify="left")
    add_restoration(table, evidence, ("psnr", "ssim"))
    stages = evidence["classification"]
    table.add_row("noise type, accuracy", "all", measured(stages[Stage.NOISE_TYPE]["accuracy"], 3), DASH)
    at_a_glance = manifest["recipe"] == "glance"  # such a bundle judges noisy pictures as they come
    titles = _VERDICTS | ({Stage.DENOISED: "verdict on noisy pictures, at a glance"} if at_a_glance else {})
    for stage, title in titles.items():
        for measure in ("roc_area", "accuracy") if stage in stages else ():
            figure = measured(stages[stage][measure], 3)
            cells = (DASH, figure) if stage is Stage.DENOISED and not at_a_glance else (figure, DASH)
            table.add_row(f"{title}, {measure.replace('_', ' ')}", "all", *cells)
    return table


def write_samples(bundle: Path, networks: Networks, root: Path) -> Path:
    """Draw some test pictures: noisy, restored, noise-free, and where the judge sees a defect.

    Args:
        bundle: the folder; its test rows have been measured.
        networks: its own.
        root: the folder that its sheet's paths are relative to.
    """
    table = read_csv(bundle / PREDICTIONS[Subset.TEST]).fillna({"reference": ""})
    by_type = table.sort_values("psnr_denoised").groupby("noise_type")
    chosen = [group.to_dict("records")[place] for _, group in by_type for place in _spread(len(group))]
    columns = 4 if networks.verdicts else 3
    sheet, _ = empty(PICTURE_SIDE * columns, (PICTURE_SIDE + 0.25) * len(chosen), len(chosen), columns)
    for place, row in enumerate(chosen):
        _draw_row(sheet.axes[place * columns : (place + 1) * columns], networks, row, root)
    save(sheet, bundle / SAMPLES)
    return bundle / SAMPLES


def _spread(count: int) -> list[int]:
    """Places from the worst to the best."""
    return sorted(set(np.linspace(0, count - 1, min(_EACH, count)).round().astype(int).tolist()))


def _draw_row(axes: list[Axes], networks: Networks, row: Mapping[Hashable, Any], root: Path) -> None:
    noisy, reference = pictures_of(row, root, networks.channels)
    restored, _ = restore(networks.restorer, noisy)
    kinds = [NoiseType(str(row[name])).display_name for name in ("noise_type", "said_noise_type")]
    known = reference is not None
    decibels = f", {row['psnr_denoised']:.1f} dB" if known else ""
    titles = f"{kinds[0]}: said {kinds[1]}", f"restored{decibels}", "noise-free" if known else "noise-free: unknown"
    for each, picture, title in zip(axes, (noisy, restored, reference), titles, strict=False):
        shown = _show(each, title)
        if picture is not None:
            shown.imshow(picture, cmap="gray", vmin=0, vmax=255)
    if networks.verdicts:
        log_odds, evidence = judge(networks.verdicts, restored)
        heat = heat_map(evidence, *restored.shape[:2])
        defect = is_defect(networks.verdicts.facts, log_odds)
        last = _show(axes[-1], f"{row['label']}: said {'defect' if defect else 'ok'}")
        last.imshow(restored, cmap="gray", vmin=0, vmax=255)
        last.imshow(heat, cmap="autumn", alpha=0.6 * heat, vmin=0, vmax=1)


def _show(axes: Axes, title: str) -> Axes:
    axes.set_axis_off()
    axes.set_title(title, fontsize=8)
    return axes
