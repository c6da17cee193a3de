"""What the numbers say, in plain sentences, and what they do not."""

from dataclasses import dataclass

from clearcast.evaluation.results import ClassificationStage, StudyMetrics
from clearcast.report import heldout
from clearcast.report.numbers import counted, decimal, interval
from clearcast.report.sources import Run, classifications, restoration
from clearcast.report.tables import gain, lpips_remark


@dataclass(frozen=True)
class Tile:
    """One key figure, with the words above and below it."""

    name: str
    value: str
    note: str


def sentences(run: Run) -> list[str]:
    """The study's results as a paragraph; only what was run is spoken of."""
    stages, denoising = classifications(run.metrics), restoration(run.metrics)
    told = []
    if "noisy" in stages:
        told.append(f"The accuracy of ok or defect on noisy pictures is {_accuracy(stages['noisy'])}.")
    if "noise_type" in stages:
        told.append(f"The accuracy of the noise type is {_accuracy(stages['noise_type'])}.")
    added = gain(denoising) if denoising else None
    if denoising and added is not None:
        before, after = denoising["noisy"]["all"]["psnr"]["mean"], denoising["denoised"]["all"]["psnr"]["mean"]
        verb = "raised" if added > 0 else "lowered"
        told.append(
            f"Denoising {verb} the mean PSNR by {decimal(abs(added), 2)} dB, from {decimal(before, 2)} to "
            f"{decimal(after, 2)} dB{_beside(denoising['published'], 'psnr', 2)}."
        )
    if "denoised" in stages:
        told.append(
            f"On denoised pictures the accuracy of ok or defect is {_accuracy(stages['denoised'])}.{_helped(run)}"
        )
    if "transfer" in stages:
        told.append(
            f"Stage 1's network, shown denoised pictures without retraining, has {_accuracy(stages['transfer'])}."
        )
    if "reference" in stages:
        told.append(f"The ceiling, on reference pictures without noise, is {_accuracy(stages['reference'])}.")
    return told


def tiles(metrics: StudyMetrics) -> list[Tile]:
    """The key figures."""
    names = {
        "noisy": "Accuracy, noisy",
        "noise_type": "Accuracy, noise type",
        "denoised": "Accuracy, denoised",
        "reference": "Accuracy, reference",
    }
    stages, denoising = classifications(metrics), restoration(metrics)
    made = {
        key: Tile(name, decimal(stages[key]["metrics"]["accuracy"]), _note(stages[key]["published"], "accuracy", 4))
        for key, name in names.items()
        if key in stages
    }
    if denoising:
        psnr = decimal(denoising["denoised"]["all"]["psnr"]["mean"], 2)
        made["denoising"] = Tile("PSNR, denoised, dB", psnr, _note(denoising["published"], "psnr", 2))
    return [made[key] for key in ("noisy", "noise_type", "denoising", "denoised", "reference") if key in made]


def doubts(metrics: StudyMetrics) -> list[str]:
    """What a reader should know before trusting the figures."""
    run, stages, denoising = metrics["run"], classifications(metrics), restoration(metrics)
    told = [
        f"The split: {run['split'].rstrip('.')}. Where pictures of one part, or copies of one picture, are on both "
        "sides of a split, the figures measure memory as well as skill.",
        *run.get("warnings", []),
    ]
    if stages:
        first = stages.get("noisy") or next(iter(stages.values()))
        low, high = interval(first["metrics"]["accuracy"], first["metrics"]["images"])
        told.append(
            f"The figures are of {counted(first['metrics']['images'], 'test picture')}: an accuracy of "
            f"{decimal(first['metrics']['accuracy'])} stands for anything from {low:.3f} to {high:.3f} (95 % interval, "
            "and narrower than it should be where pictures show the same part)."
        )
    told += [
        f"One run with one seed ({run['seed']}): another seed moves every figure a little.",
        "The published figures come from their authors' own test pictures; like is compared with like only where the "
        "data and the split are theirs too.",
        heldout.doubt(metrics),
    ]
    if denoising:
        told.append(lpips_remark(denoising))
    if run["left_out"]:
        told.append(f"Rows left out: {len(run['left_out']):,}; each is listed with its reason under What was run.")
    return [doubt for doubt in told if doubt]


def _helped(run: Run) -> str:
    """Whether denoising helped, on the same pictures one by one."""
    if "noisy" not in run.metrics["stages"]:
        return ""
    label = run.predictions["label"]
    before, after = (run.predictions[f"said_{stage}"] == label for stage in ("noisy", "denoised"))
    mended, spoiled = int((~before & after).sum()), int((before & ~after).sum())
    return f" Picture by picture, denoising mended {counted(mended, 'verdict')} and spoiled {spoiled:,}."


def _accuracy(stage: ClassificationStage) -> str:
    return f"{decimal(stage['metrics']['accuracy'])}{_beside(stage['published'], 'accuracy', 4)}"


def _beside(published: dict[str, float] | None, key: str, digits: int) -> str:
    return f" (published: {decimal(published[key], digits)})" if published and key in published else ""


def _note(published: dict[str, float] | None, key: str, digits: int) -> str:
    return f"published {decimal(published[key], digits)}" if published and key in published else "nothing published"
