"""Bundle writer of train, distill and export: from trained networks to a bundle.

It writes weights and ONNX graphs, checks their parity, and writes golden samples, drift reference and manifest. If a
step fails, there is no bundle.
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
from clearcast.bundle.archive import BundlePackage
from clearcast.bundle.manifest import (
    BUNDLE_FORMAT,
    ClassifierMetadata,
    GraphInterface,
    Manifest,
    TrainingDataInfo,
    TrainingEffort,
    TrainingManifest,
    sha256_hex,
    write_manifest,
)
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.evidence_schema import Evidence
from clearcast.core.numbers import sigmoid
from clearcast.inference.drift_statistics import REFERENCE_FILE, DriftReference
from clearcast.inference.model import DETAIL_GRAPH, GLOBAL_GRAPH, OnnxModel
from clearcast.inference.verification import GOLDEN_FILE
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.golden_samples import (
    compute_drift_reference,
    crop_to_centre,
    load_sample_images,
    write_golden_samples,
)
from clearcast.pipelines.networks import (
    BundleNetworks,
    DistilledNetworks,
    predict_image,
    predict_image_distilled,
    save_networks,
)
from clearcast.pipelines.onnx_export import write_onnx_graphs
from clearcast.pipelines.parity import PredictFunction, check_parity
from clearcast.pipelines.published_bundle import PublishedNetworks, predict_published, save_published_networks
from clearcast.pipelines.training_data import WORK_FOLDER, TrainingData, TrainRequest
from clearcast.train.run_directory import write_json
from clearcast.types import Subset

BUNDLE_LICENCE = "Trained by Clearcast (Apache-2.0) on images of the maker of this bundle, who decides on its use."
BACKBONE_LICENCE = (
    " Its classifier uses features of EfficientNet-Lite0, whose weights Google published under Apache-2.0."
)
_BACKBONE_RECIPES = ("clear", "glance")
_TILE_SIDE = 128  # pixels; small, so that the parity check has many seams


class PhaseTimer:
    """Timer of the phases of a training, in minutes; after a resumption, those of the last call."""

    def __init__(self) -> None:
        self.minutes: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        yield
        self.minutes[name] = round((time.perf_counter() - start) / 60, 2)


def describe_trained_networks(
    recipe: str,
    *,
    trained_on: TrainingDataInfo,
    effort: TrainingEffort,
    classifier: ClassifierMetadata | None,
    no_classifier_reason: str | None = None,
    measured: Evidence,
) -> TrainingManifest:
    """Make the part of the manifest that describes the networks; see ``TrainingManifest``."""
    return {
        "format": BUNDLE_FORMAT,
        "recipe": recipe,
        "clearcast": __version__,
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "files": {},
        "trained_on": trained_on,
        "effort": effort,
        "judge": classifier,
        "no_judge": no_classifier_reason,
        "measured": measured,
        "noise_types": [kind.value for kind in NoiseType],
    }


def make_torch_predictor(networks: BundleNetworks | DistilledNetworks | PublishedNetworks) -> PredictFunction:
    """Return the function that predicts with the networks in PyTorch."""
    match networks:
        case BundleNetworks():
            return partial(predict_image, networks)
        case DistilledNetworks():
            return partial(predict_image_distilled, networks)
        case PublishedNetworks():
            return partial(predict_published, networks)


def write_trained_bundle(
    request: TrainRequest,
    data: TrainingData,
    networks: BundleNetworks | DistilledNetworks,
    trained: TrainingManifest,
    table: pd.DataFrame,
    timer: PhaseTimer,
) -> Manifest:
    """Write the bundle of a training into its folder, and remove the work folder.

    Args:
        request: has the console.
        data: has the folder, and the images for the parity check.
        networks, trained, timer: see ``write_bundle``.
        table: the measured test rows, for the drift reference.
    """
    manifest = write_bundle(
        data.run.path,
        networks,
        trained,
        sample_images=load_sample_images(data.rows.sheet, data.rows_of(Subset.TRAIN), data.channels),
        drift_reference=compute_drift_reference(table, Subset.TEST),
        timer=timer,
        console=request.console,
    )
    shutil.rmtree(data.run.path / WORK_FOLDER)  # after the manifest, so that an interruption loses no training
    return manifest


def write_bundle(
    folder: Path,
    networks: BundleNetworks | DistilledNetworks | PublishedNetworks,
    trained: TrainingManifest,
    *,
    sample_images: Sequence[ImageArray],
    drift_reference: DriftReference,
    timer: PhaseTimer | None = None,
    console: Console | None = None,
) -> Manifest:
    """Write the networks into a folder and make it a bundle.

    Args:
        folder: holds other files of the bundle already, such as its split.
        networks: in evaluation mode.
        trained: describes them; ``timer`` may fill in the minutes of its effort.
        sample_images, drift_reference: see ``finalise_bundle``.
        timer: times the phase ``graphs``.
        console: shows that graphs are written.

    Raises:
        OutputError: the graphs differ from the networks.
    """
    if isinstance(networks, PublishedNetworks):
        save_published_networks(networks, folder)
    else:
        save_networks(networks, folder)
    if console:
        console.print("  Writing ONNX graphs and checking their parity with PyTorch", highlight=False)
    with (timer or PhaseTimer()).phase("graphs"):
        graphs = write_onnx_graphs(networks, folder)
    return finalise_bundle(folder, trained, graphs, make_torch_predictor(networks), sample_images, drift_reference)


def finalise_bundle(
    folder: Path,
    trained: TrainingManifest,
    graphs: dict[str, GraphInterface],
    predict: PredictFunction,
    sample_images: Sequence[ImageArray],
    drift_reference: DriftReference,
) -> Manifest:
    """Check the parity of a folder's graphs and make it a bundle; if it fails, remove the graphs.

    Args:
        folder: holds all files but those that are written here.
        trained: describes the networks.
        graphs: those in the folder.
        predict: with the networks in PyTorch.
        sample_images: training images, for the parity check; the first ones become golden samples.
        drift_reference: of images that the networks were not trained on.

    Raises:
        OutputError: a verdict flips, or a value differs by more than the tolerance.
    """
    classifier = trained["judge"]
    threshold = sigmoid(classifier["threshold"] / classifier["temperature"]) if classifier else None
    with _remove_on_failure(folder, list(graphs)):
        manifest = _unverified_manifest(trained, graphs, threshold)
        write_json(folder / REFERENCE_FILE, drift_reference)
        package = _unverified_package(folder, manifest)
        has_tiles = {GLOBAL_GRAPH, DETAIL_GRAPH} <= graphs.keys()
        in_tiles = OnnxModel(package, whole=1, tile=_TILE_SIDE) if has_tiles else None
        manifest["parity"] = check_parity(
            OnnxModel(package), in_tiles, threshold, predict, [crop_to_centre(image) for image in sample_images]
        )
        write_golden_samples(folder, sample_images, predict, threshold)
        write_manifest(folder, manifest)
    return manifest


def _unverified_manifest(
    trained: TrainingManifest, graphs: dict[str, GraphInterface], threshold: float | None
) -> Manifest:
    """Make the manifest of a bundle before its parity check; fingerprint and seal are added when it is written."""
    has_backbone = trained["recipe"] in _BACKBONE_RECIPES and trained["judge"]
    return {
        **trained,
        "format": BUNDLE_FORMAT,
        "threshold": threshold,
        "licence": BUNDLE_LICENCE + (BACKBONE_LICENCE if has_backbone else ""),
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


def _unverified_package(folder: Path, manifest: Manifest) -> BundlePackage:
    files = {name: sha256_hex((folder / name).read_bytes()) for name in manifest["graphs"]}
    return BundlePackage(
        path=folder, manifest={**manifest, "files": files}, read_unchecked=lambda name: (folder / name).read_bytes()
    )


@contextmanager
def _remove_on_failure(folder: Path, graphs: Sequence[str]) -> Iterator[None]:
    """Remove graphs, golden samples and drift reference if the block fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder / "golden", ignore_errors=True)
        for name in (*graphs, GOLDEN_FILE, REFERENCE_FILE):
            (folder / name).unlink(missing_ok=True)
        raise
