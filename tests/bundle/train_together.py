"""Train in a few small steps: python train_together.py SHEET OUT DEVICES. Every process runs all of it."""

import sys
from pathlib import Path

import pytest
from rich.console import Console
from short_training import shorten

from clearcast.bundle.request import TrainRequest
from clearcast.bundle.training import train
from clearcast.data.sheet import read_sheet

if __name__ == "__main__":
    sheet, out, devices = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        train(
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
