"""Study request: data, recipe, split and options of a study."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from clearcast.data.sheet import Sheet
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.dividing import SplitChoice
from clearcast.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """Data, recipe, split and options of a study.

    ``stages`` are run unless they are done; with ``repeat`` they run again, with the stages that depend on them. With
    ``robustness``, stages 1, 3 and 4 are also evaluated at rising levels of synthetic noise. ``resume`` and ``force``
    are those of ``open_run``. ``cache_bytes`` bounds the memory of decoded images. With ``offline``, AlexNet's weights
    for LPIPS are not downloaded.
    """

    sheet: Sheet
    recipe: Recipe
    out: Path
    seed: int
    split: SplitChoice = field(default_factory=SplitChoice)
    stages: tuple[Stage, ...] = tuple(stage for stage in Stage if stage is not Stage.TRANSFER)
    robustness: bool = True
    resume: bool = False
    force: bool = False
    repeat: bool = False
    skip_bad: bool = False
    cache_bytes: int = 2 * 2**30
    accelerator: str = "auto"
    lpips_backbone: Path | None = None
    offline: bool = False
    mlflow_uri: str | None = None
    console: Console = field(default_factory=Console)

    def question(self) -> dict[str, Any]:
        """Return everything that results depend on, except the machine; ready for JSON."""
        return {
            **self.sheet.fingerprint(),
            "seed": self.seed,
            "skip_bad": self.skip_bad,
            "recipe": self.recipe.model_dump(mode="json"),
            "split": self.split.question(),
        }
