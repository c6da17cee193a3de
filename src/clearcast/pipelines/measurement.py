"""Row of ``predictions.csv``: the prediction for a noisy image with known truth, and its measures of image quality."""

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


def prediction_row(
    noisy: ImageArray, prediction: Prediction, reference: ImageArray | None, predict: Callable[[ImageArray], Prediction]
) -> dict[Hashable, Any]:
    """Return the columns of ``predictions.csv`` for one image; see ``evidence/contract.py``.

    Args:
        noisy: uint8 (height, width) or (height, width, 3).
        prediction: for ``noisy``, with the denoised image.
        reference: the reference image, of the same shape; None if it is unknown: the columns that need it are NaN or
            left out.
        predict: gives the prediction for ``reference``, for comparison.
    """
    denoised, noise = prediction.denoised, prediction.noise
    assert denoised is not None
    line: dict[Hashable, Any] = {}
    for which, image in (("noisy", noisy), ("denoised", denoised)):
        quality = None if reference is None else measure_image_quality(image, reference)
        line |= {f"{name}_{which}": getattr(quality, name, math.nan) for name in ("psnr", "ssim", "mse")}
    if reference is not None:
        of_reference = predict(reference)
        line |= {"said_noise_type_reference": of_reference.noise.noise_type.value}
        line |= verdict_columns(Stage.REFERENCE, of_reference.log_odds, of_reference.defect)
    line |= {f"p_{kind}": chance for kind, chance in noise.probabilities.items()}
    line |= {"said_noise_type": noise.noise_type.value}
    if prediction.has_noise_levels:
        line |= {"noise_level": noise.level, "sigma": noise.sigma, "density": noise.density}
    line |= {
        "brightness": measure_brightness(noisy),
        "contrast": measure_contrast(noisy),
        "sharpness": measure_sharpness(denoised),
    }
    images = (noisy, denoised) if reference is None else (noisy, denoised, reference)
    line |= {"blank_band": max(map(measure_blank_band, images))}  # noise may hide it
    return line | verdict_columns(Stage.DENOISED, prediction.log_odds, prediction.defect)


def verdict_columns(stage: Stage, log_odds: float | None, defect: bool | None) -> dict[Hashable, Any]:
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


_KINDS = tuple(DEFAULT_NOISE_RANGES)
_QUALITY = 80  # of JPEG, as "clearcast corrupt" writes noisy images


def measure_bundle(
    networks: BundleNetworks | DistilledNetworks,
    ground: TrainingData,
    crossfitted: pd.DataFrame,
    *,
    seed: int,
    console: Console,
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
    with show_progress(console, "Measuring test images") as progress:
        for row in rows:
            lines.append(row | _columns(networks, *load_row_images(row, ground.rows.sheet.root, networks.channels)))
            progress(len(lines), len(rows))
    table, path = pd.DataFrame(lines).round(6), ground.folder.path
    write_run_csv(path / PREDICTION_FILES[Subset.TEST], table)
    if not crossfitted.empty:
        write_run_csv(path / PREDICTION_FILES[Subset.VALIDATION], crossfitted.round(6))
    chosen_by = None if crossfitted.empty else crossfitted
    evidence = build_evidence(table, chosen_by, None, DecisionPolicy(), seed=seed)
    write_json(path / "evidence.json", evidence)
    return evidence


def load_row_images(
    row: Mapping[Hashable, Any], root: Path, channels: Channels
) -> tuple[ImageArray, ImageArray | None]:
    """Return the noisy image of a row of ``predictions.csv``, and its reference image, if it is known.

    If the row has a ``noise_seed``, the noisy image is made from the reference image; it is the same each time.

    Args:
        row: of the table.
        root: the folder that its paths are relative to.
        channels: colour or grey.
    """
    reference = imaging.load_image(root / str(row["reference"]), channels) if row["reference"] else None
    if "noise_seed" not in row or reference is None:
        return imaging.load_image(root / str(row["noisy"]), channels), reference
    rng = np.random.default_rng((int(row["noise_seed"]), int(row["row"])))
    level = sample_noise(DEFAULT_NOISE_RANGES[NoiseType(str(row["noise_type"]))], rng, reference.shape)
    return compress_as_jpeg(corrupt_image(reference, level, rng), _QUALITY), reference


def _test_rows(ground: TrainingData, seed: int) -> list[dict[Hashable, Any]]:
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


def _columns(
    networks: BundleNetworks | DistilledNetworks, noisy: ImageArray, reference: ImageArray | None
) -> dict[Hashable, Any]:
    """Return the prediction columns of a noisy image; for comparison also those of its reference image."""
    if isinstance(networks, DistilledNetworks):
        predict = partial(predict_image_distilled, networks, denoise=False)
        return prediction_row(noisy, predict_image_distilled(networks, noisy), reference, predict)
    line = prediction_row(noisy, predict_image(networks, noisy), reference, partial(predict_image, networks))
    if networks.verdicts is None:
        return line
    log_odds, _ = classify_image(networks.verdicts, noisy)  # without denoising, for comparison
    return line | verdict_columns(Stage.NOISY, log_odds, is_defect(networks.verdicts.facts, log_odds))
