"""Distillation of a bundle of recipe ``clear`` into a student that inspects many times as fast.

One small network predicts verdicts, noise types and heat maps from the noisy image. Images are denoised on demand, by
a smaller detail network that is trained with the same survey network.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast.bundle.ground import WORK, Ground, begin
from clearcast.bundle.judging import ClassifierFit, classifier_rows, fit_head
from clearcast.bundle.measuring import measure
from clearcast.bundle.networks import Distilled, Networks, load_networks, still
from clearcast.bundle.packaging import Data, sheet_of
from clearcast.bundle.pipeline import PhaseTimer, describe_networks, write_trained_bundle
from clearcast.bundle.request import TrainRequest
from clearcast.bundle.teaching import Teaching
from clearcast.domain import Subset
from clearcast.errors import OutputError, RecipeError
from clearcast.evaluation.study.dividing import SplitChoice, SplitKind
from clearcast.evaluation.study.folder import RunFolder
from clearcast.imaging import Channels
from clearcast.models.clear.restorer import SLIM, Restorer
from clearcast.models.glance import Glance, GlancingJudge, glance_shape
from clearcast.progress import progress_bar
from clearcast.runtime.manifest import Manifest, Trained
from clearcast.runtime.package import open_package
from clearcast.runtime.signing import Trust
from clearcast.training.clear.fitting import fit_detail
from clearcast.training.clear.glancing import NoisyViews, fit_glance
from clearcast.training.clear.planning import DISTILLATION_VIEWS
from clearcast.training.fit import Surroundings, device_name
from clearcast.training.synthesis import TYPES
from clearcast.training.weights import fingerprint

SIDE, SIDES = 160, range(64, 1025, 32)  # pixels of the longer side of the student's input


@dataclass(frozen=True, kw_only=True)
class DistillRequest(TrainRequest):
    """What to distil; the sheet and its split are the teacher's.

    ``teacher``: its name; ``fingerprint``, ``networks`` and ``taught`` (its manifest): the teacher's. ``side``: pixels
    of the longer side of the student's input, one of ``SIDES``: a larger one shows finer defects, and the time grows
    with the area.

    Raises:
        RecipeError: ``side`` is not one of them.
    """

    teacher: str
    fingerprint: str
    networks: Networks
    taught: Trained
    side: int = SIDE

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise RecipeError(
                f"expected a side that is a multiple of {SIDES.step} pixels from {SIDES.start} to {SIDES[-1]}, such as "
                f"{SIDE}; got {self.side}"
            )

    def question(self) -> dict[str, Any]:
        """See ``TrainRequest``."""
        return super().question() | {
            "recipe": "glance",
            "side": self.side,
            "teacher": self.fingerprint,
        }


def request_of(
    teacher: Path,
    out: Path,
    data: Data,
    *,
    console: Console,
    side: int = SIDE,
    budget: float | None = None,
    resume: bool = False,
    force: bool = False,
    accelerator: str = "auto",
    trust: Trust | None = None,
) -> DistillRequest:
    """Make the request to distil ``teacher`` into ``out`` with the sheet, the split and the seed of its training.

    Raises:
        OutputError: ``teacher`` is not the folder of a bundle of recipe clear, is not signed as ``trust`` requires, or
            has no classifier; its sheet was moved; or one folder lies in the other.
    """
    if not teacher.is_dir():
        raise OutputError(f"{teacher}: expected the folder of a bundle made by 'clearcast train'")
    manifest, run = open_package(teacher, trust).manifest, RunFolder(path=teacher)
    networks, taught = load_networks(teacher, trust)
    if networks.verdicts is None:
        raise OutputError(f"{teacher}: has no classifier to distil ({taught['no_judge']})")
    if networks.restorer.noise_types != TYPES:
        raise OutputError(
            f"{teacher}: expected the noise types {', '.join(TYPES)}, got {', '.join(networks.restorer.noise_types)}; "
            "train it again with this version"
        )
    if not (teacher / "run.json").is_file() or not run.split.is_file():
        raise OutputError(f"{teacher}: has no run.json and split.csv; expected a bundle made by 'clearcast train'")
    if out.resolve().is_relative_to(teacher.resolve()) or teacher.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{out} and {teacher}: one lies in the other; choose another folder with --out")
    question = run.metadata["question"]
    return DistillRequest(
        teacher=teacher.resolve().name,
        fingerprint=manifest["fingerprint"],
        networks=networks,
        taught=taught,
        out=out,
        sheet=sheet_of(run, data),
        split=SplitChoice(kind=SplitKind.FILE, file=run.split),
        seed=question["seed"],
        skip_bad=bool(question.get("skip_bad")),
        side=side,
        budget=budget,
        resume=resume,
        force=force,
        accelerator=accelerator,
        console=console,
    )


def distill(request: DistillRequest) -> Manifest:
    """Fit the student, its classifier and a small restorer, measure them on the test rows, and write a bundle.

    Raises:
        ClearcastError: the teacher, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; ``resume`` continues it.
    """
    assert request.networks.verdicts, "others are refused"
    ground = begin(request)
    timer, work = PhaseTimer(), ground.folder.path / WORK
    height, width = request.taught["trained_on"]["shape"]
    shape, backbone = glance_shape((height, width), request.side), request.networks.verdicts.network.backbone
    torch.manual_seed(request.seed)
    glance, restorer = Glance(backbone), _slim(request.networks.restorer, ground.channels)
    with timer.phase("reading"):
        training, heldout = ground.galleries(request.console)
    teaching = Teaching(request, ground, backbone, shape)
    plan = teaching.plan(glance, restorer, training)
    with timer.phase("looking"), progress_bar(request.console, "Computing features of noise-free images") as progress:
        lessons = teaching.lessons(work / "seen", plan.rows, progress)
    around = Surroundings(seed=request.seed, console=request.console, accelerator=request.accelerator)
    with timer.phase("glance"):
        fit_glance(glance, lessons, work / "glance", steps=plan.glance, config=around)
    with timer.phase("detail"):
        fit_detail(restorer, training, heldout, work / "detail", steps=plan.detail, config=around)
    with timer.phase("judge"):
        network, fit = _fit_classifier(request, ground, still(glance), shape, plan.judged, work / "judge")
    distilled = Distilled(channels=ground.channels, restorer=still(restorer.cpu()), network=network, facts=fit.facts)
    with timer.phase("measuring"):
        measured = measure(distilled, ground, fit.crossfitted, seed=request.seed, console=request.console)
    trained = describe_networks(
        "glance",
        trained_on=request.taught["trained_on"],
        effort={
            "seed": request.seed,
            "plan": {**asdict(plan), "views": DISTILLATION_VIEWS},
            "minutes": timer.minutes,
            "device": device_name(request.accelerator),
            "budget_minutes": request.budget,
        },
        judge=fit.facts,
        measured=measured,
    )
    trained["noise_made_anew"] = ground.adds_test_noise
    trained["distilled_from"] = f"{request.teacher} {request.fingerprint[:8]}"
    table = ground.folder.table(Subset.TEST).drop(columns="sharpness")  # it needs the denoised image
    return write_trained_bundle(request, ground, distilled, trained, table, timer)


def _slim(restorer: Restorer, channels: Channels) -> Restorer:
    """The same global encoder with a smaller detail network, which is not fitted yet."""
    slim = Restorer(channels.depth, SLIM, restorer.noise_types)
    slim.global_encoder.load_state_dict(restorer.global_encoder.state_dict())
    return slim


def _fit_classifier(
    request: DistillRequest, ground: Ground, glance: Glance, shape: tuple[int, int], most: int, work: Path
) -> tuple[GlancingJudge, ClassifierFit]:
    """Fit a classifier to the student's features of noisy images."""
    chosen = classifier_rows(ground, most, request.seed)
    pairs = ground.pairs(chosen.rows)
    if ground.adds_test_noise:  # the sheet has no noisy images, but those of the line are
        pairs = [replace(pair, noisy=None) if pair.clean else pair for pair in pairs]
    views = NoisyViews(pairs, ground.channels, shape, seed=request.seed)
    folder = work / fingerprint(glance)
    fit = fit_head(request, chosen, views, glance.backbone, folder, shape=shape, views=DISTILLATION_VIEWS)
    glance.cpu()
    return still(GlancingJudge(glance, fit.head, shape)), fit
