"""A small bundle as training writes it, but with weights drawn at random."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from clearcast import __version__
from clearcast.bundle.manifest import ClassifierMetadata, TrainingManifest
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.evidence_schema import Evidence
from clearcast.core.files import find_image_files
from clearcast.nn.backbone import Backbone
from clearcast.nn.defect_classifier import DefectClassifier, DefectHead
from clearcast.nn.restorer import ClearDenoiser
from clearcast.pipelines.bundle_writer import finalise_bundle
from clearcast.pipelines.golden_samples import compute_drift_reference, drift_reference_row
from clearcast.pipelines.networks import (
    BundleNetworks,
    CalibratedClassifier,
    classify_image,
    freeze,
    predict_image,
    save_networks,
)
from clearcast.pipelines.onnx_export import write_onnx_graphs
from clearcast.pipelines.parity import random_images

SHAPE = (96, 128)  # (height, width) in pixels that pictures are judged at


def random_networks(channels: Channels) -> BundleNetworks:
    """Untrained networks whose answers depend on every part of them, and on the picture; both verdicts are given."""
    torch.manual_seed(5)
    restorer, judging = freeze(ClearDenoiser(channels.depth)), DefectHead()
    encoder, detail = restorer.global_encoder, restorer.detail
    drawn = (encoder.periodic_head.output_conv, detail.residual_head, detail.mix_head, *judging.children())
    for parameter in (parameter for layer in drawn for parameter in layer.parameters()):
        nn.init.normal_(parameter, std=0.05)
    network = freeze(DefectClassifier(Backbone(), judging, SHAPE))
    facts: ClassifierMetadata = {"shape": list(SHAPE), "temperature": 1.25, "threshold": 0.0, "crossfitted": True}
    verdicts = CalibratedClassifier(network=network, facts=facts)
    logits = sorted(1.25 * classify_image(verdicts, picture)[0] for picture in random_images(channels.depth))
    facts["threshold"] = (logits[3] + logits[4]) / 2
    return BundleNetworks(channels=channels, restorer=restorer, verdicts=verdicts)


def write_small_bundle(folder: Path, data: Path) -> None:
    """Write a bundle for grey pictures into a new folder, as training does, with a reference of some noisy pictures."""
    networks = random_networks(Channels.GREY)
    pictures = [imaging.load_image(path, Channels.GREY) for path in find_image_files(data / "With-Noise")[:8]]
    folder.mkdir()
    save_networks(networks, folder)
    ask = partial(predict_image, networks)
    table = pd.DataFrame([drift_reference_row(picture, ask(picture)) for picture in pictures])
    finalise_bundle(
        folder,
        _trained(networks),
        write_onnx_graphs(networks, folder),
        ask,
        pictures,
        compute_drift_reference(table, "test"),
    )


def _trained(networks: BundleNetworks) -> TrainingManifest:
    measured: Evidence = {
        "format": 1,
        "images": 0,
        "parts": 0,
        "parts_by_label": {},
        "independent": True,
        "method": "",
        "classification": {},
        "restoration": {},
        "comparisons": [],
        "decisions": {},
        "robustness": {},
    }
    return {
        "format": 1,
        "recipe": "clear",
        "clearcast": __version__,
        "created": "2026-01-01T00:00:00+00:00",
        "files": {},
        "trained_on": {
            "sheet": "Labels.xlsx",
            "sheet_sha256": "0" * 64,
            "rows": {"train": 8, "validation": 0, "test": 8},
            "split": "drawn at random, for tests",
            "parts": 8,
            "parts_source": "column",
            "channels": networks.channels.value,
            "shape": list(SHAPE),
        },
        "effort": {"seed": 5, "plan": {}, "minutes": {}, "device": "cpu", "budget_minutes": None},
        "judge": networks.verdicts.facts if networks.verdicts else None,
        "no_judge": None if networks.verdicts else "none was asked for",
        "measured": measured,
    }
