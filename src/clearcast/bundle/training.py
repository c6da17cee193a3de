"""Training of recipe ``clear`` on a sheet: split the rows, fit, measure on held-out groups, write the bundle."""

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast.bundle.ground import WORK, Ground, begin, kept_plan
from clearcast.bundle.judging import learn_verdicts
from clearcast.bundle.measuring import measure, pictures_of
from clearcast.bundle.networks import Networks, predict_networks, still
from clearcast.bundle.pipeline import PhaseTimer, describe_networks, write_trained_bundle
from clearcast.bundle.request import TrainRequest
from clearcast.bundle.samples import SampleRow, sample_table
from clearcast.domain import NoiseType, Subset
from clearcast.models.backbone import Backbone, pretrained_backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.runtime.heat import heat_map
from clearcast.runtime.manifest import Manifest
from clearcast.training.clear.fitting import fit_restorer
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.planning import RECIPE, TrainingPlan, plan_training, time_training
from clearcast.training.clear.verdicts import judged_shape
from clearcast.training.fit import Surroundings, device_name
from clearcast.training.ranks import follows


def train(request: TrainRequest, *, draw_samples: Callable[[Sequence[SampleRow]], object] | None = None) -> Manifest:
    """Train the networks, measure them on the test rows, and write a bundle.

    Args:
        request: what to train on.
        draw_samples: called with a sample of the test rows before the bundle is written, to add a figure to its folder.

    Raises:
        ClearcastError: the sheet, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; ``resume`` continues it.
    """
    if follows():
        request = replace(request, resume=True, force=False, console=Console(quiet=True))
    backbone = pretrained_backbone(request.backbone)
    ground = begin(request)
    timer, work = PhaseTimer(), ground.folder.path / WORK
    with timer.phase("reading"):
        training, heldout = ground.galleries(request.console)
    torch.manual_seed(request.seed)
    restorer = Restorer(ground.channels.depth)
    plan = _decide_plan(request, restorer, backbone, training, ground)
    _fit_restorer(request, restorer, (training, heldout), plan, work, timer)
    if follows():  # what remains is the work of one process
        sys.exit()
    with timer.phase("judge"):
        learned = learn_verdicts(
            request,
            ground,
            still(restorer),
            backbone,
            work / "judge",
            shape=judged_shape(training.shape),
            plan=plan,
        )
    networks = Networks(channels=ground.channels, restorer=restorer, verdicts=learned.verdicts)
    with timer.phase("measuring"):
        measured = measure(networks, ground, learned.crossfitted, seed=request.seed, console=request.console)
    if draw_samples:
        draw_samples(_sample_rows(networks, ground))
    trained = describe_networks(
        "clear",
        trained_on=ground.describe(training),
        effort={
            "seed": request.seed,
            "plan": asdict(plan),
            "minutes": timer.minutes,
            "device": device_name(request.accelerator, request.devices),
            "budget_minutes": request.budget,
        },
        judge=learned.verdicts.facts if learned.verdicts else None,
        no_judge=learned.lack,
        measured=measured,
    )
    trained["noise_made_anew"] = ground.adds_test_noise
    return write_trained_bundle(request, ground, networks, trained, ground.folder.table(Subset.TEST), timer)


def _fit_restorer(
    request: TrainRequest,
    restorer: Restorer,
    galleries: tuple[Gallery, Gallery],
    plan: TrainingPlan,
    work: Path,
    timer: PhaseTimer,
) -> None:
    around = Surroundings(
        seed=request.seed, console=request.console, accelerator=request.accelerator, devices=request.devices
    )
    fitted = fit_restorer(restorer, *galleries, work, survey_steps=plan.survey, detail_steps=plan.detail, around=around)
    timer.minutes |= {name: round(fit.seconds / 60, 2) for name, fit in zip(("survey", "detail"), fitted, strict=True)}


def _decide_plan(
    request: TrainRequest, restorer: Restorer, backbone: Backbone, training: Gallery, ground: Ground
) -> TrainingPlan:
    """The recipe's steps, or those that fit into the budget."""

    def decide() -> TrainingPlan:
        if request.budget is None:
            return RECIPE
        times = time_training(restorer, backbone, training, device=request.torch_device)
        rows, test_rows = (len(ground.indices_of(subset)) for subset in (Subset.TRAIN, Subset.TEST))
        return plan_training(request.budget, times, rows=rows, test_rows=test_rows)

    return kept_plan(request, ground, TrainingPlan, decide)


def _sample_rows(networks: Networks, ground: Ground) -> list[SampleRow]:
    """Denoise and classify a sample of the test rows, whose predictions have been written."""
    table = ground.folder.table(Subset.TEST).fillna({"reference": ""})
    rows = sample_table(table).to_dict("records")
    return [_sample_row(networks, row, ground.rows.sheet.root) for row in rows]


def _sample_row(networks: Networks, row: Mapping[Hashable, Any], root: Path) -> SampleRow:
    noisy, reference = pictures_of(row, root, networks.channels)
    prediction = predict_networks(networks, noisy)
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
        heat_map=None if evidence is None else heat_map(evidence, *denoised.shape[:2]),
    )
