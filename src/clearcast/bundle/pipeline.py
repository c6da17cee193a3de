"""The pipeline that train, distill and export share: from trained networks to a bundle.

Weights, ONNX graphs, parity check, golden samples, drift reference, manifest: a whole bundle or none.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch
from rich.console import Console

from clearcast import __version__
from clearcast.bundle.exporting import write_graphs
from clearcast.bundle.golden import examples, middle, write_golden
from clearcast.bundle.ground import WORK, Ground
from clearcast.bundle.networks import Distilled, Networks, predict_distilled, predict_networks, save_networks
from clearcast.bundle.proving import Ask, prove
from clearcast.bundle.published import Published, ask_published, save_published
from clearcast.bundle.reference import reference_of
from clearcast.bundle.request import TrainRequest
from clearcast.domain import NoiseType, Subset
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.study.folder import write_json
from clearcast.imaging import Picture
from clearcast.log_odds import sigmoid
from clearcast.runtime.golden import GOLDEN
from clearcast.runtime.manifest import (
    FORMAT,
    Effort,
    Graph,
    JudgeFacts,
    Manifest,
    Trained,
    TrainedOn,
    sha256,
    write_manifest,
)
from clearcast.runtime.model import DETAIL, SURVEY, Model
from clearcast.runtime.package import Package
from clearcast.runtime.reference import REFERENCE, Reference

LICENCE = "Trained by Clearcast (Apache-2.0) on images of the maker of this bundle, who decides on its use."
BACKBONE_LICENCE = (
    " Its classifier uses features of EfficientNet-Lite0, whose weights Google published under Apache-2.0."
)
_OF_BACKBONE = ("clear", "glance")  # recipes
_TILE = 128  # pixels; small, so that the parity check has many seams


class PhaseTimer:
    """The minutes of each phase; of a resumed training, those of the last call."""

    def __init__(self) -> None:
        self.minutes: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block."""
        begun = time.perf_counter()
        yield
        self.minutes[name] = round((time.perf_counter() - begun) / 60, 2)


def describe_networks(
    recipe: str,
    *,
    trained_on: TrainedOn,
    effort: Effort,
    judge: JudgeFacts | None,
    no_judge: str | None = None,
    measured: Evidence,
) -> Trained:
    """The part of the manifest that describes the networks; see ``Trained``."""
    return {
        "format": FORMAT,
        "recipe": recipe,
        "clearcast": __version__,
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "files": {},
        "trained_on": trained_on,
        "effort": effort,
        "judge": judge,
        "no_judge": no_judge,
        "measured": measured,
        "noise_types": [kind.value for kind in NoiseType],
    }


def predictor_of(networks: Networks | Distilled | Published) -> Ask:
    """The function that predicts with the networks in PyTorch."""
    match networks:
        case Networks():
            return partial(predict_networks, networks)
        case Distilled():
            return partial(predict_distilled, networks)
        case Published():
            return partial(ask_published, networks)


def write_trained_bundle(
    request: TrainRequest,
    ground: Ground,
    networks: Networks | Distilled,
    trained: Trained,
    table: pd.DataFrame,
    timer: PhaseTimer,
) -> Manifest:
    """Write the bundle of a training into its folder, and remove the work folder.

    Args:
        request: has the console.
        ground: has the folder, and the images for the parity check.
        networks: see ``write_bundle``.
        trained: see ``write_bundle``.
        table: the measured test rows, for the drift reference.
        timer: see ``write_bundle``.
    """
    manifest = write_bundle(
        ground.folder.path,
        networks,
        trained,
        pictures=examples(ground.rows.sheet, ground.rows_of(Subset.TRAIN), ground.channels),
        looks=reference_of(table, Subset.TEST),
        timer=timer,
        console=request.console,
    )
    shutil.rmtree(ground.folder.path / WORK)  # after the manifest, so that an interruption loses no training
    return manifest


def write_bundle(
    folder: Path,
    networks: Networks | Distilled | Published,
    trained: Trained,
    *,
    pictures: Sequence[Picture],
    looks: Reference,
    timer: PhaseTimer | None = None,
    console: Console | None = None,
) -> Manifest:
    """Write the networks into a folder and make it a bundle.

    Args:
        folder: holds other files of the bundle already, such as its split.
        networks: in evaluation mode.
        trained: describes them; ``timer`` may fill in the minutes of its effort.
        pictures: see ``finish``.
        looks: see ``finish``.
        timer: times the phase ``graphs``.
        console: shows that graphs are written.

    Raises:
        OutputError: the graphs differ from the networks.
    """
    if isinstance(networks, Published):
        save_published(networks, folder)
    else:
        save_networks(networks, folder)
    if console:
        console.print("  Writing ONNX graphs and checking their parity with PyTorch", highlight=False)
    with (timer or PhaseTimer()).phase("graphs"):
        graphs = write_graphs(networks, folder)
    return finish(folder, trained, graphs, predictor_of(networks), pictures, looks)


def finish(
    folder: Path, trained: Trained, graphs: dict[str, Graph], ask: Ask, pictures: Sequence[Picture], looks: Reference
) -> Manifest:
    """Check the parity of a folder's graphs and make it a bundle; if it fails, remove the graphs.

    Args:
        folder: holds all files but those that are written here.
        trained: describes the networks.
        graphs: those in the folder.
        ask: predicts with the networks in PyTorch.
        pictures: training images, for the parity check; the first ones become golden samples.
        looks: the drift reference, of images that the networks were not trained on.

    Raises:
        OutputError: a verdict flips, or a value differs by more than the tolerance.
    """
    threshold = _threshold(trained["judge"])
    with _whole_or_nothing(folder, list(graphs)):
        manifest: Manifest = {
            **trained,
            "format": FORMAT,
            "threshold": threshold,
            "licence": LICENCE + (BACKBONE_LICENCE if trained["recipe"] in _OF_BACKBONE and trained["judge"] else ""),
            "fingerprint": "",
            "seal": "",
            "graphs": graphs,
            "versions": {
                "clearcast": __version__,
                "numpy": np.__version__,
                "onnxruntime": onnxruntime.__version__,
                "torch": str(torch.__version__),
            },
            "parity": {"pictures": 0, "flips": 0, "largest_difference": 0.0, "pixels_off": 0.0},
        }
        write_json(folder / REFERENCE, looks)
        package = _unverified(folder, manifest)
        in_tiles = Model(package, whole=1, tile=_TILE) if {SURVEY, DETAIL} <= graphs.keys() else None
        manifest["parity"] = prove(Model(package), in_tiles, threshold, ask, [middle(each) for each in pictures])
        write_golden(folder, pictures, ask, threshold)
        write_manifest(folder, manifest)
    return manifest


def _threshold(judge: JudgeFacts | None) -> float | None:
    return sigmoid(judge["threshold"] / judge["temperature"]) if judge else None


def _unverified(folder: Path, manifest: Manifest) -> Package:
    files = {name: sha256((folder / name).read_bytes()) for name in manifest["graphs"]}
    return Package(
        path=folder, manifest={**manifest, "files": files}, unchecked=lambda name: (folder / name).read_bytes()
    )


@contextmanager
def _whole_or_nothing(folder: Path, graphs: Sequence[str]) -> Iterator[None]:
    """Remove graphs, golden samples and drift reference if the block fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder / "golden", ignore_errors=True)
        for name in (*graphs, GOLDEN, REFERENCE):
            (folder / name).unlink(missing_ok=True)
        raise
