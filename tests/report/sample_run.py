"""A small run directory with everything a study writes, drawn and numbered from one seed; no network is trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.evidence_schema import Stage
from clearcast.metrics.results import (
    ClassificationMetrics,
    ClassificationResult,
    DenoisingResult,
    LayerInfo,
    MeanAndStd,
    QualityMetrics,
    RunInfo,
    StudyMetrics,
    TrainingInfo,
)
from clearcast.noise.registry import NoiseType

NOISES = [NoiseType.GAUSSIAN, NoiseType.SALT_AND_PEPPER, NoiseType.PERIODIC]
HOSTILE = "<b>&\"'.png"
LPIPS_NOTE = "the backbone's weights are not in [cache]; download them once, or name their file"
PUBLISHED: dict[str, dict[str, float]] = {
    "noisy": {"accuracy": 0.7640, "precision": 0.7700, "recall": 0.7640, "f1": 0.7600, "roc_area": 0.84},
    "noise_type": {"accuracy": 0.7320},
    "denoising": {"psnr": 26.07, "ssim": 0.7190, "mse": 0.0054, "lpips": 0.2754},
    "denoised": {"accuracy": 0.8040},
}
TITLES = {
    "reference": "Stage 0: ok or defect on noise-free images (the ceiling)",
    "noisy": "Stage 1: ok or defect on noisy images",
    "noise_type": "Stage 2: noise type",
    "denoising": "Stage 3: denoising",
    "denoised": "Stage 4: ok or defect on denoised images",
    "transfer": "Stage 1's network on denoised images, without retraining",
}
ERRORS = {"reference": 0.1, "noisy": 0.8, "denoised": 0.5, "transfer": 1.2}  # spread of the scores, in logits
CLASSIFIER = [
    LayerInfo(
        name="conv1", kind="Conv2d", details="3→16, kernel 5, stride 4, padding 2", output=[16, 64, 64], parameters=1216
    ),
    LayerInfo(name="pool1", kind="MaxPool2d", details="kernel 2, stride 2", output=[16, 32, 32], parameters=0),
    LayerInfo(name="conv2", kind="Conv2d", details="16→32, kernel 3, padding 1", output=[32, 32, 32], parameters=4640),
    LayerInfo(name="pool2", kind="MaxPool2d", details="kernel 2, stride 2", output=[32, 16, 16], parameters=0),
    LayerInfo(name="conv3", kind="Conv2d", details="32→64, kernel 3, padding 1", output=[64, 16, 16], parameters=18496),
    LayerInfo(name="flatten", kind="Flatten", details="", output=[16384], parameters=0),
    LayerInfo(name="dense1", kind="Linear", details="16384→256", output=[256], parameters=4194560),
    LayerInfo(name="dropout", kind="Dropout", details="rate 0.5", output=[256], parameters=0),
    LayerInfo(name="dense2", kind="Linear", details="256→2", output=[2], parameters=514),
]
DENOISER = [
    LayerInfo(
        name="encode.0", kind="Conv2d", details="3→32, kernel 3, padding 1", output=[32, 256, 256], parameters=896
    ),
    LayerInfo(name="encode.1", kind="MaxPool2d", details="kernel 2", output=[32, 128, 128], parameters=0),
    LayerInfo(
        name="encode.2", kind="Conv2d", details="32→64, kernel 3, padding 1", output=[64, 128, 128], parameters=18496
    ),
    LayerInfo(name="encode.3", kind="MaxPool2d", details="kernel 2", output=[64, 64, 64], parameters=0),
    LayerInfo(name="bottleneck", kind="Conv2d", details="64→128, kernel 3", output=[128, 64, 64], parameters=73856),
    LayerInfo(
        name="decode.0",
        kind="ConvTranspose2d",
        details="128→64, kernel 3, stride 2, padding 1, output padding 1",
        output=[64, 128, 128],
        parameters=32832,
    ),
    LayerInfo(
        name="decode.1", kind="Conv2d", details="64→64, kernel 3, padding 1", output=[64, 128, 128], parameters=36928
    ),
    LayerInfo(
        name="decode.2",
        kind="ConvTranspose2d",
        details="64→32, kernel 2, stride 2",
        output=[32, 256, 256],
        parameters=8224,
    ),
    LayerInfo(
        name="decode.3", kind="Conv2d", details="32→3, kernel 3, padding 1", output=[3, 256, 256], parameters=867
    ),
    LayerInfo(name="squash", kind="Sigmoid", details="", output=[3, 256, 256], parameters=0),
]


@dataclass(frozen=True)
class SampleRun:
    """A written run: its folder, metrics and predictions."""

    folder: Path
    metrics: StudyMetrics
    predictions: pd.DataFrame


def write_sample_run(
    folder: Path, *, rows: int = 24, side: int = 64, stages: tuple[str, ...] = tuple(Stage)
) -> SampleRun:
    """Write a run of ``rows`` test images of ``side`` pixels; one reference is missing, one name is hostile."""
    rng = np.random.default_rng(7)
    data, run = folder / "data", folder / "run"
    predictions = pd.DataFrame([_row(data, run, row, side, rng, stages) for row in range(rows)])
    (data / str(predictions["reference"].iloc[-1])).unlink()
    metrics = StudyMetrics(
        format=1,
        run=_info(data, predictions),
        stages={stage: _stage(stage, predictions) for stage in stages},
    )
    run.mkdir(exist_ok=True)
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    predictions.to_csv(run / "predictions.csv", index=False)
    for stage in stages:
        _write_history(run / stage, stage, rng)
    return SampleRun(run, metrics, predictions)


def _row(
    data: Path, run: Path, row: int, side: int, rng: np.random.Generator, stages: tuple[str, ...]
) -> dict[str, Any]:
    noise, defect = NOISES[row % 3], row % 2 == 1
    name = HOSTILE if row == 0 else f"disk_{row:04}.png"
    reference = _disk(side, defect, rng)
    noisy = _degrade(reference, noise, rng)
    denoised = np.asarray(cv2.bilateralFilter(cv2.medianBlur(noisy, 3), 7, 40, 3), np.uint8)
    imaging.save_image(data / "With-Noise" / name, noisy)
    imaging.save_image(data / "Without-Noise" / name, reference)
    values: dict[str, Any] = {
        "row": row + 2,
        "noisy": f"With-Noise/{name}",
        "reference": f"Without-Noise/{name}",
        "label": "defect" if defect else "ok",
        "noise_type": noise.value,
    }
    for stage in (stage for stage in stages if stage in ERRORS):
        score = 1 / (1 + np.exp(-((2 if defect else -2) + 2.5 * ERRORS[stage] * rng.normal())))
        values |= {f"p_defect_{stage}": score, f"said_{stage}": "defect" if score >= 0.5 else "ok"}
    if "noise_type" in stages:
        probabilities = rng.dirichlet([8 if kind is noise else 2 for kind in NOISES])
        values |= {f"p_{kind.value}": probability for kind, probability in zip(NOISES, probabilities, strict=True)}
        values["said_noise_type"] = NOISES[int(np.argmax(probabilities))].value
    if "denoising" in stages:
        values["denoised"] = f"denoised_pictures/{row + 2}-{Path(name).stem}.png"
        imaging.save_image(run / values["denoised"], denoised)
        values |= _quality_columns("noisy", noisy, reference) | _quality_columns("denoised", denoised, reference)
    return values


def _disk(side: int, defect: bool, rng: np.random.Generator) -> ImageArray:
    image = np.full((side, side, 3), (38, 43, 48), np.uint8)
    centre, radius = (side // 2, side // 2), int(side * 0.42)
    cv2.circle(image, centre, radius, (176, 180, 184), -1, cv2.LINE_AA)
    cv2.circle(image, centre, radius // 3, (88, 94, 100), -1, cv2.LINE_AA)
    cv2.circle(image, centre, radius // 5, (38, 43, 48), -1, cv2.LINE_AA)
    for angle in np.arange(0, 2 * np.pi, np.pi / 3) + rng.uniform(0, 1):
        hole = (int(side / 2 + 0.68 * radius * np.cos(angle)), int(side / 2 + 0.68 * radius * np.sin(angle)))
        cv2.circle(image, hole, max(2, side // 32), (60, 66, 72), -1, cv2.LINE_AA)
    if defect:
        start, end = rng.integers(side // 4, 3 * side // 4, (2, 2))
        cv2.line(image, start.tolist(), end.tolist(), (232, 205, 170), max(1, side // 64), cv2.LINE_AA)
    return image


def _degrade(image: ImageArray, noise: NoiseType, rng: np.random.Generator) -> ImageArray:
    values = image.astype(np.float64)
    if noise is NoiseType.GAUSSIAN:
        values += rng.normal(0, rng.uniform(15, 45), values.shape)
    elif noise is NoiseType.PERIODIC:
        values += 35 * np.sin(np.arange(image.shape[1]) * rng.uniform(0.3, 1.2))[None, :, None]
    else:
        dots = rng.random(image.shape[:2])
        values[dots < 0.06], values[dots > 0.94] = 0, 255
    return np.clip(values, 0, 255).astype(np.uint8)


def _quality_columns(which: str, image: ImageArray, reference: ImageArray) -> dict[str, float | None]:
    mse = float(np.mean((image / 255 - reference / 255) ** 2))
    return {
        f"psnr_{which}": -10 * np.log10(mse),
        f"ssim_{which}": float(np.exp(-25 * mse)),  # not SSIM; any number between 0 and 1 will do
        f"mse_{which}": mse,
        f"lpips_{which}": None,
    }


def _stage(stage: str, predictions: pd.DataFrame) -> ClassificationResult | DenoisingResult:
    if stage == "denoising":
        return DenoisingResult(
            kind="restoration",
            title=TITLES[stage],
            noisy=_spreads("noisy", predictions),
            denoised=_spreads("denoised", predictions),
            published=PUBLISHED[stage],
            lpips_note=LPIPS_NOTE,
            training=_training(DENOISER),
        )
    truth, scores = ("noise_type", None) if stage == "noise_type" else ("label", f"p_defect_{stage}")
    classes = [kind.value for kind in NOISES] if stage == "noise_type" else ["ok", "defect"]
    predicted = predictions[f"said_{stage}"]
    confusion = [[int(((predictions[truth] == a) & (predicted == b)).sum()) for b in classes] for a in classes]
    scored = {"defect": scores} if scores else {kind: f"p_{kind}" for kind in classes}
    roc = {kind: _roc(predictions[truth] == kind, predictions[column]) for kind, column in scored.items()}
    area = float(np.mean([curve["area"] for curve in roc.values()]))
    return ClassificationResult(
        kind="classification",
        title=TITLES[stage],
        classes=classes,
        metrics=_measures(confusion, area),
        published=PUBLISHED.get(stage),
        confusion=confusion,
        roc=roc,  # type: ignore[typeddict-item]
        training=None if stage == "transfer" else _training(CLASSIFIER),
    )


def _measures(confusion: list[list[int]], area: float) -> ClassificationMetrics:
    counts = np.array(confusion, float)
    weights, diagonal = counts.sum(1) / counts.sum(), np.diag(counts)
    recall = diagonal / counts.sum(1)
    precision = diagonal / np.maximum(counts.sum(0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    metrics = ClassificationMetrics(
        images=int(counts.sum()),
        accuracy=float(diagonal.sum() / counts.sum()),
        precision=float(weights @ precision),
        recall=float(weights @ recall),
        f1=float(weights @ f1),
        roc_area=area,
    )
    if len(counts) == 2:
        metrics["defect_precision"], metrics["defect_f1"] = float(precision[1]), float(f1[1])
        metrics["sensitivity"], metrics["specificity"] = float(recall[1]), float(recall[0])
    return metrics


def _roc(positive: "pd.Series[bool]", scores: "pd.Series[float]") -> dict[str, Any]:
    hits = positive.to_numpy()[np.argsort(-scores.to_numpy())]
    tpr = np.concatenate([[0], np.cumsum(hits) / hits.sum()])
    fpr = np.concatenate([[0], np.cumsum(~hits) / (~hits).sum()])
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "area": float(np.trapezoid(tpr, fpr))}


def _spreads(which: str, predictions: pd.DataFrame) -> dict[str, QualityMetrics]:
    groups = {"all": predictions} | {str(kind): part for kind, part in predictions.groupby("noise_type")}
    return {
        name: QualityMetrics(
            images=len(part),
            psnr=_spread(part[f"psnr_{which}"]),
            ssim=_spread(part[f"ssim_{which}"]),
            mse=_spread(part[f"mse_{which}"]),
            lpips=None,
        )
        for name, part in groups.items()
    }


def _spread(values: "pd.Series[float]") -> MeanAndStd:
    return MeanAndStd(mean=float(values.mean()), std=float(values.std()))


def _training(layers: list[LayerInfo]) -> TrainingInfo:
    return TrainingInfo(
        epochs=10,
        train_images=96,
        seconds=83.4,
        device="cpu",
        cache="all 120 images cached in memory (1 MB)",
        images_per_second=11.5,
        parameters=sum(layer["parameters"] for layer in layers),
        layers=layers,
    )


def _info(data: Path, predictions: pd.DataFrame) -> RunInfo:
    test = {
        "label": predictions["label"].value_counts().to_dict(),
        "noise": predictions["noise_type"].value_counts().to_dict(),
    }
    train = {group: {name: 4 * count for name, count in counts.items()} for group, counts in test.items()}
    return RunInfo(
        sheet="data/Labels <final> & checked.xlsx",
        sheet_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        root=str(data),
        recipe={
            "name": "clear",
            "image": {"height": 256, "width": 256},
            "classifier": {"epochs": 10, "patience": None},
        },
        seed=3,
        device="cpu",
        versions={"clearcast": "0.1.0", "python": "3.11.9", "torch": "2.6.0"},
        split="At random by row, 80 % to train and 20 % to test, stratified by label and noise.",
        counts={"train": train, "test": test},  # type: ignore[dict-item]
        left_out=["row 31: With-Noise/<i>broken.png: truncated or damaged"],
        cache="All images cached in memory, 24 MB.",
        started="2025-03-04T10:11:12+01:00",
        seconds=512.3,
    )


def _write_history(folder: Path, stage: str, rng: np.random.Generator) -> None:
    if stage == "transfer":
        return
    folder.mkdir(parents=True, exist_ok=True)
    epoch = np.arange(1, 11)
    loss = 0.7 * np.exp(-epoch / 4) * (0.02 if stage == "denoising" else 1)
    history = pd.DataFrame({"epoch": epoch, "seconds": 8.3, "train_loss": loss})
    history["heldout_loss"] = loss * (1.1 + 0.1 * rng.random(10)) + loss[-1] * 0.3
    if stage != "denoising":
        history["train_accuracy"] = 1 - 0.4 * np.exp(-epoch / 3)
        history["heldout_accuracy"] = history["train_accuracy"] - 0.03 - 0.03 * rng.random(10)
    history.to_csv(folder / "history.csv", index=False)
