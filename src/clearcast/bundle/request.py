"""What to train a bundle on, and how."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast.data.sheet import Sheet
from clearcast.evaluation.study.dividing import SplitChoice


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train on, and for how long.

    ``budget``: minutes for all of it on this machine; None: the recipe's own number of steps, which gives the same
    networks again on the same machine. ``backbone``: see ``pretrained_backbone``. ``resume`` and ``force`` are those
    of ``open_run``. ``devices``: how many fit the restorer together, each on pictures of its own: a step then learns
    from so many times more.
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
        """Where networks run that Lightning does not fit."""
        return torch.device("cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu")

    def question(self) -> dict[str, Any]:
        """All that the bundle depends on, other than the machine; ready for JSON."""
        return {
            "recipe": "clear",
            **self.sheet.fingerprint(),
            "seed": self.seed,
            "skip_bad": self.skip_bad,
            "budget": self.budget,
            "split": self.split.question(),
        }
