"""Distillation of a bundle of recipe ``clear`` into a student that inspects many times as fast.

One small network predicts verdicts, noise types and heat maps from the noisy image. Images are denoised on demand, by
a smaller detail U-Net that is fitted to the global encoder of the bundle.
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
from clearcast.nn.denoiser import SMALL_DETAIL, ClearDenoiser
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
from clearcast.train.denoiser_training import fit_detail_unet
from clearcast.train.distillation import NoisyViews, fit_student
from clearcast.train.run_directory import RunDirectory
from clearcast.train.split_choice import SplitChoice, SplitKind
from clearcast.train.trainer import TrainerConfig, describe_device
from clearcast.train.training_budget import DISTILLATION_VIEWS
from clearcast.types import Subset

STUDENT_SIDE, STUDENT_SIDES = 160, range(64, 1025, 32)  # pixels of the longer side of the student's input


@dataclass(frozen=True, kw_only=True)
class DistillRequest(TrainRequest):
    """Request of a distillation; the sheet and its split are the teacher's.

    Attributes:
        teacher, fingerprint, networks, teacher_manifest: of the bundle that is distilled.
        side: pixels of the longer side of the student's input, one of ``STUDENT_SIDES``: a larger one shows finer
            defects, and the time grows with the area.

    Raises:
        RecipeError: ``side`` is not one of them.
    """

    teacher: str
    fingerprint: str
    networks: BundleNetworks
    teacher_manifest: TrainingManifest
    side: int = STUDENT_SIDE

    def __post_init__(self) -> None:
        if self.side not in STUDENT_SIDES:
            raise RecipeError(
                f"expected a side that is a multiple of {STUDENT_SIDES.step} pixels from {STUDENT_SIDES.start} to "
                f"{STUDENT_SIDES[-1]}, such as {STUDENT_SIDE}; got {self.side}"
            )

    def configuration(self) -> dict[str, Any]:
        """See ``TrainRequest``."""
        return super().configuration() | {"recipe": "glance", "side": self.side, "teacher": self.fingerprint}


def make_distill_request(
    teacher: Path,
    out: Path,
    location: SheetLocation,
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
    networks, teacher_manifest = load_networks(teacher, trust)
    if networks.classifier is None:
        raise OutputError(f"{teacher}: has no classifier to distil ({teacher_manifest['no_judge']})")
    if networks.denoiser.noise_types != TRAINED_NOISE_TYPES:
        raise OutputError(
            f"{teacher}: expected the noise types {', '.join(TRAINED_NOISE_TYPES)}, got "
            f"{', '.join(networks.denoiser.noise_types)}; train it again with this version"
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
        teacher_manifest=teacher_manifest,
        out=out,
        sheet=read_training_sheet(run, location),
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
    """Fit the student, its classifier and a small denoiser, measure them on the test rows, and write a bundle.

    Raises:
        ClearcastError: the teacher, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; ``resume`` continues it.
    """
    assert request.networks.classifier, "others are refused"
    data = prepare_training_data(request)
    timer, work = PhaseTimer(), data.run.path / WORK_FOLDER
    height, width = request.teacher_manifest["trained_on"]["shape"]
    shape = student_shape((height, width), request.side)
    backbone = request.networks.classifier.network.backbone
    torch.manual_seed(request.seed)
    student, denoiser = StudentEncoder(backbone), _small_denoiser(request.networks.denoiser, data.channels)
    with timer.phase("reading"):
        training, validation = data.image_caches(request.console)
    setup = DistillationSetup(request, data, backbone, shape)
    plan = setup.plan(student, denoiser, training)
    with timer.phase("looking"), show_progress(request.console, "Computing features of noise-free images") as progress:
        batches = setup.batches(work / "seen", plan.rows, progress)
    config = TrainerConfig(seed=request.seed, console=request.console, accelerator=request.accelerator)
    with timer.phase("glance"):
        fit_student(student, batches, work / "glance", steps=plan.glance, config=config)
    with timer.phase("detail"):
        fit_detail_unet(denoiser, training, validation, work / "detail", steps=plan.detail, config=config)
    with timer.phase("judge"):
        network, fit = _fit_classifier(request, data, freeze(student), shape, plan.judged, work / "judge")
    distilled = DistilledNetworks(
        channels=data.channels, denoiser=freeze(denoiser.cpu()), student=network, metadata=fit.metadata
    )
    with timer.phase("measuring"):
        measured = measure_bundle(distilled, data, fit.crossfitted, seed=request.seed, console=request.console)
    trained = describe_trained_networks(
        "glance",
        trained_on=request.teacher_manifest["trained_on"],
        effort={
            "seed": request.seed,
            "plan": {**asdict(plan), "views": DISTILLATION_VIEWS},
            "minutes": timer.minutes,
            "device": describe_device(request.accelerator),
            "budget_minutes": request.budget,
        },
        classifier=fit.metadata,
        measured=measured,
    )
    trained["noise_made_anew"] = data.adds_test_noise
    trained["distilled_from"] = f"{request.teacher} {request.fingerprint[:8]}"
    table = data.run.table(Subset.TEST).drop(columns="sharpness")  # it needs the denoised image
    return write_trained_bundle(request, data, distilled, trained, table, timer)


def _small_denoiser(denoiser: ClearDenoiser, channels: Channels) -> ClearDenoiser:
    """Make a denoiser with the same global encoder and a smaller detail U-Net that is not fitted yet."""
    small = ClearDenoiser(channels.depth, SMALL_DETAIL, denoiser.noise_types)
    small.global_encoder.load_state_dict(denoiser.global_encoder.state_dict())
    return small


def _fit_classifier(
    request: DistillRequest, data: TrainingData, student: StudentEncoder, shape: tuple[int, int], most: int, work: Path
) -> tuple[StudentClassifier, ClassifierFit]:
    """Fit a classifier to the student's features of noisy images."""
    chosen = choose_classifier_rows(data, most, request.seed)
    pairs = data.pairs(chosen.rows)
    if data.adds_test_noise:  # the sheet has no noisy images, but those of the line are
        pairs = [replace(pair, noisy=None) if pair.noise_free else pair for pair in pairs]
    views = NoisyViews(pairs, data.channels, shape, seed=request.seed)
    folder = work / hash_weights(student)
    fit = train_classifier_head(request, chosen, views, student.backbone, folder, shape=shape, views=DISTILLATION_VIEWS)
    student.cpu()
    return freeze(StudentClassifier(student, fit.head, shape)), fit
