"""``clearcast distill``: of a bundle of recipe ``clear`` one that judges at a glance, many times as fast.

Its verdicts, noise types and heat maps come from one small network that looks at the noisy picture; pictures are
restored only where somebody asks for them, by a slim detail network that learned anew to follow the same survey.
"""

import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from clearcast import __version__
from clearcast.bundle.clock import Clock
from clearcast.bundle.exporting import write_distilled
from clearcast.bundle.finishing import finish
from clearcast.bundle.golden import examples
from clearcast.bundle.ground import Ground, begin
from clearcast.bundle.judging import crossfitted, spread
from clearcast.bundle.measuring import measure
from clearcast.bundle.networks import Distilled, Networks, load_networks, predict_distilled, save_networks, still
from clearcast.bundle.packaging import Data, sheet_of
from clearcast.bundle.reference import reference_of
from clearcast.bundle.request import TrainRequest
from clearcast.bundle.teaching import VIEWS, Teaching, told
from clearcast.domain import Subset
from clearcast.errors import OutputError, RecipeError
from clearcast.evaluation.study.dividing import SplitChoice, SplitKind
from clearcast.evaluation.study.folder import RunFolder
from clearcast.imaging import Channels
from clearcast.models.clear.restorer import SLIM, Restorer
from clearcast.models.glance import Glance, GlancingJudge, glance_shape
from clearcast.progress import progress_bar
from clearcast.runtime.manifest import FORMAT, JudgeFacts, Manifest, Trained
from clearcast.runtime.package import open_package
from clearcast.runtime.signing import Trust
from clearcast.training.clear.fitting import fit_detail
from clearcast.training.clear.glancing import NoisyViews, fit_glance
from clearcast.training.clear.planning import refuse_short
from clearcast.training.fit import Surroundings, device_name, require_device
from clearcast.training.judging import fit_judge
from clearcast.training.memory import keep_freed_memory
from clearcast.training.weights import fingerprint

SIDE, SIDES = 160, range(64, 1025, 32)  # pixels of the longer side of what is looked at
_WORK = "work"  # checkpoints and the like; removed when the bundle is whole


@dataclass(frozen=True, kw_only=True)
class DistillRequest(TrainRequest):
    """What to distil; the sheet and its split are the teacher's.

    ``teacher``: its name; ``fingerprint``, ``networks`` and ``taught``: its own. ``side``: pixels of the longer side of
    what is looked at, one of ``SIDES``: more show finer defects, and the time goes with the area.

    Raises:
        RecipeError: ``side`` is none of them.
    """

    teacher: str
    fingerprint: str
    networks: Networks
    taught: Trained
    side: int = SIDE

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise RecipeError(
                f"a side of {self.side} pixels came; needed is a multiple of {SIDES.step} from {SIDES.start} to "
                f"{SIDES[-1]}, such as {SIDE}"
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
    """What to distil into ``out``, with the sheet, the split and the seed of the teacher's training.

    Raises:
        OutputError: ``teacher`` is no folder of a bundle of recipe clear, is not signed as ``trust`` asks, or judges
            nothing; its sheet is not where it was; or one folder lies in the other.
    """
    if not teacher.is_dir():
        raise OutputError(f"{teacher}: needed is the folder of a bundle, as 'clearcast train' made it")
    manifest, run = open_package(teacher, trust).manifest, RunFolder(path=teacher)
    networks, taught = load_networks(teacher, trust)
    if networks.verdicts is None:
        raise OutputError(f"{teacher}: gives no verdicts ({taught['no_judge']}); there is nothing to distil")
    if not (teacher / "run.json").is_file() or not run.split.is_file():
        raise OutputError(f"{teacher}: does not say what it was trained on; needed is one that 'clearcast train' made")
    if out.resolve().is_relative_to(teacher.resolve()) or teacher.resolve().is_relative_to(out.resolve()):
        raise OutputError(f"{out} and {teacher}: one lies in the other; name another folder with --out")
    question = run.about["question"]
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
    """Fit the glance, its judge and a slim restorer, measure them on the teacher's test rows, and write a bundle.

    Raises:
        ClearcastError: the teacher, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from where it was.
    """
    keep_freed_memory()
    require_device(request.accelerator, request.devices)
    if request.budget is not None:
        refuse_short(request.budget)
    networks, taught = request.networks, request.taught
    assert networks.verdicts, "others are refused"
    ground = begin(request)
    clock, work = Clock(), ground.folder.path / _WORK
    height, width = taught["trained_on"]["shape"]
    shape, backbone = glance_shape((height, width), request.side), networks.verdicts.network.backbone
    torch.manual_seed(request.seed)
    glance = Glance(backbone)
    restorer = _slim(networks.restorer, ground.channels)
    with clock.phase("reading"):
        training, heldout = ground.galleries(request.console)
    teaching = Teaching(ground, backbone, shape, seed=request.seed, device=request.torch_device)
    plan = teaching.plan(work / "plan.json", request.budget, glance, restorer, training)
    if request.budget is not None:
        request.console.print(f"  {told(plan, request.budget)}", highlight=False)
    with clock.phase("looking"), progress_bar(request.console, "Looking at noise-free pictures") as progress:
        lessons = teaching.lessons(work / "seen", plan.rows, progress)
    around = Surroundings(seed=request.seed, console=request.console, accelerator=request.accelerator)
    with clock.phase("glance"):
        fit_glance(glance, lessons, work / "glance", steps=plan.glance, around=around)
    with clock.phase("detail"):
        fit_detail(restorer, training, heldout, work / "detail", steps=plan.detail, around=around)
    with clock.phase("judge"):
        network, facts, known = _judge(request, ground, still(glance), shape, plan.judged, work / "judge")
    distilled = Distilled(channels=ground.channels, restorer=still(restorer.cpu()), network=network, facts=facts)
    with clock.phase("measuring"):
        measured = measure(distilled, ground, known, seed=request.seed, console=request.console)
    save_networks(distilled, ground.folder.path)
    request.console.print("  Writing ONNX graphs, and comparing them", highlight=False)
    with clock.phase("graphs"):
        graphs = write_distilled(distilled, ground.folder.path)
    trained: Trained = {
        "format": FORMAT,
        "recipe": "glance",
        "clearcast": __version__,
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "files": {},
        "trained_on": taught["trained_on"],
        "effort": {
            "seed": request.seed,
            "plan": {**asdict(plan), "views": VIEWS},
            "minutes": clock.minutes,
            "device": device_name(request.accelerator),
            "budget_minutes": request.budget,
        },
        "judge": distilled.facts,
        "no_judge": None,
        "measured": measured,
        "noise_made_anew": ground.tests_no_noise,
        "distilled_from": f"{request.teacher} {request.fingerprint[:8]}",
    }
    manifest = finish(
        ground.folder.path,
        trained,
        graphs,
        partial(predict_distilled, distilled),
        examples(ground.rows.sheet, ground.chosen(Subset.TRAIN), ground.channels),
        reference_of(ground.folder.table(Subset.TEST).drop(columns="sharpness"), Subset.TEST),
    )
    shutil.rmtree(work)
    return manifest


def _slim(restorer: Restorer, channels: Channels) -> Restorer:
    """The same survey with a slim detail network, which is not fitted yet."""
    slim = Restorer(channels.depth, SLIM)
    slim.survey.load_state_dict(restorer.survey.state_dict())
    return slim


def _judge(
    request: DistillRequest, ground: Ground, glance: Glance, shape: tuple[int, int], most: int, work: Path
) -> tuple[GlancingJudge, JudgeFacts, pd.DataFrame]:
    """Who judges what the glance sees, and what judges said of rows whose parts they had not learned from."""
    rows, parts = ground.chosen(Subset.TRAIN), ground.parts(Subset.TRAIN)
    places = spread(parts, most, request.seed)
    rows, parts = [rows[place] for place in places], [parts[place] for place in places]
    pairs = ground.pairs(rows)
    if ground.tests_no_noise:  # no picture of the sheet is noisy, and on the line they will be
        pairs = [replace(pair, noisy=None) if pair.clean else pair for pair in pairs]
    folder = work / fingerprint(glance)
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bar(request.console, "Looking at pictures for verdicts") as progress:
        fitted = fit_judge(
            [row.label for row in rows if row.label],
            parts,
            NoisyViews(pairs, ground.channels, shape, seed=request.seed),
            backbone=glance.backbone,
            folder=folder,
            seed=request.seed,
            views=VIEWS,
            device=request.torch_device,
            progress=progress,
        )
    glance.cpu()
    facts: JudgeFacts = {
        "shape": list(shape),
        "temperature": fitted.temperature,
        "threshold": fitted.threshold,
        "crossfitted": fitted.logits is not None,
    }
    return still(GlancingJudge(glance, fitted.judge, shape)), facts, crossfitted(rows, parts, fitted)
