"""Distributed training in a few short steps; each process runs it.

python -m tests.pipelines.train_together SHEET OUT DEVICES
"""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from clearcast.data.sheet import read_sheet
from clearcast.pipelines.train import train_bundle
from clearcast.pipelines.training_data import TrainRequest
from tests.pipelines.short_training import shorten_training

if __name__ == "__main__":
    sheet, out, devices = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        shorten_training(patch)
        train_bundle(
            TrainRequest(
                sheet=read_sheet(Path(sheet)),
                out=Path(out),
                seed=3,
                accelerator="cpu",
                devices=int(devices),
                console=Console(quiet=True),
            )
        )
    print("trained")
