"""Schema of ``evidence.json``: typed dictionaries of intervals, comparisons, decisions and robustness.

It is made from a run's tables alone, so that it can be made again with other costs and without training:

    predictions.csv   one line a test image: ``row, noisy, reference, part, label, noise_type``; of each stage with a
                      verdict (reference, noisy, denoised, transfer) ``p_defect_STAGE, logit_STAGE, said_STAGE``;
                      ``said_noise_type`` and ``p_TYPE`` of each noise type; ``psnr_X, ssim_X, mse_X, lpips_X`` (X:
                      noisy, denoised); in a run of several folds ``fold``, from 1
    validation.csv    the same columns of the verdict stages, one line a validation image; absent or empty without
                      validation images
    robustness.csv    one line an image, noise type and level: ``row, part, label, noise_type, level``,
                      ``p_defect_noisy``, ``p_defect_denoised`` (absent without stage 4), ``psnr_X, ssim_X``; level 0 is
                      the image without noise

``part`` is the group that an image belongs to. ``logit_STAGE`` is the uncalibrated log-odds of defect.
"""

from typing import NotRequired, TypedDict


class Figure(TypedDict):
    """A measured value with its 95% interval; None if it is not defined, such as a rate without images."""

    value: float | None
    low: float | None
    high: float | None


class Comparison(TypedDict):
    """Two verdict stages on the same test images. ``difference``: accuracy of the second minus the first, -1..1."""

    first: str
    second: str
    images: int
    parts: int
    difference: Figure
    mended: int  # images that only the second classifies correctly
    spoiled: int  # images that only the first classifies correctly
    mcnemar_p: float  # exact, two-sided; it assumes independent images
    established: bool  # the interval excludes 0
    sentence: str


class Bin(TypedDict):
    """One bin of a reliability diagram: images with a probability of defect in [low, high)."""

    low: float
    high: float
    images: int
    said: float | None  # mean probability of defect
    true: float | None  # share of defects


class Calibration(TypedDict):
    """Temperature scaling fitted on validation images, by fold, and measured on test images."""

    temperatures: list[float]  # one a fold
    validation_images: int
    error_before: Figure  # expected calibration error, 0..1
    error_after: Figure
    bins_before: list[Bin]
    bins_after: list[Bin]


class OperatingPoint(TypedDict):
    """Rates of a threshold on the test images. Escape: a defect called ok. Overkill: an ok part called defect."""

    thresholds: list[float]  # of the (calibrated) probability of defect, one a fold
    defects: int
    escapes: int
    escape: Figure  # escapes / defects
    oks: int
    overkills: int
    overkill: Figure  # overkills / oks
    accuracy: Figure


class OperatingCurve(TypedDict):
    """Escape and overkill rates on the test images at ascending thresholds, with intervals; lists of equal length."""

    threshold: list[float]
    escape: list[float]
    escape_low: list[float]
    escape_high: list[float]
    overkill: list[float]
    overkill_low: list[float]
    overkill_high: list[float]


class RiskCurve(TypedDict):
    """Share of wrong verdicts among the images with a verdict, by coverage; lists of equal length."""

    coverage: list[float]
    risk: list[float]
    risk_low: list[float]
    risk_high: list[float]


class Retake(TypedDict):
    """The verdict retake on the test images, at cut-offs of the confidence chosen on validation images.

    Confidence is how far the (calibrated) log-odds of defect are from those of the threshold.
    """

    asked: str  # such as "at most 2% wrong verdicts among those given"
    cutoffs: list[float]  # log-odds from the threshold, one a fold; images nearer to it are retaken
    retaken: int
    coverage: Figure
    risk: Figure
    sentence: str


class Decision(TypedDict):
    """Decisions from the verdicts of one stage. Without validation images nothing is chosen: those keys are None."""

    asked: str  # such as "an escape costs 10, an overkill 1"
    calibration: Calibration | None
    plain: OperatingPoint  # at 0.5 of the uncalibrated probability: the study's verdicts
    chosen: OperatingPoint | None
    curve: OperatingCurve | None  # None if all test images have one label
    risk: RiskCurve
    retake: Retake | None
    sentence: str  # effect of the choice, with the rule of three if no defect escaped


class RobustnessPoint(TypedDict):
    """One level of one noise type. Inner keys: "noisy" (classified as it is), "denoised" (by stages 3 and 4)."""

    level: float
    images: int
    accuracy: dict[str, Figure]
    escape: dict[str, Figure]
    psnr: dict[str, Figure]  # empty at level 0: no noise was added
    ssim: dict[str, Figure]


class RobustnessCurve(TypedDict):
    """One noise type, its levels ascending from 0."""

    level_name: str  # such as "standard deviation", with its unit
    points: list[RobustnessPoint]
    sentence: str  # up to which level accuracy holds, with and without denoising


class Evidence(TypedDict):
    """The whole of ``evidence.json``."""

    format: int
    images: int
    parts: int  # distinct parts behind the test images
    parts_by_label: dict[str, int]
    independent: bool  # no part has two test images: intervals of shares are Wilson's, else from a cluster bootstrap
    method: str  # how intervals were computed, in one sentence
    classification: dict[str, dict[str, Figure]]  # stage -> measure (as in ClassificationMetrics) -> figure
    restoration: dict[str, dict[str, dict[str, Figure]]]  # noisy | denoised -> all | noise type -> psnr, ssim, ...
    gain: NotRequired[dict[str, dict[str, Figure]]]  # paired gain of denoising: all | noise type -> psnr (dB), ...
    comparisons: list[Comparison]
    decisions: dict[str, Decision]  # stage -> decision
    robustness: dict[str, RobustnessCurve]  # noise type -> curve; empty if it was not measured
