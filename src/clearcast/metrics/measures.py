"""Measures of classification and image quality: titles, units, decimals, direction and range, declared once.

The keys are those of ``metrics.json``, ``evidence.json`` and the result tables.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clearcast.metrics.results import QualityMeasure


@dataclass(frozen=True, kw_only=True)
class MeasureInfo:
    """How one measure is named, written and compared.

    Attributes:
        title: heading of its row or column, without the unit.
        name: short name inside a sentence; also in the tables that ``clearcast compare`` writes.
        unit: such as dB; empty without one.
        decimals: beside an interval.
        published_decimals: in the study's tables, beside a published figure.
        higher_is_better: direction.
        is_share: whether sentences write it in percent and its differences in points.
        lowest, highest: range of its values.
    """

    title: str
    name: str
    unit: str = ""
    decimals: int = 3
    published_decimals: int = 4
    higher_is_better: bool = True
    is_share: bool = True
    lowest: float = 0.0
    highest: float = 1.0

    @property
    def label(self) -> str:
        """Title with the unit, such as "PSNR, dB"."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


CLASSIFICATION_MEASURES: Final[Mapping[str, MeasureInfo]] = {
    "accuracy": MeasureInfo(title="Accuracy", name="accuracy"),
    "precision": MeasureInfo(title="Precision (weighted)", name="weighted precision"),
    "recall": MeasureInfo(title="Recall (weighted)", name="weighted recall"),
    "f1": MeasureInfo(title="F1 score (weighted)", name="weighted F1"),
    "roc_area": MeasureInfo(title="Area under the ROC curve", name="ROC area"),
    "defect_precision": MeasureInfo(title="Precision of defect", name="precision of defect"),
    "defect_f1": MeasureInfo(title="F1 score of defect", name="F1 of defect"),
    "sensitivity": MeasureInfo(title="Sensitivity (defects found)", name="sensitivity"),
    "specificity": MeasureInfo(title="Specificity (ok passed)", name="specificity"),
}
"""The measures of ``ClassificationMetrics``, in the order of the tables."""

DECISION_MEASURES: Final[Mapping[str, MeasureInfo]] = {
    "escape": MeasureInfo(title="Escape rate", name="escapes", higher_is_better=False),
    "overkill": MeasureInfo(title="Overkill rate", name="overkills", higher_is_better=False),
    "retake": MeasureInfo(title="Retake rate", name="retakes", higher_is_better=False),
    "risk": MeasureInfo(title="Risk", name="wrong verdicts", higher_is_better=False),
}
"""Rates of decisions: of defects, of ok images, of all images, of the verdicts given."""

QUALITY_MEASURES: Final[Mapping[QualityMeasure, MeasureInfo]] = {
    "psnr": MeasureInfo(
        title="PSNR",
        name="PSNR",
        unit="dB",
        decimals=2,
        published_decimals=2,
        is_share=False,
        lowest=-math.inf,
        highest=math.inf,
    ),
    "ssim": MeasureInfo(title="SSIM", name="SSIM", is_share=False, lowest=-1.0),
    "mse": MeasureInfo(title="MSE", name="MSE", decimals=4, higher_is_better=False, is_share=False, highest=math.inf),
    "lpips": MeasureInfo(title="LPIPS", name="LPIPS", higher_is_better=False, is_share=False, highest=math.inf),
}
"""Image quality against the reference: the measures of ``QualityMetrics``."""
