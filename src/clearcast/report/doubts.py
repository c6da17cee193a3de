"""What a reader should know before trusting the figures: the gravest first, then what holds of every such study."""

from dataclasses import dataclass

from clearcast.evaluation.data_warnings import WarningKind, read_warnings
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.results import RunInfo
from clearcast.report import heldout
from clearcast.report.numbers import decimal
from clearcast.report.sources import Run, classifications, restoration
from clearcast.report.split import Seen, seen

FEW_OF_A_LABEL = 15
FEW = 50  # parts; the intervals of fewer are wide and somewhat too narrow still
_GRAVE = {WarningKind.WRONG_REFERENCE}
OFF = 0.05  # expected calibration error from which the probabilities are doubted


@dataclass(frozen=True)
class Doubt:
    """One sentence or two; ``grave`` where no figure of the page can be taken as it stands."""

    text: str
    grave: bool = False


def doubts(run: Run) -> list[Doubt]:
    """What to distrust in this run, the gravest first."""
    info = run.metrics["run"]
    told = [_split(info), *_parts(run), *_warnings(info)]
    if heldout.flatters(run.metrics):
        told.append(Doubt(heldout.doubt(run.metrics), grave=True))
    told += [*_decisions(run), *_unmeasured(run)]
    if info["left_out"]:
        told.append(Doubt(f"{counted(len(info['left_out']), 'row')} left out; the reasons stand under What was run."))
    return [doubt for doubt in told if doubt.text]


def remarks(run: Run) -> list[str]:
    """What holds of every such study, and how its epochs were chosen."""
    info = run.metrics["run"]
    told = [
        f"One run with one seed ({info['seed']}): another seed moves every figure, beyond its interval too.",
        "The published figures come from their authors' own test pictures; like is compared with like only where the "
        "data and the split are theirs too.",
    ]
    if not heldout.flatters(run.metrics):
        told.append(heldout.doubt(run.metrics))
    return [remark for remark in told if remark]


def _split(info: RunInfo) -> Doubt:
    where, groups = seen(info), info.get("groups")
    if groups is None:
        return Doubt(
            "Which pictures show the same part is not known. Where copies of one part are on both sides of the split, "
            "the figures measure memory as well as skill."
        )
    if where is Seen.NONE:
        return Doubt("")
    return Doubt(
        f"Memory, not skill alone: {groups['leaked_test_images']:,} of {counted(groups['test_images'], 'test image')} "
        "show a part that trained the networks too. On new parts expect worse: --split grouped shows how much.",
        grave=True,
    )


def _warnings(info: RunInfo) -> list[Doubt]:
    """The study's warnings, the gravest first; of shared parts ``_split`` speaks where it knows of them."""
    spoken_of = {WarningKind.SHARED_PARTS} if seen(info) in {Seen.SOME, Seen.MOST} else set()
    told = [
        Doubt(warning["text"], grave=warning["kind"] in _GRAVE)
        for warning in read_warnings(info.get("warnings", []))
        if warning["kind"] not in spoken_of
    ]
    return sorted(told, key=lambda doubt: not doubt.grave)


def _parts(run: Run) -> list[Doubt]:
    if run.evidence is None:
        stages = classifications(run.metrics)
        if not stages:
            return []
        images = next(iter(stages.values()))["metrics"]["images"]
        return [
            Doubt(
                f"The intervals take all {counted(images, 'test image')} for independent: they are narrower than they "
                "should be where images show the same part."
            )
        ]
    parts, tested = run.evidence["parts"], counted(run.evidence["images"], "test image")
    by_label = run.evidence["parts_by_label"]
    if parts >= FEW and min(by_label.values(), default=0) >= FEW_OF_A_LABEL:
        return []
    each = " and ".join(f"{count:,} {label}" for label, count in by_label.items())
    return [Doubt(f"Few parts: {each} ones behind {tested}. Another choice of parts could move every figure.")]


def _decisions(run: Run) -> list[Doubt]:
    """What is wrong with the probabilities and the thresholds of the stage that a line would use."""
    decisions = run.evidence["decisions"] if run.evidence else {}
    main = next((key for key in ("denoised", "noisy", "reference", "transfer") if key in decisions), None)
    if main is None:
        return []
    calibration = decisions[main]["calibration"]
    if calibration is None:
        return [Doubt("Nothing was chosen on validation images: no threshold, no calibration, no retake.")]
    error = calibration["error_after"]["value"]
    if error is None or error < OFF:
        return []
    return [
        Doubt(
            f"Probabilities of defect ({main}) miss the true share by {decimal(error, 3)} on average, though "
            "calibrated."
        )
    ]


def _unmeasured(run: Run) -> list[Doubt]:
    told = []
    if run.evidence is not None and not run.evidence["robustness"]:
        told.append(Doubt("How the verdicts fare under stronger noise was not measured."))
    denoising = restoration(run.metrics)
    if denoising and denoising["denoised"]["all"]["lpips"] is None:
        told.append(
            Doubt("LPIPS was not measured; Table 3 says why." if denoising["lpips_note"] else "LPIPS was not measured.")
        )
    return told
