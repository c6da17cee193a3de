"""A small bundle as training writes it, but with weights drawn at random."""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from clearcast import __version__, imaging
from clearcast.bundle.exporting import write_graphs
from clearcast.bundle.networks import Networks, Verdicts, judge, predict_networks, save_networks, still
from clearcast.bundle.pipeline import finish
from clearcast.bundle.proving import random_pictures
from clearcast.bundle.reference import look_of, reference_of
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.imaging import Channels
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.judge import Judge, PictureJudge
from clearcast.runtime.manifest import JudgeFacts, Trained

SHAPE = (96, 128)  # (height, width) in pixels that pictures are judged at


def random_networks(channels: Channels) -> Networks:
    """Untrained networks whose answers depend on every part of them, and on the picture; both verdicts are given."""
    torch.manual_seed(5)
    restorer, judging = still(Restorer(channels.depth)), Judge()
    encoder, detail = restorer.global_encoder, restorer.detail
    drawn = (encoder.periodic_head.leave, detail.residual_head, detail.mix_head, *judging.children())
    for parameter in (parameter for layer in drawn for parameter in layer.parameters()):
        nn.init.normal_(parameter, std=0.05)
    network = still(PictureJudge(Backbone(), judging, SHAPE))
    facts: JudgeFacts = {"shape": list(SHAPE), "temperature": 1.25, "threshold": 0.0, "crossfitted": True}
    verdicts = Verdicts(network=network, facts=facts)
    logits = sorted(1.25 * judge(verdicts, picture)[0] for picture in random_pictures(channels.depth))
    facts["threshold"] = (logits[3] + logits[4]) / 2
    return Networks(channels=channels, restorer=restorer, verdicts=verdicts)


def write_small_bundle(folder: Path, data: Path) -> None:
    """Write a bundle for grey pictures into a new folder, as training does, with a reference of some noisy pictures."""
    networks = random_networks(Channels.GREY)
    pictures = [imaging.load(path, Channels.GREY) for path in imaging.find(data / "With-Noise")[:8]]
    folder.mkdir()
    save_networks(networks, folder)
    ask = partial(predict_networks, networks)
    table = pd.DataFrame([look_of(picture, ask(picture)) for picture in pictures])
    finish(folder, _trained(networks), write_graphs(networks, folder), ask, pictures, reference_of(table, "test"))


def _trained(networks: Networks) -> Trained:
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
