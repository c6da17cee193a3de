"""``clearcast distill``: of a bundle of recipe ``clear`` one that judges at a glance, many times as fast.

Its verdicts, noise types and heat maps come from one small network that looks at the noisy picture; pictures are
restored, by the same networks as before, only where somebody asks for them.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearcast import __version__
from clearcast.bundle.clock import Clock
from clearcast.bundle.exporting import write_distilled
from clearcast.bundle.finishing import finish
from clearcast.bundle.golden import examples
from clearcast.bundle.ground import Ground, begin
from clearcast.bundle.judging import crossfitted, spread
from clearcast.bundle.measuring import measure
from clearcast.bundle.networks import Distilled, Networks, load_networks, save_networks, still
from clearcast.bundle.packaging import Data, sheet_of
from clearcast.bundle.proving import ask_distilled
from clearcast.bundle.reference import reference_of
from clearcast.bundle.request import TrainRequest
from clearcast.domain import Subset
from clearcast.errors import OutputError, RecipeError
from clearcast.evaluation.study.dividing import SplitChoice, SplitKind
from clearcast.evaluation.study.folder import RunFolder, write_json
from clearcast.models.backbone import Backbone
from clearcast.models.glance import Glance, GlancingJudge, glance_shape
from clearcast.progress import progress_bar
from clearcast.runtime.manifest import FORMAT, MANIFEST, Manifest, Trained
from clearcast.training.clear.gallery import Pair
from clearcast.training.clear.glancing import (
    BATCH,
    RATE,
    CleanViews,
    GlanceModule,
    Lessons,
    NoisyViews,
    Spreads,
    fit_glance,
    spreads_of,
)
from clearcast.training.clear.planning import refuse_short, seconds_a_step
from clearcast.training.clear.steps import EPOCH
from clearcast.training.fit import Surroundings, device_name, require_device
from clearcast.training.judging import fit_judge
from clearcast.training.memory import keep_freed_memory
from clearcast.training.seeing import Seen, see
from clearcast.training.weights import fingerprint

STEPS = 2400  # where no budget says otherwise
SIDE, SIDES = 160, range(64, 1025, 32)  # pixels of the longer side of what is looked at
_LEARNED_VIEWS, _JUDGED_VIEWS = 4, 4
_WORK = "work"  # checkpoints and the like; removed when the bundle is whole
_STEPS_SHARE = 0.6  # of a budget; what is left goes to the backbone's looks, to the judge and to measuring
_MOST_ROWS = 2000  # that the backbone looks at: its features take 0.33 MB a view of 512 x 512 pixels


@dataclass(frozen=True, kw_only=True)
class DistillRequest(TrainRequest):
    """What to distil; the sheet and its split are the teacher's.

    ``teacher``: its folder. ``side``: pixels of the longer side of what is looked at, one of ``SIDES``: more show finer
    defects, and the time goes with the area.

    Raises:
        RecipeError: ``side`` is none of them.
    """

    teacher: Path
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
            "teacher": _manifest_of(self.teacher)["fingerprint"],
        }


def request_of(teacher: Path, data: Data, **chosen: Any) -> DistillRequest:  # noqa: ANN401 - as of the class
    """What to distil, with the sheet, the split and the seed of the teacher's training.

    Raises:
        OutputError: ``teacher`` is no folder of a bundle of recipe clear, or its sheet is not where it was.
    """
    if not (teacher / MANIFEST).is_file():
        raise OutputError(f"{teacher}: needed is the folder of a bundle, as 'clearcast train' made it")
    run = RunFolder(path=teacher)
    if not (teacher / "run.json").is_file() or not run.split.is_file():
        raise OutputError(f"{teacher}: does not say what it was trained on; needed is one that 'clearcast train' made")
    question = run.about["question"]
    return DistillRequest(
        teacher=teacher,
        sheet=sheet_of(run, data),
        split=SplitChoice(kind=SplitKind.FILE, file=run.split),
        seed=question["seed"],
        skip_bad=bool(question.get("skip_bad")),
        **chosen,
    )


def distill(request: DistillRequest) -> Manifest:
    """Fit the glance and its judge, measure them on the teacher's test rows, and write a bundle.

    Raises:
        ClearcastError: the teacher, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from where it was.
    """
    keep_freed_memory()
    require_device(request.accelerator, request.devices)
    if request.budget is not None:
        refuse_short(request.budget)
    networks, taught = load_networks(request.teacher)
    if networks.verdicts is None:
        raise OutputError(f"{request.teacher}: gives no verdicts ({taught['no_judge']}); there is nothing to distil")
    ground = begin(request)
    clock, work = Clock(), ground.folder.path / _WORK
    height, width = taught["trained_on"]["shape"]
    shape = glance_shape((height, width), request.side)
    torch.manual_seed(request.seed)
    glance = Glance(networks.verdicts.network.backbone)
    with clock.phase("looking"):
        lessons, spreads = _lessons(request, ground, networks.verdicts.network.backbone, shape, work / "seen")
    steps = _steps(request, glance, lessons, spreads, work / "plan.json")
    around = Surroundings(seed=request.seed, console=request.console, accelerator=request.accelerator)
    with clock.phase("glance"):
        fit_glance(glance, lessons, spreads, work / "glance", steps=steps, around=around)
    with clock.phase("judge"):
        distilled, known = _judge(request, ground, networks, still(glance), shape, work / "judge")
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
            "plan": {"glance": steps, "views": _JUDGED_VIEWS},
            "minutes": clock.minutes,
            "device": device_name(request.accelerator),
            "budget_minutes": request.budget,
        },
        "judge": distilled.facts,
        "no_judge": None,
        "measured": measured,
        "noise_made_anew": ground.tests_no_noise,
        "distilled_from": f"{request.teacher.resolve().name} {_manifest_of(request.teacher)['fingerprint'][:8]}",
    }
    manifest = finish(
        ground.folder.path,
        trained,
        graphs,
        partial(ask_distilled, distilled),
        examples(ground.rows.sheet, ground.chosen(Subset.TRAIN), ground.channels),
        reference_of(ground.folder.table(Subset.TEST).drop(columns="sharpness"), Subset.TEST),
    )
    shutil.rmtree(work)
    return manifest


def _lessons(
    request: DistillRequest, ground: Ground, backbone: Backbone, shape: tuple[int, int], folder: Path
) -> tuple[Lessons, Spreads]:
    """What the glance learns from; the folder keeps what the backbone saw."""
    pairs = _teaching(ground, request.seed)
    views = CleanViews(pairs, ground.channels, shape, seed=request.seed)
    folder.mkdir(parents=True, exist_ok=True)
    device = request.torch_device
    backbone.to(device)
    seen: list[Seen] = []
    with progress_bar(request.console, "Looking at noise-free pictures") as progress:
        for view in range(_LEARNED_VIEWS):

            def tell(done: int, _: int, before: int = view * len(pairs)) -> None:
                progress(before + done, _LEARNED_VIEWS * len(pairs))

            seen.append(see(backbone, views, view=view, rows=len(pairs), folder=folder, device=device, progress=tell))
    return Lessons(views, seen), spreads_of(seen[0])


def _teaching(ground: Ground, seed: int) -> Sequence[Pair]:
    """The training rows whose noise-free picture is known, of as many parts as can be."""
    places = [place for place, row in enumerate(ground.chosen(Subset.TRAIN)) if row.reference]
    if not places:
        raise OutputError("no training row has a noise-free picture, and distilling learns from these")
    rows, parts = ground.chosen(Subset.TRAIN), ground.parts(Subset.TRAIN)
    chosen = spread([parts[place] for place in places], _MOST_ROWS, seed)
    return ground.pairs([rows[places[place]] for place in chosen])


def _steps(request: DistillRequest, glance: Glance, lessons: Lessons, spreads: Spreads, path: Path) -> int:
    """How long is fitted; decided once, so that work that is resumed keeps to it."""
    if path.exists():
        return int(json.loads(path.read_text(encoding="utf-8"))["glance"])
    steps = STEPS
    if request.budget is not None:
        rng = np.random.default_rng(0)
        pace = seconds_a_step(
            lambda network: GlanceModule(network, spreads, learning_rate=RATE / 100, steps=1),
            glance,
            lambda: lessons.batch(rng),
            request.torch_device,
        )
        steps = max(1, int(_STEPS_SHARE * 60 * request.budget / pace / EPOCH)) * EPOCH
        request.console.print(
            f"  {steps} steps of {BATCH} pictures fit into {request.budget:g} minutes", highlight=False
        )
    write_json(path, {"glance": steps})
    return steps


def _judge(
    request: DistillRequest, ground: Ground, networks: Networks, glance: Glance, shape: tuple[int, int], work: Path
) -> tuple[Distilled, Any]:
    rows, parts = ground.chosen(Subset.TRAIN), ground.parts(Subset.TRAIN)
    folder = work / fingerprint(glance)
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bar(request.console, "Looking at pictures for verdicts") as progress:
        fitted = fit_judge(
            [row.label for row in rows if row.label],
            parts,
            NoisyViews(ground.pairs(rows), ground.channels, shape, seed=request.seed),
            backbone=glance.backbone,
            folder=folder,
            seed=request.seed,
            views=_JUDGED_VIEWS,
            device=request.torch_device,
            progress=progress,
        )
    glance.cpu()
    distilled = Distilled(
        channels=networks.channels,
        restorer=networks.restorer,
        network=still(GlancingJudge(glance, fitted.judge, shape)),
        facts={
            "shape": list(shape),
            "temperature": fitted.temperature,
            "threshold": fitted.threshold,
            "crossfitted": fitted.logits is not None,
        },
    )
    return distilled, crossfitted(rows, parts, fitted)


def _manifest_of(teacher: Path) -> dict[str, Any]:
    return dict(json.loads((teacher / MANIFEST).read_text(encoding="utf-8")))
