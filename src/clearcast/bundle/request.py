"""Training request: the sheet, the split, the budget and the device."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast.data.sheet import Sheet
from clearcast.evaluation.study.dividing import SplitChoice


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train on, and how.

    Attributes:
        sheet, split: the rows, and how they are split.
        out: the bundle's folder.
        budget: minutes for everything on this machine; None: the recipe's number of steps, which gives the same
            networks again on the same machine.
        resume, force: see ``open_run``.
        skip_bad: leave out unusable rows.
        backbone: see ``pretrained_backbone``.
        devices: how many fit the restorer together, each on images of its own, so that a step learns from more.
        console: shows the progress.
    """

    sheet: Sheet
    out: Path
    seed: int
    split: SplitChoice = field(default_factory=SplitChoice)
    budget: float | None = None
    resume: bool = False
    force: bool = False
    skip_bad: bool = False
    backbone: Path | None = None
    accelerator: str = "auto"
    devices: int = 1
    console: Console = field(default_factory=Console)

    @property
    def torch_device(self) -> torch.device:
        """The device of networks that Lightning does not fit."""
        return torch.device("cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu")

    def question(self) -> dict[str, Any]:
        """The configuration that determines the bundle, apart from the machine; JSON values."""
        return {
            "recipe": "clear",
            **self.sheet.fingerprint(),
            "seed": self.seed,
            "skip_bad": self.skip_bad,
            "budget": self.budget,
            "split": self.split.question(),
        }
