"""Distillation of a bundle of recipe ``clear`` into a student that inspects many times as fast.

One small network predicts verdicts, noise types and heat maps from the noisy image. Images are denoised on demand, by
a smaller detail network that is trained with the same survey network.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import Manifest, TrainingManifest
from clearcast.bundle.signing import TrustedSigners
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, RecipeError
from clearcast.nn.restorer import SMALL_DETAIL, ClearDenoiser
from clearcast.nn.student import StudentClassifier, StudentEncoder, student_shape
from clearcast.nn.weights import hash_weights
from clearcast.pipelines.bundle_writer import PhaseTimer, describe_trained_networks, write_trained_bundle
from clearcast.pipelines.distillation_setup import DistillationSetup
from clearcast.pipelines.export import SheetLocation, read_training_sheet
from clearcast.pipelines.measurement import measure_bundle
from clearcast.pipelines.networks import BundleNetworks, DistilledNetworks, freeze, load_networks
from clearcast.pipelines.train_classifier import ClassifierFit, choose_classifier_rows, train_classifier_head
from clearcast.pipelines.training_data import WORK_FOLDER, TrainingData, TrainRequest, prepare_training_data
from clearcast.synth.augmentation import TRAINED_NOISE_TYPES
from clearcast.train.distillation import NoisyViews, fit_student
from clearcast.train.restorer_training import fit_detail_unet
from clearcast.train.run_directory import RunDirectory
from clearcast.train.split_choice import SplitChoice, SplitKind
from clearcast.train.trainer import TrainerConfig, describe_device
from clearcast.train.training_budget import DISTILLATION_VIEWS
from clearcast.types import Subset

STUDENT_SIDE, STUDENT_SIDES = 160, range(64, 1025, 32)  # pixels of the longer side of the student's input


@dataclass(frozen=True, kw_only=True)
class DistillRequest(TrainRequest):
    """What to distil; the sheet and its split are the teacher's.

    ``teacher``: its name; ``fingerprint``, ``networks`` and ``taught`` (its manifest): the teacher's. ``side``: pixels
    of the longer side of the student's input, one of ``STUDENT_SIDES``: a larger one shows finer defects, and the time
    grows with the area.

    Raises:
        RecipeError: ``side`` is not one of them.
    """

    teacher: str
    fingerprint: str
    networks: BundleNetworks
    taught: TrainingManifest
    side: int = STUDENT_SIDE

    def __post_init__(self) -> None:
        if self.side not in STUDENT_SIDES:
            raise RecipeError(
                f"expected a side that is a multiple of {STUDENT_SIDES.step} pixels from {STUDENT_SIDES.start} to "
                f"{STUDENT_SIDES[-1]}, such as "
                f"{STUDENT_SIDE}; got {self.side}"
            )

    def configuration(self) -> dict[str, Any]:
        """See ``TrainRequest``."""
        return super().configuration() | {
            "recipe": "glance",
            "side": self.side,
            "teacher": self.fingerprint,
        }


def make_distill_request(
    teacher: Path,
    out: Path,
    data: SheetLocation,
    *,
    console: Console,
    side: int = STUDENT_SIDE,
    budget: float | None = None,
    resume: bool = False,
    force: bool = False,
    accelerator: str = "auto",
    trust: TrustedSigners | None = None,
) -> DistillRequest:
    """Make the request to distil ``teacher`` into ``out`` with the sheet, the split and the seed of its training.

    Raises:
        OutputError: ``teacher`` is not the folder of a bundle of recipe clear, is not signed as ``trust`` requires, or
            has no classifier; its sheet was moved; or one folder lies in the other.
    """
    if not teacher.is_dir():
        raise OutputError(f"{teacher}: expected the folder of a bundle made by 'clearcast train'")
    manifest, run = open_package(teacher, trust).manifest, RunDirectory(path=teacher)
    networks, taught = load_networks(teacher, trust)
    if networks.verdicts is None:
        raise OutputError(f"{teacher}: has no classifier to distil ({taught['no_judge']})")
    if networks.restorer.noise_types != TRAINED_NOISE_TYPES:
        raise OutputError(
            f"{teacher}: expected the noise types {', '.join(TRAINED_NOISE_TYPES)}, got "
            f"{', '.join(networks.restorer.noise_types)}; "
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
        sheet=read_training_sheet(run, data),
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


def distill_bundle(request: DistillRequest) -> Manifest:
    """Fit the student, its classifier and a small restorer, measure them on the test rows, and write a bundle.

    Raises:
        ClearcastError: the teacher, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; ``resume`` continues it.
    """
    assert request.networks.verdicts, "others are refused"
    ground = prepare_training_data(request)
    timer, work = PhaseTimer(), ground.folder.path / WORK_FOLDER
    height, width = request.taught["trained_on"]["shape"]
    shape, backbone = student_shape((height, width), request.side), request.networks.verdicts.network.backbone
    torch.manual_seed(request.seed)
    glance, restorer = StudentEncoder(backbone), _slim(request.networks.restorer, ground.channels)
    with timer.phase("reading"):
        training, heldout = ground.galleries(request.console)
    teaching = DistillationSetup(request, ground, backbone, shape)
    plan = teaching.plan(glance, restorer, training)
    with timer.phase("looking"), show_progress(request.console, "Computing features of noise-free images") as progress:
        lessons = teaching.lessons(work / "seen", plan.rows, progress)
    around = TrainerConfig(seed=request.seed, console=request.console, accelerator=request.accelerator)
    with timer.phase("glance"):
        fit_student(glance, lessons, work / "glance", steps=plan.glance, config=around)
    with timer.phase("detail"):
        fit_detail_unet(restorer, training, heldout, work / "detail", steps=plan.detail, config=around)
    with timer.phase("judge"):
        network, fit = _fit_classifier(request, ground, freeze(glance), shape, plan.judged, work / "judge")
    distilled = DistilledNetworks(
        channels=ground.channels, restorer=freeze(restorer.cpu()), network=network, facts=fit.facts
    )
    with timer.phase("measuring"):
        measured = measure_bundle(distilled, ground, fit.crossfitted, seed=request.seed, console=request.console)
    trained = describe_trained_networks(
        "glance",
        trained_on=request.taught["trained_on"],
        effort={
            "seed": request.seed,
            "plan": {**asdict(plan), "views": DISTILLATION_VIEWS},
            "minutes": timer.minutes,
            "device": describe_device(request.accelerator),
            "budget_minutes": request.budget,
        },
        judge=fit.facts,
        measured=measured,
    )
    trained["noise_made_anew"] = ground.adds_test_noise
    trained["distilled_from"] = f"{request.teacher} {request.fingerprint[:8]}"
    table = ground.folder.table(Subset.TEST).drop(columns="sharpness")  # it needs the denoised image
    return write_trained_bundle(request, ground, distilled, trained, table, timer)


def _slim(restorer: ClearDenoiser, channels: Channels) -> ClearDenoiser:
    """The same global encoder with a smaller detail network, which is not fitted yet."""
    slim = ClearDenoiser(channels.depth, SMALL_DETAIL, restorer.noise_types)
    slim.global_encoder.load_state_dict(restorer.global_encoder.state_dict())
    return slim


def _fit_classifier(
    request: DistillRequest, ground: TrainingData, glance: StudentEncoder, shape: tuple[int, int], most: int, work: Path
) -> tuple[StudentClassifier, ClassifierFit]:
    """Fit a classifier to the student's features of noisy images."""
    chosen = choose_classifier_rows(ground, most, request.seed)
    pairs = ground.pairs(chosen.rows)
    if ground.adds_test_noise:  # the sheet has no noisy images, but those of the line are
        pairs = [replace(pair, noisy=None) if pair.clean else pair for pair in pairs]
    views = NoisyViews(pairs, ground.channels, shape, seed=request.seed)
    folder = work / hash_weights(glance)
    fit = train_classifier_head(request, chosen, views, glance.backbone, folder, shape=shape, views=DISTILLATION_VIEWS)
    glance.cpu()
    return freeze(StudentClassifier(glance, fit.head, shape)), fit
