"""Invented evidence of a run: plausible values in every field of the schema."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast.core.evidence_schema import (
    CalibrationResult,
    DecisionResult,
    Evidence,
    OperatingCurve,
    OperatingPoint,
    ReliabilityBin,
    RetakeResult,
    RiskCoverageCurve,
    RobustnessCurve,
    RobustnessPoint,
    StageComparison,
    ValueWithCI,
)
from clearcast.metrics.results import ClassificationResult, DenoisingResult, StudyMetrics

UNDEFINED = ValueWithCI(value=None, low=None, high=None)
COMPARISON_SENTENCE = "denoising raised accuracy by 4.0 points (95%: −0.8 to 8.9): not established on 41 parts"
_VERDICTS = ("reference", "noisy", "denoised", "transfer")


def evidence_of(metrics: StudyMetrics, predictions: pd.DataFrame, *, validation: bool = True) -> Evidence:
    """Evidence whose values are the run's, with made-up intervals; ``validation`` allows calibration and choices."""
    verdicts = [stage for stage in _VERDICTS if stage in metrics["stages"]]
    classes = {key: stage for key, stage in metrics["stages"].items() if stage["kind"] == "classification"}
    evidence = Evidence(
        format=1,
        images=len(predictions),
        parts=41,
        parts_by_label={"ok": 17, "defect": 24},
        independent=False,
        method="Intervals are of 2,000 samples of whole parts (95%, bias-corrected).",
        classification={key: _classification(stage) for key, stage in classes.items()},
        restoration={},
        comparisons=_comparisons(verdicts, len(predictions)),
        decisions={key: _decision(predictions, key, validation=validation) for key in verdicts},
        robustness={},
    )
    denoising = metrics["stages"].get("denoising")
    if denoising and denoising["kind"] == "restoration":
        _add_image_quality(evidence, denoising)
    return evidence


def write_evidence(folder: Path, evidence: Evidence) -> None:
    (folder / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")


def around(value: float, half_width: float = 0.05) -> ValueWithCI:
    """A value with an interval that reaches as far on both sides, within 0..1."""
    return ValueWithCI(value=value, low=max(0.0, value - half_width), high=min(1.0, value + half_width))


def _robustness_curve(noise: str, *, denoised: bool) -> RobustnessCurve:
    return RobustnessCurve(
        level_name="standard deviation (white is 1)",
        points=[_robustness_point(level, denoised=denoised) for level in (0.0, 0.05, 0.1, 0.2, 0.3)],
        sentence=f"Under {noise} noise accuracy stays above 0.8 up to 0.1; denoised, up to 0.2.",
    )


def _robustness_point(level: float, *, denoised: bool) -> RobustnessPoint:
    slopes = {"noisy": 1.4} | ({"denoised": 0.7} if denoised else {})
    quality = {"noisy": 20 - 30 * level, "denoised": 27 - 15 * level}
    return RobustnessPoint(
        level=level,
        images=212,
        accuracy={key: around(0.88 - slope * level) for key, slope in slopes.items()},
        escape={key: around(0.1 + slope * level) for key, slope in slopes.items()},
        psnr={key: ValueWithCI(value=one, low=one - 1, high=one + 1) for key, one in quality.items()} if level else {},
        ssim={key: around(one / 35) for key, one in quality.items()} if level else {},
    )


def _classification(stage: ClassificationResult) -> dict[str, ValueWithCI]:
    return {
        name: UNDEFINED if value is None else around(float(value))  # type: ignore[arg-type]
        for name, value in stage["metrics"].items()
        if name != "images"
    }


def _add_image_quality(evidence: Evidence, stage: DenoisingResult) -> None:
    half_width = {"psnr": 0.7, "ssim": 0.03, "mse": 0.0008, "lpips": 0.02}
    for which, by_noise in (("noisy", stage["noisy"]), ("denoised", stage["denoised"])):
        evidence["restoration"][which] = {
            noise: {
                name: ValueWithCI(value=mean, low=mean - far, high=mean + far)
                for name, far in half_width.items()
                if (spread := measures[name]) and (mean := spread["mean"]) is not None  # type: ignore[literal-required]
            }
            for noise, measures in by_noise.items()
        }
    evidence["gain"] = {
        noise: {"psnr": ValueWithCI(value=added, low=added - 0.4, high=added + 0.4)}
        for noise in stage["denoised"]
        if (before := stage["noisy"][noise]["psnr"]["mean"]) is not None
        and (after := stage["denoised"][noise]["psnr"]["mean"]) is not None
        and (added := after - before) is not None
    }
    evidence["robustness"] = {
        noise: _robustness_curve(noise, denoised="denoised" in evidence["decisions"])
        for noise in stage["denoised"]
        if noise != "all"
    }


def _comparisons(verdicts: list[str], images: int) -> list[StageComparison]:
    differences = {
        "denoised": ValueWithCI(value=0.0402, low=-0.008, high=0.0893),
        "transfer": ValueWithCI(value=0.009, low=-0.031, high=0.052),
        "reference": ValueWithCI(value=0.0472, low=0.008, high=0.0913),
    }
    return [
        StageComparison(
            first="noisy",
            second=stage,
            images=images,
            parts=41,
            difference=difference,
            mended=11,
            spoiled=5,
            mcnemar_p=0.2101,
            established=difference["low"] is not None and difference["low"] > 0,
            sentence=COMPARISON_SENTENCE if stage == "denoised" else f"{stage} <against> noisy: something else",
        )
        for stage, difference in differences.items()
        if "noisy" in verdicts and stage in verdicts
    ]


def _decision(predictions: pd.DataFrame, stage: str, *, validation: bool) -> DecisionResult:
    p_defect = predictions[f"p_defect_{stage}"].to_numpy(float)
    defect = (predictions["label"] == "defect").to_numpy()
    one_label = bool(defect.all() or not defect.any())
    return DecisionResult(
        asked="an escape costs 10, an overkill 1",
        calibration=_calibration(p_defect, defect) if validation else None,
        plain=_point(p_defect, defect, 0.5),
        chosen=_point(p_defect, defect, 0.2) if validation else None,
        curve=None if one_label else _curve(p_defect, defect),
        risk=_risk(p_defect, defect),
        retake=_retake(stage, len(defect)) if validation else None,
        sentence=f"On {stage} images the choice lets 4 of 126 defects escape <sic>.",
    )


def _retake(stage: str, images: int) -> RetakeResult:
    return RetakeResult(
        asked="at most 5 % wrong verdicts among those given",
        cutoffs=[0.75],
        retaken=images // 5,
        coverage=around(0.8),
        risk=around(0.06, 0.03),
        sentence=f"One {stage} image in five would be retaken; of the others 6 % have wrong verdicts.",
    )


def _calibration(p_defect: np.ndarray, defect: np.ndarray) -> CalibrationResult:
    softer = 1 / (1 + np.exp(-np.log((p_defect + 1e-9) / (1 - p_defect + 1e-9)) / 3))
    return CalibrationResult(
        temperatures=[3.0],
        validation_images=140,
        error_before=around(0.114, 0.03),
        error_after=around(0.031, 0.02),
        bins_before=_bins(p_defect, defect),
        bins_after=_bins(softer, defect),
    )


def _bins(p_defect: np.ndarray, defect: np.ndarray) -> list[ReliabilityBin]:
    made = []
    for low in np.arange(10) / 10:
        inside = (p_defect >= low) & (p_defect < low + (0.1 if low < 0.85 else 0.2))
        count = int(inside.sum())
        said, true = (float(values[inside].mean()) if count else None for values in (p_defect, defect))
        made.append(ReliabilityBin(low=float(low), high=float(low) + 0.1, images=count, said=said, true=true))
    return made


def _point(p_defect: np.ndarray, defect: np.ndarray, threshold: float) -> OperatingPoint:
    escapes, overkills = int((defect & (p_defect < threshold)).sum()), int((~defect & (p_defect >= threshold)).sum())
    defects, oks = int(defect.sum()), int((~defect).sum())
    return OperatingPoint(
        thresholds=[threshold],
        defects=defects,
        escapes=escapes,
        escape=around(escapes / defects) if defects else UNDEFINED,
        oks=oks,
        overkills=overkills,
        overkill=around(overkills / oks) if oks else UNDEFINED,
        accuracy=around(1 - (escapes + overkills) / len(defect)),
    )


def _curve(p_defect: np.ndarray, defect: np.ndarray) -> OperatingCurve:
    threshold = np.unique(np.concatenate([[0.0], p_defect, [1.0]]))
    escape = np.array([(p_defect[defect] < one).mean() for one in threshold])
    overkill = np.array([(p_defect[~defect] >= one).mean() for one in threshold])
    return OperatingCurve(
        threshold=threshold.tolist(),
        escape=escape.tolist(),
        escape_low=np.maximum(escape - 0.06, 0).tolist(),
        escape_high=np.minimum(escape + 0.06, 1).tolist(),
        overkill=overkill.tolist(),
        overkill_low=np.maximum(overkill - 0.06, 0).tolist(),
        overkill_high=np.minimum(overkill + 0.06, 1).tolist(),
    )


def _risk(p_defect: np.ndarray, defect: np.ndarray) -> RiskCoverageCurve:
    wrong = (p_defect >= 0.5) != defect
    order = np.argsort(-np.abs(p_defect - 0.5), kind="stable")
    decided = np.arange(1, len(order) + 1)
    risk = np.cumsum(wrong[order]) / decided
    half_width = 0.6 * np.sqrt(0.1 / decided)
    return RiskCoverageCurve(
        coverage=(decided / len(order)).tolist(),
        risk=risk.tolist(),
        risk_low=np.maximum(risk - half_width, 0).tolist(),
        risk_high=np.minimum(risk + half_width, 1).tolist(),
    )
