"""What a glance is taught with, and how long: pictures of the teacher's training rows, and what the backbone sees."""

import copy
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from clearcast import imaging
from clearcast.bundle.ground import Ground
from clearcast.bundle.judging import spread
from clearcast.data.sheet import Row
from clearcast.domain import Subset
from clearcast.errors import OutputError
from clearcast.evaluation.study.folder import write_json
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import restore
from clearcast.models.glance import Glance
from clearcast.progress import Progress
from clearcast.training.clear.fitting import crop_of, detail_batch
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.glancing import RATE, CleanViews, GlanceModule, Lessons, spreads_of
from clearcast.training.clear.modules import DetailModule
from clearcast.training.clear.planning import seconds_a_step
from clearcast.training.clear.steps import EPOCH
from clearcast.training.seeing import see

STEPS, DETAIL_STEPS = 2400, 1500  # where no budget says otherwise
VIEWS = 4  # of each row, for the glance and again for the judge
_MOST_ROWS = 2000  # that teach the glance: what is seen of a picture of 160 x 160 pixels takes 0.03 MB a view
_LOOKS_SHARE, _JUDGE_SHARE = 0.15, 0.2  # of a budget, at most
_DETAIL_SHARE = 0.25  # of what these leave
_FEWEST_ROWS = 100
_TRIED = 8  # pictures that are looked at to know the pace
_GRAPHS = 75.0  # seconds that writing and comparing them takes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is learned.

    Attributes:
        glance, detail: steps of the two networks, multiples of ``EPOCH``.
        rows, judged: how many rows teach the glance, at most, and the judge.
    """

    glance: int
    detail: int
    rows: int
    judged: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds on this machine.

    Attributes:
        step, detail: of a step of the glance and of the detail network.
        look, restore: of a look at a picture, and of restoring one.
    """

    step: float
    detail: float
    look: float
    restore: float


class Teaching:
    """The rows that teach, and how the backbone sees them.

    Args:
        ground: the teacher's.
        backbone: sees the noise-free pictures.
        shape: (height, width) in pixels at which pictures are looked at.
        seed: decides all variations.
        device: where the backbone runs.
    """

    def __init__(
        self, ground: Ground, backbone: Backbone, shape: tuple[int, int], *, seed: int, device: torch.device
    ) -> None:
        self._ground = ground
        self._backbone = backbone
        self._shape = shape
        self._seed = seed
        self._device = device

    def plan(self, path: Path, budget: float | None, glance: Glance, restorer: Restorer, gallery: Gallery) -> Plan:
        """How much is learned from, and how long; decided once, so that work that is resumed keeps to it.

        Args:
            path: keeps the plan.
            budget: minutes; None: all rows, ``STEPS`` and ``DETAIL_STEPS``.
            glance: not fitted yet; its pace is tried on a copy.
            restorer: likewise; it restores test rows when they are measured, too.
            gallery: what it learns from.
        """
        if path.exists():
            return Plan(**json.loads(path.read_text(encoding="utf-8")))
        judged = len(self._ground.indices(Subset.TRAIN))
        plan = Plan(glance=STEPS, detail=DETAIL_STEPS, rows=min(len(self._rows()), _MOST_ROWS), judged=judged)
        if budget is not None:
            pace = self._pace(glance, restorer, gallery)
            plan = plan_within(budget, pace, plan, measured=len(self._ground.indices(Subset.TEST)))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(plan))
        return plan

    def lessons(self, folder: Path, rows: int, progress: Progress) -> Lessons:
        """What the glance learns from, of so many rows of as many parts as can be; ``folder`` keeps what was seen."""
        return self._lessons(self._chosen(rows), VIEWS, folder, progress)

    def _lessons(self, rows: Sequence[Row], count: int, folder: Path, progress: Progress) -> Lessons:
        views = CleanViews(self._ground.pairs(rows), self._ground.channels, self._shape, seed=self._seed)
        folder.mkdir(parents=True, exist_ok=True)
        self._backbone.to(self._device)
        seen = []
        for view in range(count):

            def tell(done: int, _: int, before: int = view * len(rows)) -> None:
                progress(before + done, count * len(rows))

            seen.append(
                see(
                    self._backbone,
                    views,
                    view=view,
                    rows=len(rows),
                    folder=folder,
                    device=self._device,
                    progress=tell,
                )
            )
        return Lessons(views, seen)

    def _rows(self) -> list[int]:
        """Places of the training rows whose noise-free picture is known.

        Raises:
            OutputError: there is none.
        """
        places = [place for place, row in enumerate(self._ground.chosen(Subset.TRAIN)) if row.reference]
        if not places:
            raise OutputError("no training row has a noise-free picture, and distilling learns from these")
        return places

    def _chosen(self, count: int) -> list[Row]:
        rows, parts, places = self._ground.chosen(Subset.TRAIN), self._ground.parts(Subset.TRAIN), self._rows()
        return [rows[places[place]] for place in spread([parts[place] for place in places], count, self._seed)]

    def _pace(self, glance: Glance, restorer: Restorer, gallery: Gallery) -> Pace:
        rows, rng = self._chosen(_TRIED), np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            look = _seconds(lambda: self._lessons(rows, 2, Path(folder) / "seen", lambda *_: None)) / (2 * len(rows))
            lessons = self._lessons(rows, 2, Path(folder) / "seen", lambda *_: None)
            step = seconds_a_step(
                lambda network: GlanceModule(
                    network, spreads_of(lessons.features[0]), learning_rate=RATE / 100, steps=1
                ),
                glance,
                lambda: lessons.batch(rng),
                self._device,
            )
        noisy = imaging.load(self._ground.rows.sheet.resolve(rows[0].noisy), self._ground.channels)
        crop, survey = crop_of(gallery), copy.deepcopy(restorer.global_encoder)  # which goes where the step does
        detail = seconds_a_step(
            lambda network: DetailModule(network, survey, learning_rate=RATE / 100, steps=1, crop=crop),
            restorer.detail,
            lambda: detail_batch(gallery, crop, rng),
            self._device,
        )
        return Pace(step=step, detail=detail, look=look, restore=_seconds(lambda: restore(restorer, noisy)))


def plan_within(minutes: float, pace: Pace, most: Plan, *, measured: int) -> Plan:
    """What fits into a budget, after the measuring at its end: looks first, then steps.

    Args:
        minutes: the budget.
        pace: of this machine.
        most: rows of each kind that there are.
        measured: how many rows are measured.
    """
    seconds = 60 * minutes - _GRAPHS - measured * pace.restore
    rows, judged = (
        min(there, max(_FEWEST_ROWS, int(share * seconds / (VIEWS * pace.look))))
        for there, share in ((most.rows, _LOOKS_SHARE), (most.judged, _JUDGE_SHARE))
    )
    left = seconds - VIEWS * (rows + judged) * pace.look
    glance, detail = (
        max(1, int(share * left / step / EPOCH)) * EPOCH
        for share, step in ((1 - _DETAIL_SHARE, pace.step), (_DETAIL_SHARE, pace.detail))
    )
    return Plan(glance=glance, detail=detail, rows=rows, judged=judged)


def told(plan: Plan, minutes: float) -> str:
    """What fits into a budget, for people."""
    steps = f"{plan.glance} steps of the glance, from {plan.rows} rows, and {plan.detail} of the detail network"
    return f"{steps} fit into {minutes:g} minutes here"


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
