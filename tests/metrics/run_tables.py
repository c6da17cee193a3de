"""Simulated tables of a run: parts with 1 to 28 images, whose log-odds are correlated."""

import numpy as np
import pandas as pd

NOISES = ("gaussian", "salt_and_pepper", "periodic")
SKILLS = {"reference": 2.5, "noisy": 0.7, "denoised": 0.9, "transfer": 0.2}


def run_table(parts: int, seed: int, *, folds: int = 1, max_images: int = 28) -> pd.DataFrame:
    """Make a table with the columns of ``predictions.csv`` and ``validation.csv``."""
    rng = np.random.default_rng(seed)
    sizes = np.clip(rng.geometric(0.18, parts), 1, max_images)
    part = np.repeat([f"part-{seed}-{number}" for number in range(parts)], sizes)
    defect = np.repeat(np.arange(parts) % 4 > 0, sizes)
    noise = rng.choice(NOISES, len(part))
    table = pd.DataFrame(
        {
            "row": np.arange(len(part)) + 2,
            "part": part,
            "label": np.where(defect, "defect", "ok"),
            "noise_type": noise,
            "said_noise_type": np.where(rng.random(len(part)) < 0.8, noise, "periodic"),
        }
    )
    for stage, skill in SKILLS.items():
        shared = np.repeat(rng.normal(size=parts), sizes)
        logits = 3 * (np.where(defect, skill, -skill) + 0.7 * shared + 0.7 * rng.normal(size=len(part)))
        table = table.assign(**verdict_columns(stage, logits))
    table[[f"p_{name}" for name in NOISES]] = rng.dirichlet(np.ones(3), len(part))
    for which, level in (("noisy", 18), ("denoised", 25)):
        table[f"psnr_{which}"] = level + rng.normal(size=len(part))
        table[f"ssim_{which}"] = rng.uniform(0.4, 0.9, len(part))
        table[f"mse_{which}"] = 10 ** (-table[f"psnr_{which}"] / 10)
    return table.assign(fold=rng.integers(1, folds + 1, len(part))) if folds > 1 else table


def small_table(stage: str, parts: str, labels: str, logits: list[float]) -> pd.DataFrame:
    """Make a table with the verdicts of one stage: letters name the parts, + is a defect, - is ok."""
    table = pd.DataFrame({"part": list(parts), "label": ["defect" if label == "+" else "ok" for label in labels]})
    return table.assign(noise_type="gaussian", **verdict_columns(stage, np.array(logits, float)))


def verdict_columns(stage: str, logits: np.ndarray) -> dict[str, np.ndarray]:
    return {
        f"p_defect_{stage}": 1 / (1 + np.exp(-logits)),
        f"logit_{stage}": logits,
        f"said_{stage}": np.where(logits > 0, "defect", "ok"),
    }
