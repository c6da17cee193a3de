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
from clearcast.nn.denoiser import ClearDenoiser
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

SHAPE = (96, 128)  # (height, width) in pixels at which images are classified


def random_networks(channels: Channels) -> BundleNetworks:
    """Make untrained networks whose outputs depend on all weights and on the image; both verdicts occur."""
    torch.manual_seed(5)
    denoiser, head = freeze(ClearDenoiser(channels.depth)), DefectHead()
    encoder, detail = denoiser.global_encoder, denoiser.detail
    layers = (encoder.periodic_head.output_conv, detail.residual_head, detail.mix_head, *head.children())
    for parameter in (parameter for layer in layers for parameter in layer.parameters()):
        nn.init.normal_(parameter, std=0.05)
    network = freeze(DefectClassifier(Backbone(), head, SHAPE))
    metadata: ClassifierMetadata = {"shape": list(SHAPE), "temperature": 1.25, "threshold": 0.0, "crossfitted": True}
    classifier = CalibratedClassifier(network=network, metadata=metadata)
    logits = sorted(1.25 * classify_image(classifier, image)[0] for image in random_images(channels.depth))
    metadata["threshold"] = (logits[3] + logits[4]) / 2
    return BundleNetworks(channels=channels, denoiser=denoiser, classifier=classifier)


def write_small_bundle(folder: Path, data: Path) -> None:
    """Write a bundle for grey images into a new folder, as training does, with a drift reference."""
    networks = random_networks(Channels.GREY)
    images = [imaging.load_image(path, Channels.GREY) for path in find_image_files(data / "With-Noise")[:8]]
    folder.mkdir()
    save_networks(networks, folder)
    predict = partial(predict_image, networks)
    table = pd.DataFrame([drift_reference_row(image, predict(image)) for image in images])
    finalise_bundle(
        folder,
        _training_manifest(networks),
        write_onnx_graphs(networks, folder),
        predict,
        images,
        compute_drift_reference(table, "test"),
    )


def _training_manifest(networks: BundleNetworks) -> TrainingManifest:
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
            "split": "random, for tests",
            "parts": 8,
            "parts_source": "column",
            "channels": networks.channels.value,
            "shape": list(SHAPE),
        },
        "effort": {"seed": 5, "plan": {}, "minutes": {}, "device": "cpu", "budget_minutes": None},
        "judge": networks.classifier.metadata if networks.classifier else None,
        "no_judge": None if networks.classifier else "none was requested",
        "measured": measured,
    }
