"""Training of recipe ``clear`` on a sheet: split the rows, fit the networks, measure them, and write the bundle."""

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast.bundle.manifest import Manifest
from clearcast.inference.image_outputs import scale_evidence
from clearcast.nn.backbone import Backbone, load_pretrained_backbone
from clearcast.nn.denoiser import ClearDenoiser
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.bundle_writer import PhaseTimer, describe_trained_networks, write_trained_bundle
from clearcast.pipelines.measurement import load_row_images, measure_bundle
from clearcast.pipelines.networks import BundleNetworks, freeze, predict_image
from clearcast.pipelines.samples import SampleRow, choose_sample_rows
from clearcast.pipelines.train_classifier import train_clear_classifier
from clearcast.pipelines.training_data import (
    WORK_FOLDER,
    TrainingData,
    TrainRequest,
    load_or_decide_plan,
    prepare_training_data,
)
from clearcast.train.datasets import is_worker_rank
from clearcast.train.denoiser_training import fit_clear_denoiser
from clearcast.train.paired_images import PairedImageCache, classifier_shape
from clearcast.train.trainer import TrainerConfig, describe_device
from clearcast.train.training_budget import CLEAR_PLAN, TrainingPlan, plan_training, time_training
from clearcast.types import Subset


def train_bundle(
    request: TrainRequest, *, draw_samples: Callable[[Sequence[SampleRow]], object] | None = None
) -> Manifest:
    """Train the networks, measure them on the test rows, and write a bundle.

    Args:
        request: what to train on.
        draw_samples: called with a sample of the test rows before the bundle is written, to add a figure to its folder.

    Raises:
        ClearcastError: the sheet, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; ``resume`` continues it.
    """
    if is_worker_rank():
        request = replace(request, resume=True, force=False, console=Console(quiet=True))
    backbone = load_pretrained_backbone(request.backbone)
    data = prepare_training_data(request)
    timer, work = PhaseTimer(), data.run.path / WORK_FOLDER
    with timer.phase("reading"):
        training, validation = data.image_caches(request.console)
    torch.manual_seed(request.seed)
    denoiser = ClearDenoiser(data.channels.depth)
    plan = _decide_plan(request, denoiser, backbone, training, data)
    _fit_denoiser(request, denoiser, (training, validation), plan, work, timer)
    if is_worker_rank():  # one process does the rest
        sys.exit()
    with timer.phase("judge"):
        fitted = train_clear_classifier(
            request,
            data,
            freeze(denoiser),
            backbone,
            work / "judge",
            shape=classifier_shape(training.shape),
            plan=plan,
        )
    networks = BundleNetworks(channels=data.channels, denoiser=denoiser, classifier=fitted.classifier)
    with timer.phase("measuring"):
        measured = measure_bundle(networks, data, fitted.crossfitted, seed=request.seed, console=request.console)
    if draw_samples:
        draw_samples(_sample_rows(networks, data))
    trained = describe_trained_networks(
        "clear",
        trained_on=data.describe(training),
        effort={
            "seed": request.seed,
            "plan": asdict(plan),
            "minutes": timer.minutes,
            "device": describe_device(request.accelerator, request.devices),
            "budget_minutes": request.budget,
        },
        classifier=fitted.classifier.metadata if fitted.classifier else None,
        no_classifier_reason=fitted.no_classifier_reason,
        measured=measured,
    )
    trained["noise_made_anew"] = data.adds_test_noise
    return write_trained_bundle(request, data, networks, trained, data.run.table(Subset.TEST), timer)


def _fit_denoiser(
    request: TrainRequest,
    denoiser: ClearDenoiser,
    image_caches: tuple[PairedImageCache, PairedImageCache],
    plan: TrainingPlan,
    work: Path,
    timer: PhaseTimer,
) -> None:
    """Fit global encoder and detail U-Net, and add their minutes to the timer."""
    config = TrainerConfig(
        seed=request.seed, console=request.console, accelerator=request.accelerator, devices=request.devices
    )
    records = fit_clear_denoiser(
        denoiser, *image_caches, work, global_steps=plan.survey, detail_steps=plan.detail, config=config
    )
    timer.minutes |= {
        name: round(record.seconds / 60, 2) for name, record in zip(("survey", "detail"), records, strict=True)
    }


def _decide_plan(
    request: TrainRequest, denoiser: ClearDenoiser, backbone: Backbone, training: PairedImageCache, data: TrainingData
) -> TrainingPlan:
    """Decide the plan: the recipe's steps, or those that fit into the budget."""

    def decide() -> TrainingPlan:
        if request.budget is None:
            return CLEAR_PLAN
        times = time_training(denoiser, backbone, training, device=request.torch_device)
        rows, test_rows = (len(data.indices_of(subset)) for subset in (Subset.TRAIN, Subset.TEST))
        return plan_training(request.budget, times, rows=rows, test_rows=test_rows)

    return load_or_decide_plan(request, data, TrainingPlan, decide)


def _sample_rows(networks: BundleNetworks, data: TrainingData) -> list[SampleRow]:
    """Denoise and classify a sample of the measured test rows."""
    table = data.run.table(Subset.TEST).fillna({"reference": ""})
    rows = choose_sample_rows(table).to_dict("records")
    return [_sample_row(networks, row, data.rows.sheet.root) for row in rows]


def _sample_row(networks: BundleNetworks, row: Mapping[Hashable, Any], root: Path) -> SampleRow:
    noisy, reference = load_row_images(row, root, networks.channels)
    prediction = predict_image(networks, noisy)
    denoised, evidence = prediction.denoised, prediction.evidence
    assert denoised is not None
    return SampleRow(
        noise_type=NoiseType(str(row["noise_type"])),
        predicted_noise_type=NoiseType(str(row["said_noise_type"])),
        label=str(row["label"]),
        noisy=noisy,
        denoised=denoised,
        reference=reference,
        psnr=None if reference is None else float(row["psnr_denoised"]),
        defect=prediction.defect,
        heat_map=None if evidence is None else scale_evidence(evidence, *denoised.shape[:2]),
    )
