"""Measurement of a bundle on the test rows: ``predictions.csv``, ``validation.csv`` and the evidence."""

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.evidence_schema import Evidence, Stage
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.metrics.prediction_table import prediction_columns, verdict_columns
from clearcast.noise import DEFAULT_NOISE_RANGES, compress_as_jpeg, corrupt_image, sample_noise
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.networks import (
    BundleNetworks,
    DistilledNetworks,
    classify_image,
    is_defect,
    predict_image,
    predict_image_distilled,
)
from clearcast.pipelines.training_data import TrainingData
from clearcast.train.run_directory import PREDICTION_FILES, write_json, write_run_csv
from clearcast.types import Subset

_ADDED_NOISE_TYPES = tuple(DEFAULT_NOISE_RANGES)
_JPEG_QUALITY = 80  # as "clearcast corrupt" writes noisy images


def measure_bundle(
    networks: BundleNetworks | DistilledNetworks,
    data: TrainingData,
    crossfitted: pd.DataFrame,
    *,
    seed: int,
    console: Console,
) -> Evidence:
    """Write ``predictions.csv``, ``validation.csv`` and ``evidence.json`` to the bundle, and return the evidence.

    If no test row is noisy, noise is added to the reference images; the noise types take turns.

    Args:
        networks: in evaluation mode.
        data: has the test rows.
        crossfitted: out-of-fold predictions of the classifier on training rows, to choose thresholds; may be empty.
        seed: of the bootstrap, and of the added noise.
        console: shows progress.
    """
    rows, root = _test_rows(data, seed), data.rows.sheet.root
    measured = []
    with show_progress(console, "Measuring test images") as progress:
        for row in rows:
            measured.append(row | _predicted_columns(networks, *load_row_images(row, root, networks.channels)))
            progress(len(measured), len(rows))
    table, path = pd.DataFrame(measured).round(6), data.run.path
    write_run_csv(path / PREDICTION_FILES[Subset.TEST], table)
    if not crossfitted.empty:
        write_run_csv(path / PREDICTION_FILES[Subset.VALIDATION], crossfitted.round(6))
    validation = None if crossfitted.empty else crossfitted
    evidence = build_evidence(table, validation, None, DecisionPolicy(), seed=seed)
    write_json(path / "evidence.json", evidence)
    return evidence


def load_row_images(
    row: Mapping[Hashable, Any], root: Path, channels: Channels
) -> tuple[ImageArray, ImageArray | None]:
    """Return the noisy image of a row of ``predictions.csv``, and its reference image, if it is known.

    If the row has a ``noise_seed``, the noisy image is made from the reference image; it is the same each time.

    Args:
        row: has at least the columns ``row``, ``noisy``, ``reference`` and ``noise_type``.
        root: the folder that its paths are relative to.
        channels: colour or grey.
    """
    reference = imaging.load_image(root / str(row["reference"]), channels) if row["reference"] else None
    if "noise_seed" not in row or reference is None:
        return imaging.load_image(root / str(row["noisy"]), channels), reference
    rng = np.random.default_rng((int(row["noise_seed"]), int(row["row"])))
    level = sample_noise(DEFAULT_NOISE_RANGES[NoiseType(str(row["noise_type"]))], rng, reference.shape)
    return compress_as_jpeg(corrupt_image(reference, level, rng), _JPEG_QUALITY), reference


def _test_rows(data: TrainingData, seed: int) -> list[dict[Hashable, Any]]:
    """Return the columns of each test row that are known before measuring."""
    rows: list[dict[Hashable, Any]] = []
    for index, (row, part) in enumerate(zip(data.rows_of(Subset.TEST), data.groups_of(Subset.TEST), strict=True)):
        kind = _ADDED_NOISE_TYPES[index % len(_ADDED_NOISE_TYPES)] if data.adds_test_noise else row.noise_type
        known: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
        known |= {"label": str(row.label), "noise_type": str(kind)}
        if data.adds_test_noise:
            known["noise_seed"] = seed
        rows.append(known)
    return rows


def _predicted_columns(
    networks: BundleNetworks | DistilledNetworks, noisy: ImageArray, reference: ImageArray | None
) -> dict[Hashable, Any]:
    """Return the prediction columns of a noisy image; for comparison also those of its reference image."""
    if isinstance(networks, DistilledNetworks):
        predict = partial(predict_image_distilled, networks, denoise=False)
        return prediction_columns(noisy, predict_image_distilled(networks, noisy), reference, predict)
    columns = prediction_columns(noisy, predict_image(networks, noisy), reference, partial(predict_image, networks))
    if networks.classifier is None:
        return columns
    log_odds, _ = classify_image(networks.classifier, noisy)  # without denoising, for comparison
    return columns | verdict_columns(Stage.NOISY, log_odds, is_defect(networks.classifier.metadata, log_odds))
