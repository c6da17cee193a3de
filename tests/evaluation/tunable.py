"""A bundle of hand-written graphs with the tables that a threshold is chosen by."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast.bundle.manifest import MANIFEST_FILE, Manifest, write_manifest
from clearcast.inference.drift_statistics import REFERENCE_FILE, DriftReference
from clearcast.inference.verification import GOLDEN_FILE
from tests.inference.handmade import write_bundle

TEMPERATURE = 1.25
P_NOISE = {"gaussian": 0.1, "salt_and_pepper": 0.2, "periodic": 0.7, "none": 0.0}


def verdict_table(defects: list[float], oks: list[float]) -> pd.DataFrame:
    """Images of parts of their own with these log-odds, in the columns that training writes; the threshold is 0."""
    logits = np.array([*defects, *oks], float)
    return pd.DataFrame(
        {
            "row": np.arange(len(logits)) + 2,
            "part": [f"{number:03d}" for number in range(len(logits))],
            "label": ["defect"] * len(defects) + ["ok"] * len(oks),
            "noise_type": "gaussian",
            "p_defect_denoised": 1 / (1 + np.exp(-logits)),
            "logit_denoised": logits,
            "said_denoised": np.where(logits > 0, "defect", "ok"),
        }
    )


def add_tables(folder: Path, test: pd.DataFrame, out_of_fold: pd.DataFrame | None) -> Path:
    """Give a bundle the tables of its test rows and out-of-fold predictions, as training writes them."""
    manifest: Manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    manifest["effort"] = {"seed": 3, "plan": {}, "minutes": {}, "device": "cpu", "budget_minutes": None}
    test.round(6).to_csv(folder / "predictions.csv", index=False)
    if out_of_fold is not None:
        out_of_fold.round(6).to_csv(folder / "validation.csv", index=False)
    write_manifest(folder, manifest)
    return folder


def write_tunable(folder: Path, test: pd.DataFrame, out_of_fold: pd.DataFrame | None) -> Path:
    """A bundle whose threshold is the probability 0.5; its golden samples have no files."""
    write_bundle(folder)
    manifest: Manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    assert manifest["judge"]
    manifest["judge"] |= {"temperature": TEMPERATURE, "crossfitted": out_of_fold is not None}
    write_manifest(folder, manifest)
    golden = [
        {
            "file": "golden/0.png",
            "p_defect": probability,
            "verdict": verdict,
            "noise_type": "periodic",
            "p_noise": P_NOISE,
        }
        for probability, verdict in ((0.2, "ok"), (0.6, "defect"), (0.95, "defect"), (None, None))
    ]
    (folder / GOLDEN_FILE).write_text(json.dumps(golden), "utf-8")
    reference: DriftReference = {
        "pictures": "test",
        "numbers": {"brightness": {"count": 8, "quantiles": [float(level) for level in range(9)]}},
        "noise_types": {"gaussian": 1.0},
        "verdicts": {"ok": 0.5, "defect": 0.5},
    }
    (folder / REFERENCE_FILE).write_text(json.dumps(reference), "utf-8")
    return add_tables(folder, test, out_of_fold)
