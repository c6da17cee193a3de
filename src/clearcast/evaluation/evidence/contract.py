"""What ``evidence.json`` says: how sure a run's figures are and which decisions they allow. Plain, ready for JSON.

It is made from a run's tables alone, so that it can be made again with other costs and without training:

    predictions.csv   one line a test image: ``row, noisy, reference, part, label, noise_type``; of each stage with a
                      verdict (reference, noisy, denoised, transfer) ``p_defect_STAGE, logit_STAGE, said_STAGE``;
                      ``said_noise_type`` and ``p_TYPE`` of each noise type; ``psnr_X, ssim_X, mse_X, lpips_X`` (X:
                      noisy, denoised); in a run of several folds ``fold``, from 1
    validation.csv    the same columns of the verdict stages, one line a validation image; absent or empty where there
                      is none
    robustness.csv    one line an image, noise type and level: ``row, part, label, noise_type, level``,
                      ``p_defect_noisy``, ``p_defect_denoised`` (absent without stage 4), ``psnr_X, ssim_X``; level 0 is
                      the picture without noise

``part`` is the group that an image belongs to. ``logit_STAGE`` is the log-odds of defect as the network gave them.
"""

from typing import NotRequired, TypedDict


class Figure(TypedDict):
    """A measured value with its 95 % interval; None where it is not defined, such as a rate of nothing."""

    value: float | None
    low: float | None
    high: float | None


class Comparison(TypedDict):
    """Two verdict stages on the same test images. ``difference`` is second minus first, in 0..1."""

    first: str
    second: str
    images: int
    parts: int
    difference: Figure
    mended: int  # images that only the second judges rightly
    spoiled: int  # images that only the first judges rightly
    mcnemar_p: float  # exact, two-sided; it takes images for independent
    established: bool  # the interval does not hold 0
    sentence: str


class Bin(TypedDict):
    """One bar of a reliability diagram, of the probability of defect in [low, high)."""

    low: float
    high: float
    images: int
    said: float | None  # mean probability of defect
    true: float | None  # share of defects


class Calibration(TypedDict):
    """Temperature scaling fitted on validation images, measured on test images (of several folds: each its own)."""

    temperatures: list[float]  # one a fold
    validation_images: int
    error_before: Figure  # expected calibration error, 0..1
    error_after: Figure
    bins_before: list[Bin]
    bins_after: list[Bin]


class OperatingPoint(TypedDict):
    """What a threshold does on the test images. Escape: a defect called ok. Overkill: an ok part called defect."""

    thresholds: list[float]  # of the (calibrated) probability of defect, one a fold
    defects: int
    escapes: int
    escape: Figure  # escapes / defects
    oks: int
    overkills: int
    overkill: Figure  # overkills / oks
    accuracy: Figure


class OperatingCurve(TypedDict):
    """Escape and overkill on the test images at rising thresholds, with their intervals; lists of one length."""

    threshold: list[float]
    escape: list[float]
    escape_low: list[float]
    escape_high: list[float]
    overkill: list[float]
    overkill_low: list[float]
    overkill_high: list[float]


class RiskCurve(TypedDict):
    """Share of wrong verdicts among the images that are judged, against the share that is judged; one length."""

    coverage: list[float]
    risk: list[float]
    risk_low: list[float]
    risk_high: list[float]


class Retake(TypedDict):
    """What abstaining does on the test images, at the confidence that was chosen on validation images.

    Confidence is how far the (calibrated) log-odds of defect are from those of the threshold.
    """

    asked: str  # such as "at most 2% wrong verdicts among those given"
    cutoffs: list[float]  # log-odds from the threshold, one a fold; nearer pictures are retaken
    retaken: int
    coverage: Figure
    risk: Figure
    sentence: str


class Decision(TypedDict):
    """The verdicts of one stage as decisions. Without validation images nothing is chosen: those keys are None."""

    asked: str  # such as "an escape costs 10, an overkill 1", and whether it was named or is the default
    calibration: Calibration | None
    plain: OperatingPoint  # at 0.5 of the uncalibrated probability: the study's verdicts
    chosen: OperatingPoint | None
    curve: OperatingCurve | None  # None where all test images have one label
    risk: RiskCurve
    retake: Retake | None
    sentence: str  # what the choice does, with the rule of three where no escape was seen


class RobustnessPoint(TypedDict):
    """One level of one noise. Inner keys: "noisy" (judged as it is) and "denoised" (by stages 3 and 4)."""

    level: float
    images: int
    accuracy: dict[str, Figure]
    escape: dict[str, Figure]
    psnr: dict[str, Figure]  # empty at level 0, where nothing was added
    ssim: dict[str, Figure]


class RobustnessCurve(TypedDict):
    """One noise type, its levels ascending from 0."""

    level_name: str  # such as "standard deviation", with its unit
    points: list[RobustnessPoint]
    sentence: str  # up to which level the inspection can be trusted, with and without denoising


class Evidence(TypedDict):
    """The whole of ``evidence.json``."""

    format: int
    images: int
    parts: int  # distinct parts behind the test images
    parts_by_label: dict[str, int]
    independent: bool  # no part has two test images: intervals of shares are Wilson's, else bootstrapped over parts
    method: str  # how intervals were made, in one sentence
    classification: dict[str, dict[str, Figure]]  # stage -> measure (as in ClassificationMetrics) -> figure
    restoration: dict[
        str, dict[str, dict[str, Figure]]
    ]  # noisy | denoised -> all | noise type -> psnr, ssim, mse, lpips
    gain: NotRequired[dict[str, dict[str, Figure]]]  # what denoising added, paired: all | noise type -> psnr (dB), ...
    comparisons: list[Comparison]
    decisions: dict[str, Decision]  # stage -> decision
    robustness: dict[str, RobustnessCurve]  # noise type -> curve; empty where it was not measured
