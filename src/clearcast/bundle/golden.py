"""A few pictures with what is said of them, by which a bundle can be verified wherever it is copied to."""

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
_CLEAR = 0.02  # from the threshold: a golden picture tests graphs, not the last digit of a machine


def write_golden(folder: Path, pictures: Sequence[Picture], ask: Ask, threshold: float | None) -> None:
    """Write ``golden/`` and ``golden.json``; of pictures whose verdict is a near thing only if there are no others.

    Args:
        folder: the bundle's.
        pictures: to choose from, uint8 (height, width) or (height, width, 3); what is too large is cut to its middle.
        ask: says what is expected.
        threshold: of ``p_defect``.
    """
    asked = [(picture, ask(picture)) for picture in map(middle, pictures)]
    asked.sort(key=lambda each: _is_near(each[1], threshold))
    written: list[Golden] = []
    for number, (picture, prediction) in enumerate(asked[:COUNT]):
        name = f"golden/{number}.png"
        imaging.save(folder / name, picture)
        written.append(_expected(name, prediction))
    with replace_file(folder / GOLDEN) as temporary:
        temporary.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def examples(sheet: Sheet, rows: Sequence[Row], channels: Channels) -> list[Picture]:
    """A noisy picture of each noise type with each label; the first of them are of different types, and of both labels.

    Args:
        sheet: has the rows.
        rows: to choose from.
        channels: grey or colour.
    """
    first: dict[tuple[int, int], Row] = {}
    for row in rows:
        label = tuple(Label).index(row.label) if row.label else 0
        first.setdefault((tuple(NoiseType).index(row.noise_type), label), row)
    order = sorted(first, key=lambda kind: (sum(kind) % 2, kind))
    return [imaging.load(sheet.resolve(first[kind].noisy), channels) for kind in order]


def middle(picture: Picture) -> Picture:
    """The middle of a picture, of at most ``SIDE`` pixels a side."""
    top, left = (max(0, size - SIDE) // 2 for size in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE])


def _is_near(prediction: Prediction, threshold: float | None) -> bool:
    p_defect = prediction.p_defect
    return p_defect is not None and threshold is not None and abs(p_defect - threshold) < _CLEAR


def _expected(name: str, prediction: Prediction) -> Golden:
    defect = prediction.defect
    return {
        "file": name,
        "p_defect": prediction.p_defect,
        "verdict": None if defect is None else (Verdict.DEFECT if defect else Verdict.OK).value,
        "noise_type": prediction.noise.noise_type.value,
        "p_noise": {kind.value: chance for kind, chance in prediction.noise.probabilities.items()},
    }
