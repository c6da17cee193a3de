"""Training of a bundle by two processes."""

import subprocess
import sys
from pathlib import Path

from tests.bundle.manifests import read_manifest

ROOT = Path(__file__).parents[2]  # from which tests are imported


def test_one_of_two_processes_writes_a_complete_bundle(noisy_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    command = [sys.executable, "-m", "tests.pipelines.train_together", str(noisy_folder / "Labels.xlsx"), str(out), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained\n"
    assert "GLOBAL_RANK" not in done.stderr
    manifest = read_manifest(out)
    assert manifest["effort"]["device"].startswith("2 x CPU")
    assert not list(out.rglob("*.ckpt"))
