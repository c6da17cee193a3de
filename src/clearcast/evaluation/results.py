"""What a study writes to ``metrics.json``: plain, typed dictionaries, ready for JSON.

A run folder holds::

    run.json                   when, and what was asked for: sheet, recipe, seed
    split.csv                  row, noisy, part, split: which part a row shows, and what the row is used for
    metrics.json               StudyMetrics
    predictions.csv            one line a test picture, all stages side by side
    validation.csv             the same of the validation pictures, for the stages that give verdicts
    robustness.csv             verdicts and measures of test pictures at rising levels of synthesised noise
    evidence.json              intervals, comparisons, calibration, thresholds: made from these tables (see evidence/)
    report.html, figures/      the page made of all this, and its figures as PNG
    denoised_pictures/         <row>-<stem>.png: stage 3's pictures, one for each row of the sheet, at the recipe's size
    <stage>/result.json        the stage's own entry of metrics.json
    <stage>/predictions.csv    the stage's own columns of predictions.csv; validation.csv likewise
    <stage>/history.csv        epoch, seconds, train_loss, heldout_loss; train_accuracy, heldout_accuracy (classifiers)
    <stage>/model.safetensors, last.ckpt, best.safetensors (with early stopping)

``predictions.csv`` has the columns ``row, noisy, reference, part, label, noise_type``, and of each stage that was run:
``p_defect_STAGE, logit_STAGE, said_STAGE`` (STAGE: reference, noisy, denoised, transfer); ``p_TYPE`` for each noise
type and ``said_noise_type``; ``psnr_X, ssim_X, mse_X, lpips_X`` (X: noisy, denoised) and ``denoised``, the path in the
run. ``fold`` is there in a run of several folds.
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

    ``precision``, ``recall`` and ``f1`` are weighted by class frequency, as in the report. The binary ones are of the
    defect class (positive): ``sensitivity`` is its recall, ``specificity`` the recall of ok. ``roc_area`` is of the
    defect class, or the mean of one-against-rest areas. A measure whose denominator is zero is None: sensitivity and
    ``defect_f1`` where no defect was tested, a precision where nothing was said to be of the class, ``roc_area`` where
    a class has no test row.
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


FidelityMeasure = Literal["psnr", "ssim", "mse", "lpips"]  # the keys of FidelityMetrics but for ``images``


class Spread(TypedDict):
    """Mean and sample standard deviation over images. ``identical`` counts images with infinite PSNR, left out."""

    mean: float | None
    std: float | None
    identical: NotRequired[int]


class FidelityMetrics(TypedDict):
    """Means over images. ``lpips`` is None where it was not measured."""

    images: int
    psnr: Spread  # dB, data range 1
    ssim: Spread
    mse: Spread  # on the 0..1 scale
    lpips: Spread | None


class Layer(TypedDict):
    """One layer of a network as it was built; shapes are without the batch."""

    name: str
    kind: str  # such as "Conv2d"
    details: str  # such as "3→16, kernel 3, stride 4, padding 1"
    output: list[int]
    parameters: int


class Training(TypedDict):
    """How one network was trained."""

    epochs: int
    train_images: int
    seconds: float  # of fitting alone, without measuring the held-out rows
    device: str
    cache: str  # how many of its pictures were kept decoded in memory
    images_per_second: float
    parameters: int
    layers: list[Layer]


class ClassificationStage(TypedDict):
    """A stage whose answer is a class. ``transfer`` has no training: stage 1's network on denoised pictures."""

    kind: Literal["classification"]
    title: str
    classes: list[str]  # the order of confusion's rows (true) and columns (said)
    metrics: ClassificationMetrics
    published: dict[str, float] | None  # keys as in metrics
    confusion: list[list[int]]
    roc: dict[str, Roc]  # of the defect class alone, or one for each class against the rest
    training: Training | None


class RestorationStage(TypedDict):
    """Stage 3. ``noisy`` and ``denoised`` have the keys "all" and the noise types that occur in the test rows."""

    kind: Literal["restoration"]
    title: str
    noisy: dict[str, FidelityMetrics]
    denoised: dict[str, FidelityMetrics]
    published: dict[str, float] | None  # psnr, ssim, mse, lpips: of "all", denoised
    lpips_note: str | None  # why LPIPS was not measured, or what to know about it
    training: Training | None


class GroupFacts(TypedDict):
    """What is known of the parts behind the rows."""

    source: str  # found | file | column | split
    parts: int
    rows: int
    largest: int  # rows of the part with the most
    leaked_test_images: int  # whose part was also trained on
    test_images: int


class RunInfo(TypedDict):
    """What was run, on what, by what."""

    sheet: str
    sheet_sha256: str
    root: str
    recipe: dict[str, object]  # as in the recipe's file: nested tables
    seed: int
    device: str  # of all stages
    versions: dict[str, str]
    split: str  # how rows were divided, in one sentence
    split_kind: NotRequired[str]  # grouped | random | column | file
    groups: NotRequired[GroupFacts]
    folds: NotRequired[int]  # above 1: the figures are of several runs, each in a folder fold-1, fold-2, ...
    counts: dict[str, dict[str, dict[str, int]]]  # {"train"|"validation"|"test": {"label"|"noise": {name: rows}}}
    left_out: list[str]  # rows that could not be used, each with the reason
    warnings: NotRequired[list[DataWarning]]  # what to know about the data; texts alone in runs of before
    cache: str  # of all stages
    started: str  # ISO 8601 with time zone
    seconds: float  # of fitting, all stages together


class StudyMetrics(TypedDict):
    """The whole of ``metrics.json``. The keys of ``stages``, in order: the ``Stage`` values that were run."""

    format: int
    run: RunInfo
    stages: dict[str, ClassificationStage | RestorationStage]
