"""Schema of ``metrics.json``: typed dictionaries of a study's results.

A run folder contains::

    run.json                   start time and request: sheet, recipe, seed
    split.csv                  row, noisy, part, split: the part that a row shows, and its subset
    metrics.json               StudyMetrics
    predictions.csv            one line a test image, all stages side by side
    validation.csv             the same for validation images, for the stages that give verdicts
    robustness.csv             verdicts and measures of test images at rising levels of synthetic noise
    evidence.json              intervals, comparisons, calibration, thresholds: made from these tables (see evidence/)
    report.html, figures/      the report page and its figures as PNG
    denoised_pictures/         <row>-<stem>.png: stage 3's images, one for each row of the sheet, at the recipe's size
    <stage>/result.json        the stage's own entry of metrics.json
    <stage>/predictions.csv    the stage's own columns of predictions.csv; validation.csv likewise
    <stage>/history.csv        epoch, seconds, train_loss, heldout_loss; train_accuracy, heldout_accuracy (classifiers)
    <stage>/model.safetensors, last.ckpt, best.safetensors (with early stopping)

``predictions.csv`` has the columns ``row, noisy, reference, part, label, noise_type``, and for each stage that was run:
``p_defect_STAGE, logit_STAGE, said_STAGE`` (STAGE: reference, noisy, denoised, transfer); ``p_TYPE`` for each noise
type and ``said_noise_type``; ``psnr_X, ssim_X, mse_X, lpips_X`` (X: noisy, denoised) and ``denoised``, the path in the
run. ``fold`` is present in a run of several folds.
"""

from typing import Literal, NotRequired, TypedDict

from clearcast.evaluation.data_warnings import DataWarning


class Roc(TypedDict):
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


FidelityMeasure = Literal["psnr", "ssim", "mse", "lpips"]  # the keys of FidelityMetrics except ``images``


class Spread(TypedDict):
    """Mean and sample standard deviation over images. ``identical`` counts images with infinite PSNR, left out."""

    mean: float | None
    std: float | None
    identical: NotRequired[int]


class FidelityMetrics(TypedDict):
    """Means over images. ``lpips`` is None if it was not measured."""

    images: int
    psnr: Spread  # dB, data range 1
    ssim: Spread
    mse: Spread  # on the 0..1 scale
    lpips: Spread | None


class Layer(TypedDict):
    """One layer of a network; shapes without the batch dimension."""

    name: str
    kind: str  # such as "Conv2d"
    details: str  # such as "3→16, kernel 3, stride 4, padding 1"
    output: list[int]
    parameters: int


class Training(TypedDict):
    """How one network was trained."""

    epochs: int
    train_images: int
    seconds: float  # of fitting, without the evaluation of held-out rows
    device: str
    cache: str  # how many images were cached in memory
    images_per_second: float
    parameters: int
    layers: list[Layer]


class ClassificationStage(TypedDict):
    """A classification stage. ``transfer`` has no training: stage 1's network on denoised images."""

    kind: Literal["classification"]
    title: str
    classes: list[str]  # the order of confusion's rows (true) and columns (predicted)
    metrics: ClassificationMetrics
    published: dict[str, float] | None  # keys as in metrics
    confusion: list[list[int]]
    roc: dict[str, Roc]  # of defect only, or one for each class against the rest
    training: Training | None


class RestorationStage(TypedDict):
    """Stage 3. ``noisy`` and ``denoised`` have the keys "all" and the noise types that occur in the test rows."""

    kind: Literal["restoration"]
    title: str
    noisy: dict[str, FidelityMetrics]
    denoised: dict[str, FidelityMetrics]
    published: dict[str, float] | None  # psnr, ssim, mse, lpips: of "all", denoised
    lpips_note: str | None  # why LPIPS was not measured, or a note on it
    training: Training | None


class GroupFacts(TypedDict):
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
    groups: NotRequired[GroupFacts]
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
    stages: dict[str, ClassificationStage | RestorationStage]
