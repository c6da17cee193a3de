"""Schema of ``metrics.json``: results by stage, run information and data warnings."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, NotRequired, TypedDict

_SHARED_PARTS_TEXT = re.compile(
    r"\d+ of \d+ test images show a part that was also trained on:"
)  # how older texts began
QualityMeasure = Literal["psnr", "ssim", "mse", "lpips"]  # the keys of QualityMetrics except ``images``


class WarningKind(StrEnum):
    """Kind of a warning; readers select by it, never by the text."""

    SHARED_PARTS = "shared parts"  # test images show parts that are also in the training set (leakage)
    CHOSEN_ON_TESTED = "chosen on tested parts"  # thresholds were chosen on parts that are also in the test set
    SHARED_FILES = "shared files"  # test rows list the same files as training rows
    UNTESTED_LABEL = "untested label"
    STRETCHED = "stretched pictures"
    WRONG_REFERENCE = "wrong reference"  # references that do not match their noisy images
    OTHER_SHEET = "trained on another sheet"  # a model in a benchmark may have been trained on the test parts
    UNKNOWN = "unknown"  # from a run that stored only texts, or from a later version


class DataWarning(TypedDict):
    """One warning: a ``WarningKind`` and a text of whole sentences."""

    kind: str
    text: str


def make_data_warning(kind: WarningKind, text: str) -> DataWarning:
    """Make a warning record."""
    return {"kind": kind.value, "text": text}


def parse_data_warnings(stored: Iterable[DataWarning | str]) -> list[DataWarning]:
    """Convert the warnings of a run to records; older runs stored only texts, mostly of unknown kind."""
    return [_parse_text(warning) if isinstance(warning, str) else warning for warning in stored]


def _parse_text(text: str) -> DataWarning:
    return make_data_warning(WarningKind.SHARED_PARTS if _SHARED_PARTS_TEXT.match(text) else WarningKind.UNKNOWN, text)


class RocCurve(TypedDict):
    """One ROC curve: false and true positive rates in 0..1, and the area under it."""

    fpr: list[float]
    tpr: list[float]
    area: float


class ClassificationMetrics(TypedDict):
    """Measures of a classifier on the test rows, each in 0..1.

    ``precision``, ``recall`` and ``f1`` are weighted by class frequency, as in the published report. The binary
    measures have defect as the positive class: ``sensitivity`` is its recall, ``specificity`` the recall of ok.
    ``roc_area`` is that of defect, or the mean of one-against-rest areas. A measure with a denominator of zero is None:
    sensitivity and ``defect_f1`` if no defect was tested, a precision if nothing was predicted to be of the class,
    ``roc_area`` if a class has no test row.
    """

    images: int
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    roc_area: float | None
    defect_precision: NotRequired[float | None]
    defect_f1: NotRequired[float | None]
    sensitivity: NotRequired[float | None]
    specificity: NotRequired[float | None]


class MeanAndStd(TypedDict):
    """Mean and sample standard deviation over images. ``identical`` counts images with infinite PSNR, left out."""

    mean: float | None
    std: float | None
    identical: NotRequired[int]


class QualityMetrics(TypedDict):
    """Means over images. ``lpips`` is None if it was not measured."""

    images: int
    psnr: MeanAndStd  # dB, data range 1
    ssim: MeanAndStd
    mse: MeanAndStd  # on the 0..1 scale
    lpips: MeanAndStd | None


class LayerInfo(TypedDict):
    """One layer of a network; shapes without the batch dimension."""

    name: str
    kind: str  # such as "Conv2d"
    details: str  # such as "3→16, kernel 3, stride 4, padding 1"
    output: list[int]
    parameters: int


class TrainingInfo(TypedDict):
    """How one network was trained."""

    epochs: int
    train_images: int
    seconds: float  # of fitting, without the evaluation of held-out rows
    device: str
    cache: str  # how many images were cached in memory
    images_per_second: float
    parameters: int
    layers: list[LayerInfo]


class ClassificationResult(TypedDict):
    """A classification stage. ``transfer`` has no training: stage 1's network on denoised images."""

    kind: Literal["classification"]
    title: str
    classes: list[str]  # the order of confusion's rows (true) and columns (predicted)
    metrics: ClassificationMetrics
    published: dict[str, float] | None  # keys as in metrics
    confusion: list[list[int]]
    roc: dict[str, RocCurve]  # of defect only, or one for each class against the rest
    training: TrainingInfo | None


class DenoisingResult(TypedDict):
    """Stage 3. ``noisy`` and ``denoised`` have the keys "all" and the noise types that occur in the test rows."""

    kind: Literal["restoration"]
    title: str
    noisy: dict[str, QualityMetrics]
    denoised: dict[str, QualityMetrics]
    published: dict[str, float] | None  # psnr, ssim, mse, lpips: of "all", denoised
    lpips_note: str | None  # why LPIPS was not measured, or a note on it
    training: TrainingInfo | None


class GroupCounts(TypedDict):
    """Parts (groups) behind the rows."""

    source: str  # found | file | column | split
    parts: int
    rows: int
    largest: int  # rows of the largest group
    leaked_test_images: int  # test images whose part is also in the training set
    test_images: int


class RunInfo(TypedDict):
    """Request, data and environment of a run."""

    sheet: str
    sheet_sha256: str
    root: str
    recipe: dict[str, object]  # as in the recipe file: nested tables
    seed: int
    device: str  # of all stages
    versions: dict[str, str]
    split: str  # how rows were split, in one sentence
    split_kind: NotRequired[str]  # grouped | random | column | file
    groups: NotRequired[GroupCounts]
    folds: NotRequired[int]  # above 1: the figures pool several runs, in the folders fold-1, fold-2, ...
    counts: dict[str, dict[str, dict[str, int]]]  # {"train"|"validation"|"test": {"label"|"noise": {name: rows}}}
    left_out: list[str]  # skipped rows, each with the reason
    warnings: NotRequired[list[DataWarning]]  # about the data; only texts in older runs
    cache: str  # of all stages
    started: str  # ISO 8601 with time zone
    seconds: float  # of fitting, all stages together


class StudyMetrics(TypedDict):
    """The whole of ``metrics.json``. The keys of ``stages``, in order: the ``Stage`` values that were run."""

    format: int
    run: RunInfo
    stages: dict[str, ClassificationResult | DenoisingResult]
