"""Robustness sweep: predictions and image quality on test images at rising levels of synthetic noise."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import Channels
from clearcast.core.evidence_schema import Stage
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.noise import NOISES, NoiseParameters, corrupt_image
from clearcast.noise.registry import NoiseType
from clearcast.study.classify import load_stage_classifier, predict_defect
from clearcast.study.context import StudyContext
from clearcast.study.denoise import denoise_images, drop_grey_axis, load_stage_denoiser

SWEEP_IMAGES = 150  # of the test rows, spread over the parts: enough for curves, within minutes
_SWEEP_JPEG_QUALITY = 80  # after the noise, as cameras do and as `clearcast corrupt` does
SWEPT_STAGES = frozenset({Stage.NOISY, Stage.DENOISING, Stage.DENOISED})  # the stages whose networks are evaluated
SWEEP_LEVELS: Mapping[NoiseType, tuple[float, ...]] = MappingProxyType(
    {noise_type: noise_type.specification.robustness.strengths for noise_type in NOISES}
)
_BATCH = 25  # images

_Pixels = NDArray[np.uint8]
_Columns = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class _Networks:
    """Networks of the sweep: the classifier of noisy images and, if trained, the denoiser and its classifier."""

    classify_noisy: Callable[[_Pixels], NDArray[np.float64]]
    denoise: Callable[[_Pixels], _Pixels] | None
    classify_denoised: Callable[[_Pixels], NDArray[np.float64]] | None


def sweep_noise_levels(context: StudyContext, seed: int) -> pd.DataFrame:
    """Evaluate test images at each level of each noise type; stage 1 must be done, stages 3 and 4 are used if done.

    Args:
        context: the study's rows and images.
        seed: for the noise; each image, noise type and level has noise of its own.

    Returns:
        A table with the columns ``row, part, label, noise_type, level, p_defect_noisy, p_defect_denoised, psnr_noisy,
        psnr_denoised, ssim_noisy, ssim_denoised``; level 0 is the reference itself, without PSNR and SSIM.
    """
    rows = sample_rows_across_groups(context.test, context.resolved_split.parts.of_rows, seed)
    networks = _load_networks(context)
    steps = [(noise_type, level) for noise_type, levels in SWEEP_LEVELS.items() for level in (0.0, *levels)]
    tables = []
    with show_progress(context.console, "Classifying at rising noise levels") as progress:
        for done, (noise_type, level) in enumerate(steps, 1):
            columns: _Columns = defaultdict(list)
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                references = context.references.batch(batch)
                noisy = _degrade_references(context, batch, noise_type, level, seed) if level else references
                _evaluate(columns, networks, noisy, references, measured=bool(level))
            tables.append(_row_table(context, rows, noise_type, level).assign(**columns))
            progress(done, len(steps))
    return pd.concat(tables, ignore_index=True)


def sample_rows_across_groups(rows: Sequence[int], parts: Sequence[str], seed: int) -> list[int]:
    """Sample at most ``SWEEP_IMAGES`` of the rows, by turns from each part, so that most parts are included.

    The order of the parts is random: sheets are often sorted, and the first parts may all have one label.
    """
    rows_before: dict[str, int] = defaultdict(int)
    keyed = []
    for row in np.random.default_rng(seed).permutation(rows).tolist():
        keyed.append((rows_before[parts[row]], row))
        rows_before[parts[row]] += 1
    keyed.sort(key=lambda key: key[0])  # stable, so that the order within a turn stays random
    return sorted(row for _, row in keyed[:SWEEP_IMAGES])


def make_noise_of_strength(
    noise_type: NoiseType, strength: float, shape: tuple[int, ...], rng: np.random.Generator
) -> NoiseParameters:
    """Make noise parameters of the given strength (see ``SWEEP_LEVELS``).

    A periodic pattern is drawn and scaled to it.
    """
    parameters: NoiseParameters = noise_type.specification.robustness.parameters(strength, rng, shape)
    return parameters


def _load_networks(context: StudyContext) -> _Networks:
    classifier = load_stage_classifier(Stage.NOISY, context)
    denoiser = load_stage_denoiser(context) if context.folder.is_done(Stage.DENOISING) else None
    use_both = denoiser is not None and context.folder.is_done(Stage.DENOISED)
    of_denoised = load_stage_classifier(Stage.DENOISED, context) if use_both else None
    return _Networks(
        classify_noisy=partial(predict_defect, classifier),
        denoise=partial(denoise_images, denoiser) if denoiser else None,
        classify_denoised=partial(predict_defect, of_denoised) if of_denoised else None,
    )


def _evaluate(columns: _Columns, networks: _Networks, noisy: _Pixels, references: _Pixels, *, measured: bool) -> None:
    """Append the predictions of some images, and their quality against their references, to the columns."""
    columns["p_defect_noisy"] += networks.classify_noisy(noisy).tolist()
    versions = {"noisy": noisy}
    if networks.denoise:
        versions["denoised"] = networks.denoise(noisy)
        if networks.classify_denoised:
            columns["p_defect_denoised"] += networks.classify_denoised(versions["denoised"]).tolist()
    for name, images in versions.items():
        for measure, values in _measure_quality(images, references, measured=measured):
            columns[f"{measure}_{name}"] += values


def _measure_quality(images: _Pixels, references: _Pixels, *, measured: bool) -> Iterator[tuple[str, list[float]]]:
    if not measured:  # the reference itself, or its denoised image: there is no noise to measure
        yield from (("psnr", [math.nan] * len(images)), ("ssim", [math.nan] * len(images)))
        return
    with ThreadPoolExecutor() as pool:
        qualities = list(
            pool.map(
                lambda pair: measure_image_quality(*map(drop_grey_axis, pair)), zip(images, references, strict=True)
            )
        )
    yield "psnr", [each.psnr for each in qualities]
    yield "ssim", [each.ssim for each in qualities]


def _degrade_references(
    context: StudyContext, rows: Sequence[int], noise_type: NoiseType, level: float, seed: int
) -> _Pixels:
    """Add noise to the rows' references at full size, and resize them: uint8 (rows, height, width, channels)."""
    inputs = context.recipe.input

    def degrade(row: int) -> _Pixels:
        reference = context.sheet.rows[row].reference
        data = imaging.read_image_bytes(context.sheet.resolve(reference))
        channels = Channels.GREY if imaging.probe_image(data, reference).is_grey else Channels.RGB
        image = imaging.decode_image(data, channels, reference)
        rng = np.random.default_rng([seed, row, list(SWEEP_LEVELS).index(noise_type), round(level * 1e6)])
        noisy = corrupt_image(image, make_noise_of_strength(noise_type, level, image.shape, rng), rng)
        encoded = imaging.encode_image(noisy, ".jpeg", jpeg_quality=_SWEEP_JPEG_QUALITY)
        pixels = imaging.resize_image(imaging.decode_image(encoded, inputs.channels), inputs.size, inputs.size)
        return pixels.reshape(inputs.size, inputs.size, inputs.channels.depth)

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(degrade, rows)))


def _row_table(context: StudyContext, rows: Sequence[int], noise_type: NoiseType, level: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": [context.sheet.rows[row].number for row in rows],
            "part": [context.resolved_split.parts.of_rows[row] for row in rows],
            "label": [str(context.sheet.rows[row].label) for row in rows],
            "noise_type": noise_type.value,
            "level": level,
        }
    )
