"""Measurement of a bundle on the test rows: ``predictions.csv``, ``validation.csv`` and the evidence."""

import math
from collections.abc import Callable, Hashable, Mapping
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
from clearcast.core.numbers import sigmoid
from clearcast.inference.image_statistics import (
    measure_blank_band,
    measure_brightness,
    measure_contrast,
    measure_sharpness,
)
from clearcast.inference.prediction import Prediction
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.metrics.image_quality import measure_image_quality
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
from clearcast.types import Label, Subset

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


def prediction_row(
    noisy: ImageArray, prediction: Prediction, reference: ImageArray | None, predict: Callable[[ImageArray], Prediction]
) -> dict[Hashable, Any]:
    """Return the columns of ``predictions.csv`` for one image; see ``clearcast.core.evidence_schema``.

    Args:
        noisy: uint8 (height, width) or (height, width, 3).
        prediction: for ``noisy``, with the denoised image.
        reference: the reference image, of the same shape; None if it is unknown: the columns that need it are NaN or
            left out.
        predict: gives the prediction for ``reference``, for comparison.
    """
    denoised, noise = prediction.denoised, prediction.noise
    assert denoised is not None
    columns = _quality_columns("noisy", noisy, reference) | _quality_columns("denoised", denoised, reference)
    if reference is not None:
        of_reference = predict(reference)
        columns |= {"said_noise_type_reference": of_reference.noise.noise_type.value}
        columns |= _verdict_columns(Stage.REFERENCE, of_reference.log_odds, of_reference.defect)
    columns |= {f"p_{kind}": probability for kind, probability in noise.probabilities.items()}
    columns |= {"said_noise_type": noise.noise_type.value}
    if prediction.has_noise_levels:
        columns |= {"noise_level": noise.level, "sigma": noise.sigma, "density": noise.density}
    columns |= {
        "brightness": measure_brightness(noisy),
        "contrast": measure_contrast(noisy),
        "sharpness": measure_sharpness(denoised),
    }
    images = (noisy, denoised) if reference is None else (noisy, denoised, reference)
    columns |= {"blank_band": max(map(measure_blank_band, images))}  # noise may hide it
    return columns | _verdict_columns(Stage.DENOISED, prediction.log_odds, prediction.defect)


def _quality_columns(name: str, image: ImageArray, reference: ImageArray | None) -> dict[Hashable, Any]:
    """Return the image quality columns of an image; NaN without a reference."""
    quality = None if reference is None else measure_image_quality(image, reference)
    return {f"{measure}_{name}": getattr(quality, measure, math.nan) for measure in ("psnr", "ssim", "mse")}


def _verdict_columns(stage: Stage, log_odds: float | None, defect: bool | None) -> dict[Hashable, Any]:
    """Return the verdict columns of one stage; none without a verdict.

    Args:
        stage: names the columns.
        log_odds: calibrated log-odds of defect.
        defect: whether they exceed the bundle's threshold.
    """
    if log_odds is None or defect is None:
        return {}
    return {
        f"p_defect_{stage}": sigmoid(log_odds),
        f"logit_{stage}": log_odds,
        f"said_{stage}": (Label.DEFECT if defect else Label.OK).value,
    }


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
        return prediction_row(noisy, predict_image_distilled(networks, noisy), reference, predict)
    columns = prediction_row(noisy, predict_image(networks, noisy), reference, partial(predict_image, networks))
    if networks.classifier is None:
        return columns
    log_odds, _ = classify_image(networks.classifier, noisy)  # without denoising, for comparison
    return columns | _verdict_columns(Stage.NOISY, log_odds, is_defect(networks.classifier.metadata, log_odds))
