"""Caveats of a run: leakage, few parts, data warnings, choice of epochs, calibration; and general remarks."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from clearcast.core.numbers import format_count
from clearcast.metrics.results import RunInfo, StudyMetrics, WarningKind, parse_data_warnings
from clearcast.report.formatting import format_decimal
from clearcast.report.run_reader import RunResults, classification_stages, denoising_stage

FEW_PARTS_OF_A_LABEL = 15
FEW_PARTS = 50  # parts; with fewer the intervals are wide, and still somewhat too narrow
_GRAVE_KINDS = {WarningKind.WRONG_REFERENCE}
MAX_CALIBRATION_ERROR = 0.05  # expected calibration error from which there is a caveat


@dataclass(frozen=True)
class Caveat:
    """One caveat of one or two sentences; ``grave`` if it affects all figures of the page."""

    text: str
    grave: bool = False


class LeakLevel(Enum):
    """Share of the test images that show a part of the training set."""

    NONE = auto()
    SOME = auto()
    MOST = auto()
    UNKNOWN = auto()


def list_caveats(run: RunResults) -> list[Caveat]:
    """List the caveats of a run, the most serious first."""
    info = run.metrics["run"]
    caveats = [*_leakage_caveats(info), *_few_parts_caveats(run), *_data_warning_caveats(info)]
    if chose_epoch_on_test(run.metrics):
        caveats.append(Caveat(epoch_choice_text(run.metrics), grave=True))
    caveats += [*_calibration_caveats(run), *_missing_measure_caveats(run)]
    if info["left_out"]:
        rows = format_count(len(info["left_out"]), "row")
        caveats.append(Caveat(f"{rows} skipped; the reasons are listed under Run details."))
    return caveats


def list_remarks(run: RunResults) -> list[str]:
    """List remarks that hold for every study, and how the epochs were chosen."""
    info = run.metrics["run"]
    texts = [
        f"One run with one seed ({info['seed']}): another seed changes every figure, possibly beyond its interval.",
        "The published figures come from their authors' own test images. They are comparable only if the data and the "
        "split are the same.",
    ]
    if not chose_epoch_on_test(run.metrics):
        texts.append(epoch_choice_text(run.metrics))
    return [text for text in texts if text]


def leak_level(run: RunInfo) -> LeakLevel:
    """Grade the leakage of a run's split by its groups; unknown without groups."""
    groups = run.get("groups")
    if groups is None:
        return LeakLevel.UNKNOWN
    if groups["leaked_test_images"] == 0:
        return LeakLevel.NONE
    return LeakLevel.MOST if 2 * groups["leaked_test_images"] > groups["test_images"] else LeakLevel.SOME


def learning_curve_caption(run: RunInfo, stage: str) -> str:
    """Write the caption of a stage's learning curves."""
    use = "used to choose the epoch" if _chooses_epoch(run, _recipe_table(stage)) else "monitored only"
    return f"Learning curves; the held-out rows are the {_heldout_rows(run)} rows, {use}"


def epoch_choice_text(metrics: StudyMetrics) -> str:
    """Describe how the held-out rows affected networks and figures; empty if nothing was trained."""
    run, rows = metrics["run"], _heldout_rows(metrics["run"])
    trained = _trained_tables(metrics)
    choosing = {table for table in trained if _chooses_epoch(run, table)}
    if len(trained) > 1 and choosing in (set(), trained):
        texts = [_epoch_text("network", rows, chooses=bool(choosing))]
    else:
        texts = [_epoch_text(table, rows, chooses=table in choosing) for table in sorted(trained)]
    if chose_epoch_on_test(metrics):
        texts.append("There were no validation rows, so the figures are better than they would be on other images.")
    return " ".join(texts)


def chose_epoch_on_test(metrics: StudyMetrics) -> bool:
    """Check whether test rows chose the epoch of a network, which makes its figures too good."""
    run = metrics["run"]
    return _heldout_rows(run) == "test" and any(_chooses_epoch(run, table) for table in _trained_tables(metrics))


def _leakage_caveats(info: RunInfo) -> list[Caveat]:
    groups = info.get("groups")
    if groups is None:
        text = (
            "It is not known which images show the same part. If copies of one part are on both sides of the split, "
            "the figures are too optimistic."
        )
        return [Caveat(text)]
    if leak_level(info) is LeakLevel.NONE:
        return []
    text = (
        f"Leakage: {groups['leaked_test_images']:,} of {format_count(groups['test_images'], 'test image')} show a "
        "part that is also in the training set. Expect worse results on new parts; --split grouped measures them."
    )
    return [Caveat(text, grave=True)]


def _data_warning_caveats(info: RunInfo) -> list[Caveat]:
    """The study's warnings, grave ones first; without that on shared parts if ``_leakage_caveats`` covers it."""
    covered = {WarningKind.SHARED_PARTS} if leak_level(info) in {LeakLevel.SOME, LeakLevel.MOST} else set()
    caveats = [
        Caveat(warning["text"], grave=warning["kind"] in _GRAVE_KINDS)
        for warning in parse_data_warnings(info.get("warnings", []))
        if warning["kind"] not in covered
    ]
    return sorted(caveats, key=lambda caveat: not caveat.grave)


def _few_parts_caveats(run: RunResults) -> list[Caveat]:
    if run.evidence is None:
        stages = classification_stages(run.metrics)
        if not stages:
            return []
        images = next(iter(stages.values()))["metrics"]["images"]
        text = (
            f"The intervals assume that all {format_count(images, 'test image')} are independent. They are too "
            "narrow if several images show the same part."
        )
        return [Caveat(text)]
    parts, tested = run.evidence["parts"], format_count(run.evidence["images"], "test image")
    by_label = run.evidence["parts_by_label"]
    if parts >= FEW_PARTS and min(by_label.values(), default=0) >= FEW_PARTS_OF_A_LABEL:
        return []
    labels = " and ".join(f"{count:,} {label}" for label, count in by_label.items())
    return [Caveat(f"Few parts: {tested} of {labels} parts. Other parts could change every figure.")]


def _calibration_caveats(run: RunResults) -> list[Caveat]:
    """Problems of the probabilities and thresholds of the stage that production would use."""
    decisions = run.evidence["decisions"] if run.evidence else {}
    main = next((key for key in ("denoised", "noisy", "reference", "transfer") if key in decisions), None)
    if main is None:
        return []
    calibration = decisions[main]["calibration"]
    if calibration is None:
        return [Caveat("There were no suitable validation images: no threshold, calibration or retakes were chosen.")]
    error = calibration["error_after"]["value"]
    if error is None or error < MAX_CALIBRATION_ERROR:
        return []
    return [
        Caveat(
            f"Even after calibration, the probabilities of defect ({main}) differ from the observed shares by "
            f"{format_decimal(error, 3)} on average."
        )
    ]


def _missing_measure_caveats(run: RunResults) -> list[Caveat]:
    caveats = []
    if run.evidence is not None and not run.evidence["robustness"]:
        caveats.append(Caveat("Robustness to stronger noise was not measured."))
    denoising = denoising_stage(run.metrics)
    if denoising and denoising["denoised"]["all"]["lpips"] is None:
        reason = " Table 3 gives the reason." if denoising["lpips_note"] else ""
        caveats.append(Caveat(f"LPIPS was not measured.{reason}"))
    return caveats


def _trained_tables(metrics: StudyMetrics) -> set[str]:
    return {_recipe_table(key) for key, stage in metrics["stages"].items() if stage["training"] is not None}


def _epoch_text(table: str, rows: str, *, chooses: bool) -> str:
    if chooses:
        return f"The epoch of each {table} is the one with the lowest loss on the {rows} rows."
    return f"The epoch of each {table} is the last; the {rows} rows were only monitored."


def _recipe_table(stage: str) -> str:
    """Name of the recipe's table that a stage's network is trained by."""
    return "denoiser" if stage == "denoising" else "classifier"


def _chooses_epoch(run: RunInfo, table: str) -> bool:
    settings = run["recipe"].get(table)
    return isinstance(settings, Mapping) and bool(settings.get("patience"))


def _heldout_rows(run: RunInfo) -> str:
    """Subset that was measured after each epoch: validation, or test if there are no validation rows."""
    return "validation" if "validation" in run["counts"] else "test"
