"""Stages of a study with their published results, and the schema of ``evidence.json``."""

from enum import StrEnum
from typing import NotRequired, TypedDict

from clearcast.core.errors import RecipeError


class Stage(StrEnum):
    """Stage of the study, in order; the first five have the numbers 0 to 4."""

    REFERENCE = "reference"
    NOISY = "noisy"
    NOISE_TYPE = "noise_type"
    DENOISING = "denoising"
    DENOISED = "denoised"
    TRANSFER = "transfer"

    @property
    def heading(self) -> str:
        """Heading of the stage's results."""
        return _HEADINGS[self]

    @property
    def needs(self) -> tuple["Stage", ...]:
        """Stages whose results this one requires."""
        return _NEEDS.get(self, ())


_HEADINGS = {
    Stage.REFERENCE: "Stage 0: ok or defect on noise-free images (the ceiling)",
    Stage.NOISY: "Stage 1: ok or defect on noisy images",
    Stage.NOISE_TYPE: "Stage 2: noise type",
    Stage.DENOISING: "Stage 3: denoising",
    Stage.DENOISED: "Stage 4: ok or defect on denoised images",
    Stage.TRANSFER: "Stage 1's network on denoised images, without retraining",
}
_NEEDS = {Stage.DENOISED: (Stage.DENOISING,), Stage.TRANSFER: (Stage.NOISY, Stage.DENOISING)}
_NUMBERED = tuple(stage for stage in Stage if stage is not Stage.TRANSFER)

# From the published report: on its own 250 test images of a random split.
PUBLISHED_RESULTS: dict[Stage, dict[str, float]] = {
    Stage.NOISY: {"accuracy": 0.7640},
    Stage.NOISE_TYPE: {"accuracy": 0.7320},
    Stage.DENOISING: {"psnr": 26.07, "ssim": 0.7190, "mse": 0.0054, "lpips": 0.2754},
    Stage.DENOISED: {"accuracy": 0.8040},
}


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Parse a list such as ``0,1,4`` or ``noisy,noise_type`` into distinct stages in the study's order.

    Raises:
        RecipeError: a stage is unknown.

    >>> [stage.value for stage in parse_stages("4, noisy")]
    ['noisy', 'denoised']
    """
    names = {str(number): stage for number, stage in enumerate(_NUMBERED)} | {stage.value: stage for stage in _NUMBERED}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in parts if part not in names]
    if unknown or not parts:
        raise RecipeError(f"unknown stage {', '.join(unknown) or repr(text)}; expected one of {', '.join(names)}")
    selected = {names[part] for part in parts}
    return tuple(stage for stage in Stage if stage in selected)


class ValueWithCI(TypedDict):
    """A measured value with its 95% interval; None if it is not defined, such as a rate without images."""

    value: float | None
    low: float | None
    high: float | None


class StageComparison(TypedDict):
    """Two verdict stages on the same test images. ``difference``: accuracy of the second minus the first, -1..1."""

    first: str
    second: str
    images: int
    parts: int
    difference: ValueWithCI
    mended: int  # images that only the second classifies correctly
    spoiled: int  # images that only the first classifies correctly
    mcnemar_p: float  # exact, two-sided; it assumes independent images
    established: bool  # the interval excludes 0
    sentence: str


class ReliabilityBin(TypedDict):
    """One bin of a reliability diagram: images with a probability of defect in [low, high)."""

    low: float
    high: float
    images: int
    said: float | None  # mean probability of defect
    true: float | None  # share of defects


class CalibrationResult(TypedDict):
    """Temperature scaling fitted on validation images, by fold, and measured on test images."""

    temperatures: list[float]  # one per fold
    validation_images: int
    error_before: ValueWithCI  # expected calibration error, 0..1
    error_after: ValueWithCI
    bins_before: list[ReliabilityBin]
    bins_after: list[ReliabilityBin]


class OperatingPoint(TypedDict):
    """Rates of a threshold on the test images. Escape: a defect called ok. Overkill: an ok part called defect."""

    thresholds: list[float]  # of the (calibrated) probability of defect, one per fold
    defects: int
    escapes: int
    escape: ValueWithCI  # escapes / defects
    oks: int
    overkills: int
    overkill: ValueWithCI  # overkills / oks
    accuracy: ValueWithCI


class OperatingCurve(TypedDict):
    """Escape and overkill rates on the test images at ascending thresholds, with intervals; lists of equal length."""

    threshold: list[float]
    escape: list[float]
    escape_low: list[float]
    escape_high: list[float]
    overkill: list[float]
    overkill_low: list[float]
    overkill_high: list[float]


class RiskCoverageCurve(TypedDict):
    """Share of wrong verdicts among the images with a verdict, by coverage; lists of equal length."""

    coverage: list[float]
    risk: list[float]
    risk_low: list[float]
    risk_high: list[float]


class RetakeResult(TypedDict):
    """The verdict retake on the test images, at cut-offs of the confidence chosen on validation images.

    Confidence is how far the (calibrated) log-odds of defect are from those of the threshold.
    """

    asked: str  # such as "at most 2% wrong verdicts among those given"
    cutoffs: list[float]  # log-odds from the threshold, one per fold; images nearer to it are retaken
    retaken: int
    coverage: ValueWithCI
    risk: ValueWithCI
    sentence: str


class DecisionResult(TypedDict):
    """Decisions from the verdicts of one stage. Without validation images nothing is chosen: those keys are None."""

    asked: str  # such as "an escape costs 10, an overkill 1"
    calibration: CalibrationResult | None
    plain: OperatingPoint  # at 0.5 of the uncalibrated probability: the study's verdicts
    chosen: OperatingPoint | None
    curve: OperatingCurve | None  # None if all test images have one label
    risk: RiskCoverageCurve
    retake: RetakeResult | None
    sentence: str  # effect of the choice, with the rule of three if no defect escaped


class RobustnessPoint(TypedDict):
    """One level of one noise type. Inner keys: "noisy" (classified as it is), "denoised" (by stages 3 and 4)."""

    level: float
    images: int
    accuracy: dict[str, ValueWithCI]
    escape: dict[str, ValueWithCI]
    psnr: dict[str, ValueWithCI]  # empty at level 0: no noise was added
    ssim: dict[str, ValueWithCI]


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
    classification: dict[str, dict[str, ValueWithCI]]  # stage -> measure (as in ClassificationMetrics) -> figure
    restoration: dict[str, dict[str, dict[str, ValueWithCI]]]  # noisy | denoised -> all | noise type -> psnr, ssim, ...
    gain: NotRequired[dict[str, dict[str, ValueWithCI]]]  # paired gain of denoising: all | noise type -> psnr (dB), ...
    comparisons: list[StageComparison]
    decisions: dict[str, DecisionResult]  # stage -> decision
    robustness: dict[str, RobustnessCurve]  # noise type -> curve; empty if it was not measured
