"""Training in a few small steps, for tests."""

import pytest

from clearcast.runtime.manifest import Parity
from clearcast.training.clear import fitting, planning, steps

_UNPROVED: Parity = {"pictures": 0, "flips": 0, "largest_difference": 0.0, "pixels_off": 0.0}


def shorten(patch: pytest.MonkeyPatch, *, graphs: bool = False) -> None:
    """Few and small steps: enough to see that everything fits together.

    ``graphs``: whether ONNX graphs are written and compared too, which takes half a minute.
    """
    if not graphs:
        patch.setattr("clearcast.bundle.pipeline.write_graphs", lambda *_: {})
        patch.setattr("clearcast.bundle.pipeline.Model", lambda *_: None)
        patch.setattr("clearcast.bundle.pipeline.prove", lambda *_: _UNPROVED)
    for module in (steps, planning):
        patch.setattr(module, "EPOCH", 1)
    patch.setattr(fitting, "EPOCH", 1)
    patch.setattr(fitting, "SURVEY_BATCH", 2)
    patch.setattr("clearcast.training.readings._STEPS", 20)
    patch.setattr("clearcast.bundle.training.RECIPE", planning.TrainingPlan(survey=2, detail=2, views=2))
