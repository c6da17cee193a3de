"""Training in a few short steps, for tests."""

import pytest

from clearcast.bundle.manifest import ParityResult
from clearcast.train import datasets, denoiser_training, training_budget

_NO_PARITY: ParityResult = {"pictures": 0, "flips": 0, "largest_difference": 0.0, "pixels_off": 0.0}


def shorten_training(patch: pytest.MonkeyPatch, *, graphs: bool = False) -> None:
    """Reduce steps and batches, so that a training takes seconds.

    ``graphs``: whether to write ONNX graphs and check their parity, which takes half a minute.
    """
    if not graphs:
        patch.setattr("clearcast.pipelines.bundle_writer.write_onnx_graphs", lambda *_: {})
        patch.setattr("clearcast.pipelines.bundle_writer.OnnxModel", lambda *_: None)
        patch.setattr("clearcast.pipelines.bundle_writer.check_parity", lambda *_: _NO_PARITY)
    for module in (datasets, training_budget, denoiser_training):
        patch.setattr(module, "EPOCH_STEPS", 1)
    patch.setattr(denoiser_training, "_GLOBAL_BATCH", 2)
    patch.setattr("clearcast.train.linear_probes._STEPS", 20)
    patch.setattr("clearcast.pipelines.train.CLEAR_PLAN", training_budget.TrainingPlan(survey=2, detail=2, views=2))
