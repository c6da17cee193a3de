"""Training in a few small steps, for tests."""

import pytest

from clearcast.training.clear import fitting, planning, steps


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Few and small steps: enough to see that everything fits together."""
    for module in (steps, planning):
        patch.setattr(module, "EPOCH", 1)
    patch.setattr(fitting, "EPOCH", 1)
    patch.setattr(fitting, "SURVEY_BATCH", 2)
    patch.setattr("clearcast.training.readings._STEPS", 20)
    patch.setattr("clearcast.bundle.training.RECIPE", fitting.Plan(survey=2, detail=2, views=2))
