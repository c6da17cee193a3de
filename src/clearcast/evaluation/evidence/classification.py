"""Classification measures with intervals: the measures of ``ClassificationMetrics`` for ok/defect and noise types."""

import numpy as np
import pandas as pd

from clearcast.domain import NoiseType
from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.evidence.figures import UNDEFINED, figure, figures
from clearcast.evaluation.evidence.tables import VERDICTS, Judged, judged
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.measures import Targets, f1_measure, roc_measure, weighted_measures
from clearcast.evaluation.statistics.sample import Sample


def classification_figures(test: pd.DataFrame, seed: int) -> dict[str, dict[str, Figure]]:
    """Measure each classification stage of a test table, with intervals: stage -> measure -> figure."""
    stages: dict[str, dict[str, Figure]] = {}
    for stage in Stage:
        if stage in VERDICTS and (scores := judged(test, stage)):
            stages[stage.value] = _verdict_figures(scores, Sample(scores.part, seed=seed))
        elif stage is Stage.NOISE_TYPE and "said_noise_type" in test:
            stages[stage.value] = _noise_figures(test[test["said_noise_type"].notna()], seed)
    return stages


def _verdict_figures(scores: Judged, sample: Sample) -> dict[str, Figure]:
    defect, predicted = scores.defect, scores.predicted
    precision = figure(sample.estimate_ratios(defect, predicted), share_interval)
    f1 = figure(sample.estimate(f1_measure(defect, predicted), [defect]), share_interval)
    area = sample.estimate(roc_measure(defect[:, None], scores.logits[:, None]), [defect, ~defect])
    return {
        **_class_figures(defect.astype(np.int64), predicted.astype(np.int64), sample),
        "roc_area": figure(area, share_interval),
        "defect_precision": precision,
        "defect_f1": f1,
        "sensitivity": figure(sample.estimate_ratios(predicted, defect), share_interval),
        "specificity": figure(sample.estimate_ratios(~predicted, ~defect), share_interval),
    }


def _noise_figures(rows: pd.DataFrame, seed: int) -> dict[str, Figure]:
    names = [noise for noise in NoiseType if f"p_{noise}" in rows]
    numbers = {noise.value: number for number, noise in enumerate(NoiseType)}
    true, predicted = (np.array([numbers[name] for name in rows[key]]) for key in ("noise_type", "said_noise_type"))
    sample = Sample(rows["part"].to_numpy(str), seed=seed)
    result = _class_figures(true, predicted, sample)
    result["roc_area"] = UNDEFINED
    if names:
        positive = np.stack([true == numbers[name] for name in names], axis=1)
        scores = rows[[f"p_{name}" for name in names]].to_numpy(float)
        area = sample.estimate(roc_measure(positive, scores), list(positive.T))
        result["roc_area"] = figure(area, share_interval)
    return result


def _class_figures(true: Targets, predicted: Targets, sample: Sample) -> dict[str, Figure]:
    classes = int(max(true.max(), predicted.max())) + 1
    weighted = sample.estimate(weighted_measures(true, predicted, classes=classes))
    names = ("precision", "recall", "f1")
    return {
        "accuracy": figure(sample.estimate_ratios(true == predicted), share_interval),
        **dict(zip(names, figures(weighted, share_interval), strict=True)),
    }
