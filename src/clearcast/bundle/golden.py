"""Golden samples: images with their expected predictions, by which a copy of a bundle is verified."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clearcast import imaging
from clearcast.bundle.proving import Ask
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType, Verdict
from clearcast.files import replace_file
from clearcast.imaging import Channels, Picture
from clearcast.runtime.answers import Prediction
from clearcast.runtime.golden import GOLDEN, Golden

COUNT = 4
SIDE = 512  # pixels at most
_MARGIN = 0.02  # of p_defect from the threshold, so that rounding errors of a machine change no verdict


def write_golden(folder: Path, pictures: Sequence[Picture], ask: Ask, threshold: float | None) -> None:
    """Write ``golden/`` and ``golden.json``, preferring images whose ``p_defect`` is not close to the threshold.

    Args:
        folder: the bundle's.
        pictures: to choose from, uint8 (height, width) or (height, width, 3); large ones are cropped to their centre.
        ask: makes the expected predictions.
        threshold: of ``p_defect``.
    """
    predicted = [(image, ask(image)) for image in map(middle, pictures)]
    predicted.sort(key=lambda each: _is_close(each[1], threshold))
    written: list[Golden] = []
    for number, (image, prediction) in enumerate(predicted[:COUNT]):
        name = f"golden/{number}.png"
        imaging.save(folder / name, image)
        written.append(_expected(name, prediction))
    with replace_file(folder / GOLDEN) as temporary:
        temporary.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def examples(sheet: Sheet, rows: Sequence[Row], channels: Channels) -> list[Picture]:
    """Load a noisy image of each noise type and label; the first ones differ in type and cover both labels.

    Args:
        sheet: resolves the paths.
        rows: to choose from.
        channels: grey or colour.
    """
    first: dict[tuple[int, int], Row] = {}
    for row in rows:
        label = tuple(Label).index(row.label) if row.label else 0
        first.setdefault((tuple(NoiseType).index(row.noise_type), label), row)
    order = sorted(first, key=lambda pair: (sum(pair) % 2, pair))
    return [imaging.load(sheet.resolve(first[pair].noisy), channels) for pair in order]


def middle(picture: Picture) -> Picture:
    """Crop an image to its centre, of at most ``SIDE`` pixels a side."""
    top, left = (max(0, size - SIDE) // 2 for size in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE])


def _is_close(prediction: Prediction, threshold: float | None) -> bool:
    chance = prediction.p_defect
    return chance is not None and threshold is not None and abs(chance - threshold) < _MARGIN


def _expected(name: str, prediction: Prediction) -> Golden:
    defect = prediction.defect
    return {
        "file": name,
        "p_defect": prediction.p_defect,
        "verdict": None if defect is None else (Verdict.DEFECT if defect else Verdict.OK).value,
        "noise_type": prediction.noise.noise_type.value,
        "p_noise": {kind.value: chance for kind, chance in prediction.noise.probabilities.items()},
    }
