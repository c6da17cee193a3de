"""Coverage of 95% intervals on simulated test sets of groups (parts) with 1 to 28 correlated images.

    python benchmarks/interval_coverage.py --datasets 500

The first table compares methods for an interval of the accuracy. The probability that an image is classified correctly
differs between parts (beta-distributed; the correlation is that of two images of one part). The second table compares
Clearcast's intervals with the percentile bootstrap for other measures: scores of images are normal with a shared effect
of their part, so the true value of every measure is known.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from clearcast.metrics.bootstrap import (
    ClusterBootstrap,
    Estimates,
    FloatArray,
    WeightedMeasure,
    difference_interval,
    f1_measure,
    mean_interval,
    precision_recall_f1_measure,
    roc_area_measure,
    share_interval,
)

PARTS = (20, 50, 150)
BETA_CASES = ((0.66, 0.3), (0.8, 0.5), (0.9, 0.5), (0.95, 0.3), (0.95, 0.6))  # accuracy; correlation within a part
SCORE_CASES = ((0.7, 0.5), (0.9, 0.5))
DEFECT_SHARE = 0.6  # share of parts that are defects
RESAMPLES = 1000
Bounds = tuple[float, float]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--datasets", type=int, default=500)
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    for accuracy, correlation in BETA_CASES:
        print(f"\naccuracy {accuracy}, correlation {correlation}: coverage (mean width)")
        _print_columns([_compare_methods(parts, accuracy, correlation, options.datasets, rng) for parts in PARTS])
    for accuracy, correlation in SCORE_CASES:
        print(f"\nother measures, accuracy {accuracy}, correlation {correlation}: Clearcast | percentile")
        _print_columns([_compare_measures(parts, accuracy, correlation, options.datasets, rng) for parts in PARTS])


def _print_columns(columns: list[dict[str, str]]) -> None:
    print(f"{'':32}" + "".join(f"{parts:>10} parts" for parts in PARTS))
    for name in columns[0]:
        print(f"{name:32}" + "".join(f"{column[name]:>16}" for column in columns))


def _draw_part_sizes(parts: int, rng: np.random.Generator) -> FloatArray:
    """Draw the number of images of each part: half of the parts have 1 to 3, the others up to 28."""
    few, many = rng.integers(1, 4, parts), np.clip(rng.geometric(0.12, parts), 1, 28)
    return np.where(rng.random(parts) < 0.5, few, many).astype(float)


def _compare_methods(
    parts: int, accuracy: float, correlation: float, datasets: int, rng: np.random.Generator
) -> dict[str, str]:
    covered: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    spread = (1 - correlation) / correlation
    for number in range(datasets):
        images = _draw_part_sizes(parts, rng)
        correct = rng.binomial(images.astype(int), rng.beta(accuracy * spread, (1 - accuracy) * spread, parts))
        bounds = dict(_textbook_intervals(correct.astype(float), images, rng)) | {
            "Clearcast": _clearcast_interval(correct, images, number)
        }
        for name, (low, high) in bounds.items():
            covered[name].append((low <= accuracy <= high, high - low))
    means = {name: np.mean(values, axis=0) for name, values in covered.items()}
    return {name: f"{share:.3f} ({width:.2f})" for name, (share, width) in means.items()}


def _clearcast_interval(correct: np.ndarray, images: FloatArray, seed: int) -> Bounds:
    names = np.repeat(np.arange(len(images)), images.astype(int))
    verdicts = np.concatenate([np.arange(int(all_of)) < ones for ones, all_of in zip(correct, images, strict=True)])
    low, high = share_interval(ClusterBootstrap(names, seed=seed, resamples=RESAMPLES).estimate_ratios(verdicts))
    return float(low[0]), float(high[0])


def _textbook_intervals(
    correct: FloatArray, images: FloatArray, rng: np.random.Generator
) -> Iterator[tuple[str, Bounds]]:
    """Compute textbook intervals of sum(correct) / sum(images), both of shape (parts,)."""
    parts, value = len(images), correct.sum() / images.sum()
    draws = rng.multinomial(parts, np.full(parts, 1 / parts), RESAMPLES)
    drawn = (draws @ correct) / (draws @ images)
    yield "percentile", _quantiles(drawn, 0.025, 0.975)
    yield "bias-corrected, accelerated", _bca(correct, images, drawn)
    tail = stats.norm.cdf(np.sqrt(parts / (parts - 1)) * stats.t.ppf(0.025, parts - 1))
    yield "percentile, expanded (Hesterberg)", _quantiles(drawn, tail, 1 - tail)
    correction = parts / (parts - 1)
    error = np.sqrt(correction * ((correct - value * images) ** 2).sum()) / images.sum()
    if error == 0:
        yield from (("studentized", (value, value)), ("logit, robust t", (value, value)))
        return
    residuals = correct - drawn[:, None] * images
    errors = np.sqrt(correction * (draws * residuals**2).sum(axis=1)) / (draws @ images)
    low, high = _quantiles(((drawn - value)[errors > 0]) / errors[errors > 0], 0.025, 0.975)
    yield "studentized", (value - high * error, value - low * error)
    half_width = stats.t.ppf(0.975, parts - 1) * error / (value * (1 - value))
    yield "logit, robust t", (expit(logit(value) - half_width), expit(logit(value) + half_width))


def _bca(correct: FloatArray, images: FloatArray, drawn: FloatArray) -> Bounds:
    """Compute the bias-corrected and accelerated interval (Efron 1987)."""
    value = correct.sum() / images.sum()
    without = (correct.sum() - correct) / (images.sum() - images)
    influence = without.mean() - without
    if not influence.any():
        return value, value
    bias = stats.norm.ppf(np.clip((drawn < value).mean() + (drawn == value).mean() / 2, 0.001, 0.999))
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    shifted = bias + stats.norm.ppf([0.025, 0.975])
    low, high = stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return _quantiles(drawn, low, high)


def _quantiles(values: FloatArray, low: float, high: float) -> Bounds:
    bounds = np.nanquantile(values, [low, high])
    return float(bounds[0]), float(bounds[1])


@dataclass(frozen=True)
class Scores:
    """One simulated test set; every array has the shape (images,)."""

    part: np.ndarray
    defect: np.ndarray
    first: FloatArray  # scores of two stages; defect is predicted above 0
    second: FloatArray
    psnr: FloatArray
    mse: FloatArray

    @property
    def correct(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether each stage classifies each image correctly."""
        return (self.first > 0) == self.defect, (self.second > 0) == self.defect


def _simulate(parts: int, accuracy: float, correlation: float, rng: np.random.Generator) -> Scores:
    images = _draw_part_sizes(parts, rng).astype(int)
    part = np.repeat(np.arange(parts), images)
    label = rng.random(parts) < DEFECT_SHARE
    label[:4] = True, True, False, False
    shared = np.sqrt(correlation) * rng.normal(size=(4, parts))[:, part]
    own = np.sqrt(1 - correlation) * rng.normal(size=(4, len(part)))
    common = (shared[0] + own[0]) * np.sqrt(0.6)
    direction = np.where(label[part], 1, -1)
    first = direction * stats.norm.ppf(accuracy) + common + np.sqrt(0.4) * (shared[1] + own[1])
    second = direction * stats.norm.ppf(accuracy + 0.04) + common + np.sqrt(0.4) * (shared[2] + own[2])
    quality = shared[3] + own[3]
    return Scores(part, label[part], first, second, 26 + 3 * quality, np.exp(-5 - 0.7 * quality))


def _true_values(accuracy: float) -> dict[str, float]:
    true_positive, false_negative = DEFECT_SHARE * accuracy, DEFECT_SHARE * (1 - accuracy)
    true_negative, false_positive = (1 - DEFECT_SHARE) * accuracy, (1 - DEFECT_SHARE) * (1 - accuracy)
    f1, ok_f1 = (
        2 * true_positive / (2 * true_positive + false_negative + false_positive),
        2 * true_negative / (2 * true_negative + false_negative + false_positive),
    )
    return {
        "accuracy": accuracy,
        "sensitivity": accuracy,
        "specificity": accuracy,
        "difference of two stages": 0.04,
        "F1 of defect": f1,
        "F1, weighted": DEFECT_SHARE * f1 + (1 - DEFECT_SHARE) * ok_f1,
        "ROC area": float(stats.norm.cdf(np.sqrt(2) * stats.norm.ppf(accuracy))),
        "mean PSNR": 26.0,
        "mean MSE": float(np.exp(-5 + 0.7**2 / 2)),
    }


def _compare_measures(
    parts: int, accuracy: float, correlation: float, datasets: int, rng: np.random.Generator
) -> dict[str, str]:
    true = _true_values(accuracy)
    covered: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for number in range(datasets):
        scores = _simulate(parts, accuracy, correlation, rng)
        draws = rng.multinomial(parts, np.full(parts, 1 / parts), RESAMPLES)[:, scores.part].astype(float)
        for name, (bounds, measure) in _measures(scores, number).items():
            percentile = _quantiles(measure(draws)[:, 0], 0.025, 0.975)
            covered[name].append((bounds[0] <= true[name] <= bounds[1], percentile[0] <= true[name] <= percentile[1]))
    return {name: "{:.3f} | {:.3f}".format(*np.mean(values, axis=0)) for name, values in covered.items()}


def _measures(scores: Scores, seed: int) -> dict[str, tuple[Bounds, WeightedMeasure]]:
    """Clearcast's intervals, and each measure as a function of weights."""
    sample = ClusterBootstrap(scores.part, seed=seed, resamples=RESAMPLES)
    defect, predicted = scores.defect, scores.first > 0
    correct, second = scores.correct
    labels = (defect, ~defect)
    gain = second.astype(float) - correct
    weighted = precision_recall_f1_measure(defect.astype(np.int64), predicted.astype(np.int64), 2)
    area = roc_area_measure(defect[:, None], scores.first[:, None])
    f1 = f1_measure(defect, predicted)

    def last(weights: FloatArray) -> FloatArray:
        return weighted(weights)[:, 2:]

    return {
        "accuracy": (_bounds(share_interval, sample.estimate_ratios(correct)), _ratio(correct)),
        "sensitivity": (_bounds(share_interval, sample.estimate_ratios(correct, defect)), _ratio(correct, defect)),
        "specificity": (_bounds(share_interval, sample.estimate_ratios(correct, ~defect)), _ratio(correct, ~defect)),
        "difference of two stages": (_bounds(difference_interval, sample.estimate_ratios(gain)), _ratio(gain)),
        "F1 of defect": (_bounds(share_interval, sample.estimate(f1, [defect | predicted])), f1),
        "F1, weighted": (_bounds(share_interval, sample.estimate(last)), last),
        "ROC area": (_bounds(share_interval, sample.estimate(area, labels)), area),
        "mean PSNR": (_bounds(mean_interval, sample.estimate_ratios(scores.psnr)), _ratio(scores.psnr)),
        "mean MSE": (_bounds(mean_interval, sample.estimate_ratios(scores.mse)), _ratio(scores.mse)),
    }


def _bounds(interval: Callable[[Estimates], tuple[FloatArray, FloatArray]], estimates: Estimates) -> Bounds:
    low, high = interval(estimates)
    return float(low[0]), float(high[0])


def _ratio(top: np.ndarray, bottom: np.ndarray | None = None) -> WeightedMeasure:
    among = np.ones(len(top)) if bottom is None else bottom.astype(float)

    def measure(weights: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            value: FloatArray = (weights @ (top * among)) / (weights @ among)
        return value[:, None]

    return measure


if __name__ == "__main__":
    main()
