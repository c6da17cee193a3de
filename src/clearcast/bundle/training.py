"""Train recipe ``clear`` on a sheet: divide the rows, fit, measure on parts never seen, write the bundle."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from clearcast import __version__
from clearcast.bundle.clock import Clock
from clearcast.bundle.exporting import write_graphs
from clearcast.bundle.finishing import finish
from clearcast.bundle.golden import examples
from clearcast.bundle.ground import Ground, begin
from clearcast.bundle.judging import Learned, learn_verdicts
from clearcast.bundle.measuring import measure
from clearcast.bundle.networks import Networks, predict_networks, save_networks, still
from clearcast.bundle.reference import reference_of
from clearcast.bundle.request import TrainRequest
from clearcast.domain import Subset
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.study.folder import write_json
from clearcast.models.backbone import Backbone, pretrained_backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.progress import progress_bar
from clearcast.runtime.manifest import FORMAT, Effort, Manifest, Trained, TrainedOn
from clearcast.training.clear.fitting import Plan, fit_restorer
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.planning import RECIPE, pace_of, plan_within, refuse_short
from clearcast.training.clear.verdicts import judged_shape
from clearcast.training.fit import Surroundings, device_name, require_device
from clearcast.training.memory import keep_freed_memory
from clearcast.training.ranks import follows

_WORK = "work"  # checkpoints and the like; removed when the bundle is whole


def train(request: TrainRequest, *, illustrate: Callable[[Networks], object] | None = None) -> Manifest:
    """Train, measure on the test rows, and write a bundle.

    Args:
        request: what to train on.
        illustrate: called when all but the manifest is written, to add files of its own to the bundle.

    Raises:
        ClearcastError: the sheet, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from where it was.
    """
    keep_freed_memory()
    require_device(request.accelerator, request.devices)
    if follows():
        request = replace(request, resume=True, force=False, console=Console(quiet=True))
    if request.budget is not None:
        refuse_short(request.budget)
    backbone = pretrained_backbone(request.backbone)
    ground = begin(request)
    clock, work = Clock(), ground.folder.path / _WORK
    with clock.phase("reading"):
        training, heldout = ground.galleries(request.console)
    torch.manual_seed(request.seed)
    restorer = Restorer(ground.channels.depth)
    plan = _planned(request, restorer, backbone, training, ground, work / "plan.json")
    around = Surroundings(
        seed=request.seed, console=request.console, accelerator=request.accelerator, devices=request.devices
    )
    fitted = fit_restorer(restorer, training, heldout, work, plan=plan, around=around)
    if follows():  # what remains is one process's work
        sys.exit()
    clock.minutes |= {name: round(fit.seconds / 60, 2) for name, fit in zip(("survey", "detail"), fitted, strict=True)}
    with clock.phase("judge"), progress_bar(request.console, "Looking at pictures for verdicts") as progress:
        learned = learn_verdicts(
            ground,
            still(restorer),
            backbone,
            work / "judge",
            shape=judged_shape(training.shape),
            views=plan.views,
            most=plan.rows,
            seed=request.seed,
            device=request.torch_device,
            progress=progress,
        )
    networks = Networks(channels=ground.channels, restorer=restorer, verdicts=learned.verdicts)
    with clock.phase("measuring"):
        measured = measure(networks, ground, learned.crossfitted, seed=request.seed, console=request.console)
    save_networks(networks, ground.folder.path)
    if illustrate:
        illustrate(networks)
    request.console.print("  Writing ONNX graphs, and comparing them", highlight=False)
    with clock.phase("graphs"):
        graphs = write_graphs(networks, ground.folder.path)
    effort = _effort(request, plan, clock)
    manifest = finish(
        ground.folder.path,
        _trained(ground.described(training), effort, learned, measured, made_anew=ground.tests_no_noise),
        graphs,
        partial(predict_networks, networks),
        examples(ground.rows.sheet, ground.chosen(Subset.TRAIN), ground.channels),
        reference_of(ground.folder.table(Subset.TEST), Subset.TEST),
    )
    shutil.rmtree(work)  # after the manifest, so that whatever stops this loses no training
    return manifest


def _effort(request: TrainRequest, plan: Plan, clock: Clock) -> Effort:
    return {
        "seed": request.seed,
        "plan": asdict(plan),
        "minutes": clock.minutes,
        "device": device_name(request.accelerator, request.devices),
        "budget_minutes": request.budget,
    }


def _trained(
    trained_on: TrainedOn, effort: Effort, learned: Learned, measured: Evidence, *, made_anew: bool
) -> Trained:
    return {
        "format": FORMAT,
        "recipe": "clear",
        "clearcast": __version__,
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "files": {},
        "trained_on": trained_on,
        "effort": effort,
        "judge": learned.verdicts.facts if learned.verdicts else None,
        "no_judge": learned.lack,
        "measured": measured,
        "noise_made_anew": made_anew,
    }


def _planned(
    request: TrainRequest, restorer: Restorer, backbone: Backbone, training: Gallery, ground: Ground, path: Path
) -> Plan:
    """How long is fitted; decided once, so that a training that is resumed keeps to it."""
    if path.exists():
        return Plan(**json.loads(path.read_text(encoding="utf-8")))
    plan = RECIPE
    if request.budget is not None:
        pace = pace_of(restorer, backbone, training, device=request.torch_device)
        measured = len(ground.indices(Subset.TEST))
        plan = plan_within(request.budget, pace, rows=len(ground.indices(Subset.TRAIN)), measured=measured)
        seen = f"{plan.views} views" if plan.rows is None else f"{plan.views} views of {plan.rows} rows"
        request.console.print(
            f"  {plan.survey} and {plan.detail} steps and {seen} fit into {request.budget:g} minutes here",
            highlight=False,
        )
    write_json(path, asdict(plan))
    return plan
