"""Measure a new bundle's networks on its test rows, with confidence intervals."""

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from clearcast import imaging
from clearcast.bundle.ground import Ground
from clearcast.bundle.lines import line_of, verdict_columns
from clearcast.bundle.networks import Distilled, Networks, is_defect, judge, predict_distilled, predict_networks
from clearcast.domain import NoiseType, Subset
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.folder import PREDICTIONS, write_json, write_table
from clearcast.imaging import Channels, Picture
from clearcast.noise import DEFAULT_RANGES, after_jpeg, corrupt, sample_level
from clearcast.progress import progress_bar

_KINDS = tuple(DEFAULT_RANGES)
_QUALITY = 80  # of JPEG, as "clearcast corrupt" writes noisy images


def measure(
    networks: Networks | Distilled, ground: Ground, crossfitted: pd.DataFrame, *, seed: int, console: Console
) -> Evidence:
    """Write ``predictions.csv``, ``validation.csv`` and ``evidence.json`` to the bundle, and return the evidence.

    If no test row is noisy, noise is added to the reference images, one noise type each, in turn.

    Args:
        networks: trained.
        ground: its test rows are measured.
        crossfitted: out-of-fold predictions of the classifier on training rows, to choose thresholds; may be empty.
        seed: of the bootstrap, and of the added noise.
        console: shows progress.
    """
    rows = _test_rows(ground, seed)
    lines = []
    with progress_bar(console, "Measuring test images") as progress:
        for row in rows:
            lines.append(row | _columns(networks, *pictures_of(row, ground.rows.sheet.root, networks.channels)))
            progress(len(lines), len(rows))
    table, path = pd.DataFrame(lines).round(6), ground.folder.path
    write_table(path / PREDICTIONS[Subset.TEST], table)
    if not crossfitted.empty:
        write_table(path / PREDICTIONS[Subset.VALIDATION], crossfitted.round(6))
    chosen_by = None if crossfitted.empty else crossfitted
    evidence = gather_evidence(table, chosen_by, None, Wishes(), seed=seed)
    write_json(path / "evidence.json", evidence)
    return evidence


def pictures_of(row: Mapping[Hashable, Any], root: Path, channels: Channels) -> tuple[Picture, Picture | None]:
    """Return the noisy image of a row of ``predictions.csv``, and its reference image, if it is known.

    If the row has a ``noise_seed``, the noisy image is made from the reference image; it is the same each time.

    Args:
        row: of the table.
        root: the folder that its paths are relative to.
        channels: colour or grey.
    """
    reference = imaging.load(root / str(row["reference"]), channels) if row["reference"] else None
    if "noise_seed" not in row or reference is None:
        return imaging.load(root / str(row["noisy"]), channels), reference
    rng = np.random.default_rng((int(row["noise_seed"]), int(row["row"])))
    level = sample_level(DEFAULT_RANGES[NoiseType(str(row["noise_type"]))], rng, reference.shape)
    return after_jpeg(corrupt(reference, level, rng), _QUALITY), reference


def _test_rows(ground: Ground, seed: int) -> list[dict[Hashable, Any]]:
    """Return the columns of each test row that are known before measuring."""
    listed: list[dict[Hashable, Any]] = []
    for place, (row, part) in enumerate(zip(ground.rows_of(Subset.TEST), ground.groups_of(Subset.TEST), strict=True)):
        kind = _KINDS[place % len(_KINDS)] if ground.adds_test_noise else row.noise_type
        known: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
        known |= {"label": str(row.label), "noise_type": str(kind)}
        if ground.adds_test_noise:
            known["noise_seed"] = seed
        listed.append(known)
    return listed


def _columns(networks: Networks | Distilled, noisy: Picture, reference: Picture | None) -> dict[Hashable, Any]:
    """Return the prediction columns of a noisy image; for comparison also those of its reference image."""
    if isinstance(networks, Distilled):
        predict = partial(predict_distilled, networks, denoise=False)
        return line_of(noisy, predict_distilled(networks, noisy), reference, predict)
    line = line_of(noisy, predict_networks(networks, noisy), reference, partial(predict_networks, networks))
    if networks.verdicts is None:
        return line
    log_odds, _ = judge(networks.verdicts, noisy)  # without denoising, for comparison
    return line | verdict_columns(Stage.NOISY, log_odds, is_defect(networks.verdicts.facts, log_odds))
