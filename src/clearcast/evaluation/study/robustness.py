"""How verdicts and denoising hold as noise grows: test pictures' references, spoiled at rising levels, judged again."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clearcast import imaging, noise
from clearcast.domain import NoiseType
from clearcast.evaluation.fidelity import fidelity
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.classify import defect_probabilities, load_classifier
from clearcast.evaluation.study.denoise import load_denoiser, restored, without_depth
from clearcast.evaluation.study.material import Material
from clearcast.imaging import Channels
from clearcast.noise import NOISES, Level
from clearcast.progress import progress_bar

MOST_IMAGES = 150  # of the test rows, spread over the parts: enough for curves, and a matter of minutes
JPEG_QUALITY = 80  # after the noise, as cameras do and as `clearcast corrupt` does
JUDGING = frozenset({Stage.NOISY, Stage.DENOISING, Stage.DENOISED})  # the stages whose networks are tried
_BATCH = 25

LEVELS: Mapping[NoiseType, tuple[float, ...]] = MappingProxyType(
    {kind: kind.specification.robustness.strengths for kind in NOISES}
)

_Pixels = NDArray[np.uint8]
_Columns = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class _Judges:
    """What the pictures are shown to: verdicts on noisy pictures and, where they were trained, the denoised way."""

    on_noisy: Callable[[_Pixels], NDArray[np.float64]]
    restore: Callable[[_Pixels], _Pixels] | None
    on_denoised: Callable[[_Pixels], NDArray[np.float64]] | None


def sweep_levels(material: Material, seed: int) -> pd.DataFrame:
    """Judge test pictures at each level of each noise type; stage 1 must be done, stages 3 and 4 are used where done.

    Args:
        material: the study's rows and pictures.
        seed: for the noise; each picture, noise type and level has noise of its own.

    Returns:
        a table with the columns ``row, part, label, noise_type, level, p_defect_noisy, p_defect_denoised, psnr_noisy,
        psnr_denoised, ssim_noisy, ssim_denoised``; level 0 is the reference itself, without PSNR and SSIM.
    """
    rows, judges = chosen_rows(material.test, material.division.parts.of_rows, seed), _judges(material)
    steps = [(kind, level) for kind, levels in LEVELS.items() for level in (0.0, *levels)]
    tables = []
    with progress_bar(material.console, "Judging at rising levels of noise") as progress:
        for done, (kind, level) in enumerate(steps, 1):
            columns: _Columns = defaultdict(list)
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                references = material.references.batch(batch)
                noisy = _spoiled(material, batch, kind, level, seed) if level else references
                _judge(columns, judges, noisy, references, measured=bool(level))
            tables.append(_listed(material, rows, kind, level).assign(**columns))
            progress(done, len(steps))
    return pd.concat(tables, ignore_index=True)


def chosen_rows(rows: Sequence[int], parts: Sequence[str], seed: int) -> list[int]:
    """At most ``MOST_IMAGES`` of the rows, by turns from each part, so that most parts are among them.

    Chance says which parts come first: sheets are sorted, and the first parts may all have one label.
    """
    turn: dict[str, int] = defaultdict(int)
    keyed = []
    for row in np.random.default_rng(seed).permutation(rows).tolist():
        keyed.append((turn[parts[row]], row))
        turn[parts[row]] += 1
    keyed.sort(key=lambda key: key[0])  # stable: within a turn by chance
    return sorted(row for _, row in keyed[:MOST_IMAGES])


def level_of(kind: NoiseType, strength: float, shape: tuple[int, ...], rng: np.random.Generator) -> Level:
    """A level of the given strength (see ``LEVELS``); for waves, a pattern is drawn and scaled to it."""
    level: Level = kind.specification.robustness.level(strength, rng, shape)
    return level


def _judges(material: Material) -> _Judges:
    classify = load_classifier(Stage.NOISY, material)
    if not material.folder.is_done(Stage.DENOISING):
        return _Judges(on_noisy=lambda pixels: defect_probabilities(classify, pixels), restore=None, on_denoised=None)
    denoise = load_denoiser(material)
    again = load_classifier(Stage.DENOISED, material) if material.folder.is_done(Stage.DENOISED) else None
    return _Judges(
        on_noisy=lambda pixels: defect_probabilities(classify, pixels),
        restore=lambda pixels: restored(denoise, pixels),
        on_denoised=(lambda pixels: defect_probabilities(again, pixels)) if again else None,
    )


def _judge(columns: _Columns, judges: _Judges, noisy: _Pixels, references: _Pixels, *, measured: bool) -> None:
    """Add what the judges say of some pictures, and how near these are to their references, to the columns."""
    columns["p_defect_noisy"] += judges.on_noisy(noisy).tolist()
    shown = {"noisy": noisy}
    if judges.restore:
        shown["denoised"] = judges.restore(noisy)
        if judges.on_denoised:
            columns["p_defect_denoised"] += judges.on_denoised(shown["denoised"]).tolist()
    for name, pictures in shown.items():
        for measure, values in _measured(pictures, references, measured=measured):
            columns[f"{measure}_{name}"] += values


def _measured(pictures: _Pixels, references: _Pixels, *, measured: bool) -> Iterator[tuple[str, list[float]]]:
    if not measured:  # the reference itself, or what the denoiser made of it: no noise to speak of
        yield from (("psnr", [math.nan] * len(pictures)), ("ssim", [math.nan] * len(pictures)))
        return
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda pair: fidelity(*map(without_depth, pair)), zip(pictures, references, strict=True)))
    yield "psnr", [each.psnr for each in found]
    yield "ssim", [each.ssim for each in found]


def _spoiled(material: Material, rows: Sequence[int], kind: NoiseType, level: float, seed: int) -> _Pixels:
    """The rows' references with noise put on at full size, then resized: (rows, height, width, channels)."""
    chosen = material.recipe.input

    def spoil(row: int) -> _Pixels:
        reference = material.sheet.rows[row].reference
        data = imaging.read_bytes(material.sheet.resolve(reference))
        own = Channels.GREY if imaging.probe(data, reference).is_grey else Channels.RGB
        picture = imaging.decode(data, own, reference)
        rng = np.random.default_rng([seed, row, list(LEVELS).index(kind), round(level * 1e6)])
        noisy = noise.corrupt(picture, level_of(kind, level, picture.shape, rng), rng)
        written = imaging.encode(noisy, ".jpeg", jpeg_quality=JPEG_QUALITY)
        pixels = imaging.resize(imaging.decode(written, chosen.channels), chosen.size, chosen.size)
        return pixels.reshape(chosen.size, chosen.size, chosen.channels.depth)

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(spoil, rows)))


def _listed(material: Material, rows: Sequence[int], kind: NoiseType, level: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": [material.sheet.rows[row].number for row in rows],
            "part": [material.division.parts.of_rows[row] for row in rows],
            "label": [str(material.sheet.rows[row].label) for row in rows],
            "noise_type": kind.value,
            "level": level,
        }
    )
