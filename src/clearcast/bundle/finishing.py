"""The last steps to a bundle: prove its graphs, add golden pictures and reference, write the manifest."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from clearcast import __version__
from clearcast.bundle.golden import middle, write_golden
from clearcast.bundle.proving import Ask, prove
from clearcast.evaluation.study.folder import write_json
from clearcast.imaging import Picture
from clearcast.log_odds import sigmoid
from clearcast.runtime.golden import GOLDEN
from clearcast.runtime.manifest import FORMAT, Graph, JudgeFacts, Manifest, Trained, sha256, write_manifest
from clearcast.runtime.model import DETAIL, SURVEY, Model
from clearcast.runtime.package import Package
from clearcast.runtime.reference import REFERENCE, Reference

LICENCE = "Trained by Clearcast (Apache-2.0) on pictures of whoever made this bundle; its use is theirs to decide."
BACKBONE_LICENCE = " Verdicts read features of EfficientNet-Lite0, whose weights Google published under Apache-2.0."
_OF_BACKBONE = ("clear", "glance")  # recipes
_TILE = 128  # pixels; small, so that the proof has many seams


def finish(
    folder: Path, trained: Trained, graphs: dict[str, Graph], ask: Ask, pictures: Sequence[Picture], looks: Reference
) -> Manifest:
    """Make a bundle of a folder that holds weights and graphs, or refuse to and take the graphs away.

    Args:
        folder: holds all files but those that are written here.
        trained: what is known of the networks.
        graphs: those in the folder.
        ask: what the networks say, in PyTorch.
        pictures: real ones that the networks learned from, for the proof; the first ones become golden.
        looks: of pictures that they did not learn from.

    Raises:
        OutputError: a verdict flips, or a number moves too far.
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
        package = _unproved(folder, manifest)
        in_tiles = Model(package, whole=1, tile=_TILE) if {SURVEY, DETAIL} <= graphs.keys() else None
        manifest["parity"] = prove(Model(package), in_tiles, threshold, ask, [middle(each) for each in pictures])
        write_golden(folder, pictures, ask, threshold)
        write_manifest(folder, manifest)
    return manifest


def _threshold(judge: JudgeFacts | None) -> float | None:
    return sigmoid(judge["threshold"] / judge["temperature"]) if judge else None


def _unproved(folder: Path, manifest: Manifest) -> Package:
    files = {name: sha256((folder / name).read_bytes()) for name in manifest["graphs"]}
    return Package(
        path=folder, manifest={**manifest, "files": files}, unchecked=lambda name: (folder / name).read_bytes()
    )


@contextmanager
def _whole_or_nothing(folder: Path, graphs: Sequence[str]) -> Iterator[None]:
    """Take graphs and golden pictures away again where something fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder / "golden", ignore_errors=True)
        for name in (*graphs, GOLDEN, REFERENCE):
            (folder / name).unlink(missing_ok=True)
        raise
