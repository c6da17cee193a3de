"""Distributed fit of two processes on the CPU, compared with one process."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clearcast.core import imaging
from clearcast.core.errors import RecipeError
from clearcast.train.datasets import EPOCH_STEPS, shard_batch
from clearcast.train.trainer import require_device
from tests.train import distributed_fit
from tests.train.distributed_fit import BATCH, ROWS, SEED, SIDE


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    rng = np.random.default_rng(0)
    for row in range(ROWS):
        clean = rng.integers(40, 200, (SIDE, SIDE, 3)).astype(np.uint8)
        imaging.save_image(folder / "clean" / f"{row:02}.png", clean)
        noisy = np.clip(clean + rng.normal(0, 30, clean.shape), 0, 255).astype(np.uint8)
        imaging.save_image(folder / "noisy" / f"{row:02}.png", noisy)
    distributed_fit.fit_rows(folder, 1)
    command = [sys.executable, distributed_fit.__file__, str(folder), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as file:
        return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(file)]


def test_two_processes_give_the_weights_and_metrics_of_one(fitted: Path) -> None:
    one, two = (load_file(fitted / f"rows-{devices}" / "model.safetensors") for devices in (1, 2))
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-4, atol=1e-6)
    for single, distributed in zip(history(fitted / "rows-1"), history(fitted / "rows-2"), strict=True):
        assert {**distributed, "seconds": 0} == pytest.approx({**single, "seconds": 0}, rel=1e-5)


def test_each_process_gets_its_own_batches(fitted: Path) -> None:
    first, second = (np.loadtxt(fitted / f"batches-2-{number}.txt", dtype=np.float32) for number in (0, 1))
    single = [np.random.default_rng((SEED, step)).random(3, dtype=np.float32) for step in range(EPOCH_STEPS)]
    np.testing.assert_array_equal(first, np.concatenate(single))
    assert len(second) == len(first)
    assert not set(second) & set(first)
    (line,) = history(fitted / "steps-2")
    assert line["train_mean"] == pytest.approx((first.mean() + second.mean()) / 2, rel=1e-5)


def test_held_out_rows_count_once(fitted: Path) -> None:
    (line,) = history(fitted / "steps-2")
    batches = [np.random.default_rng((SEED, 2**40 + number)).random(3, dtype=np.float32) for number in range(2)]
    assert line["heldout_mean"] == pytest.approx(np.mean(batches), rel=1e-5)


@pytest.mark.parametrize("total", [1, 2, 3, 9])
def test_shares_add_up_to_the_batch(total: int) -> None:
    rows = torch.arange(BATCH)
    shares = [shard_batch(rows, number, total) for number in range(total)]
    assert sorted(torch.cat(shares[:BATCH]).tolist()) == rows.tolist()
    assert all(spare.tolist() == [0] for spare in shares[BATCH:])


def test_more_devices_than_available_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("auto", 2)
    require_device("cpu", 3)
    with pytest.raises(RecipeError, match="finds 2; use --devices 2"):
        require_device("gpu", 3)
