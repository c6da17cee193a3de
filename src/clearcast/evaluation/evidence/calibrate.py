"""Temperature scaling fitted on validation images, and its calibration error on test images."""

import numpy as np

from clearcast.evaluation.evidence.contract import Bin, Calibration, Figure
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.tables import Judged
from clearcast.evaluation.statistics.calibration import BINS, bins_of, calibration_measure, fit_temperature
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Sample


def fit_temperatures(validation: Judged) -> dict[int, float]:
    """Fit the temperature of each fold on its own validation images."""
    return {fold: _temperature(validation.of_fold(fold)) for fold in validation.folds}


def calibration(test: Judged, validation: Judged, temperatures: dict[int, float], sample: Sample) -> Calibration:
    """Measure temperature scaling on test images. The intervals treat the temperatures as fixed."""
    after = test.calibrated(temperatures)
    return {
        "temperatures": list(temperatures.values()),
        "validation_images": len(validation.part),
        "error_before": _error(test, sample),
        "error_after": _error(after, sample),
        "bins_before": _bins(test),
        "bins_after": _bins(after),
    }


def _temperature(validation: Judged) -> float:
    return fit_temperature(validation.logits, validation.defect, np.unique(validation.part, return_inverse=True)[1])


def _error(scores: Judged, sample: Sample) -> Figure:
    return figure(sample.estimate(calibration_measure(scores.probability, scores.defect)), share_interval)


def _bins(scores: Judged) -> list[Bin]:
    numbers = bins_of(scores.probability)
    bins: list[Bin] = []
    for number in range(BINS):
        rows = numbers == number
        bins.append(
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "images": int(rows.sum()),
                "said": float(scores.probability[rows].mean()) if rows.any() else None,
                "true": float(scores.defect[rows].mean()) if rows.any() else None,
            }
        )
    return bins
