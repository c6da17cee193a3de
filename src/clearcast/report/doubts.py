"""Caveats of a run: reasons to distrust its figures, the most serious first, and remarks that hold for every study."""

from dataclasses import dataclass

from clearcast.evaluation.data_warnings import WarningKind, read_warnings
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.results import RunInfo
from clearcast.report import heldout
from clearcast.report.numbers import decimal
from clearcast.report.sources import Run, classifications, restoration
from clearcast.report.split import Seen, seen

FEW_OF_A_LABEL = 15
FEW = 50  # parts; with fewer the intervals are wide, and still somewhat too narrow
_GRAVE_KINDS = {WarningKind.WRONG_REFERENCE}
MAX_CALIBRATION_ERROR = 0.05  # expected calibration error from which there is a caveat


@dataclass(frozen=True)
class Doubt:
    """One caveat of one or two sentences; ``grave`` if it affects all figures of the page."""

    text: str
    grave: bool = False


def doubts(run: Run) -> list[Doubt]:
    """List the caveats of a run, the most serious first."""
    info = run.metrics["run"]
    found = [*_leakage(info), *_few_parts(run), *_data_warnings(info)]
    if heldout.flatters(run.metrics):
        found.append(Doubt(heldout.doubt(run.metrics), grave=True))
    found += [*_calibration(run), *_unmeasured(run)]
    if info["left_out"]:
        rows = counted(len(info["left_out"]), "row")
        found.append(Doubt(f"{rows} skipped; the reasons are listed under Run details."))
    return found


def remarks(run: Run) -> list[str]:
    """List remarks that hold for every study, and how the epochs were chosen."""
    info = run.metrics["run"]
    texts = [
        f"One run with one seed ({info['seed']}): another seed changes every figure, possibly beyond its interval.",
        "The published figures come from their authors' own test images. They are comparable only if the data and the "
        "split are the same.",
    ]
    if not heldout.flatters(run.metrics):
        texts.append(heldout.doubt(run.metrics))
    return [text for text in texts if text]


def _leakage(info: RunInfo) -> list[Doubt]:
    groups = info.get("groups")
    if groups is None:
        text = (
            "It is not known which images show the same part. If copies of one part are on both sides of the split, "
            "the figures are too optimistic."
        )
        return [Doubt(text)]
    if seen(info) is Seen.NONE:
        return []
    text = (
        f"Leakage: {groups['leaked_test_images']:,} of {counted(groups['test_images'], 'test image')} show a part that "
        "is also in the training set. Expect worse results on new parts; --split grouped measures them."
    )
    return [Doubt(text, grave=True)]


def _data_warnings(info: RunInfo) -> list[Doubt]:
    """The study's warnings, grave ones first; without that on shared parts if ``_leakage`` covers it."""
    covered = {WarningKind.SHARED_PARTS} if seen(info) in {Seen.SOME, Seen.MOST} else set()
    found = [
        Doubt(warning["text"], grave=warning["kind"] in _GRAVE_KINDS)
        for warning in read_warnings(info.get("warnings", []))
        if warning["kind"] not in covered
    ]
    return sorted(found, key=lambda caveat: not caveat.grave)


def _few_parts(run: Run) -> list[Doubt]:
    if run.evidence is None:
        stages = classifications(run.metrics)
        if not stages:
            return []
        images = next(iter(stages.values()))["metrics"]["images"]
        text = (
            f"The intervals assume that all {counted(images, 'test image')} are independent. They are too narrow if "
            "several images show the same part."
        )
        return [Doubt(text)]
    parts, tested = run.evidence["parts"], counted(run.evidence["images"], "test image")
    by_label = run.evidence["parts_by_label"]
    if parts >= FEW and min(by_label.values(), default=0) >= FEW_OF_A_LABEL:
        return []
    labels = " and ".join(f"{count:,} {label}" for label, count in by_label.items())
    return [Doubt(f"Few parts: {tested} of {labels} parts. Other parts could change every figure.")]


def _calibration(run: Run) -> list[Doubt]:
    """Problems of the probabilities and thresholds of the stage that a line would use."""
    decisions = run.evidence["decisions"] if run.evidence else {}
    main = next((key for key in ("denoised", "noisy", "reference", "transfer") if key in decisions), None)
    if main is None:
        return []
    calibration = decisions[main]["calibration"]
    if calibration is None:
        return [Doubt("There were no suitable validation images: no threshold, calibration or retakes were chosen.")]
    error = calibration["error_after"]["value"]
    if error is None or error < MAX_CALIBRATION_ERROR:
        return []
    return [
        Doubt(
            f"Even after calibration, the probabilities of defect ({main}) differ from the observed shares by "
            f"{decimal(error, 3)} on average."
        )
    ]


def _unmeasured(run: Run) -> list[Doubt]:
    found = []
    if run.evidence is not None and not run.evidence["robustness"]:
        found.append(Doubt("Robustness to stronger noise was not measured."))
    denoising = restoration(run.metrics)
    if denoising and denoising["denoised"]["all"]["lpips"] is None:
        reason = " Table 3 gives the reason." if denoising["lpips_note"] else ""
        found.append(Doubt(f"LPIPS was not measured.{reason}"))
    return found
