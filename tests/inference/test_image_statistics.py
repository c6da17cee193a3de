"""Image statistics: brightness, sharpness, contrast, and images without content, which images of parts never are."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.bundle.archive import open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.files import find_image_files
from clearcast.inference.drift_statistics import parse_drift_reference
from clearcast.inference.image_statistics import (
    find_missing_content,
    measure_blank_band,
    measure_brightness,
    measure_contrast,
    measure_sharpness,
)
from clearcast.inference.inspector import Inspector
from clearcast.inference.prediction import Prediction
from clearcast.inference.sources import SourceItem
from clearcast.noise import GaussianNoise, ImpulseNoise, corrupt_image
from clearcast.noise.estimation import to_noise_estimate
from clearcast.pipelines.golden_samples import compute_drift_reference, drift_reference_row
from clearcast.synth.disks import write_disks
from tests.inference.handmade import write_bundle

SHAPE = (192, 256)
DOWN, ACROSS = np.mgrid[: SHAPE[0], : SHAPE[1]]


def pixels(values: object) -> ImageArray:
    return np.asarray(np.clip(np.asarray(values, float), 0, 255), np.uint8)


def item(name: str, data: bytes | ImageArray) -> SourceItem:
    return SourceItem(name=name, key="", read=lambda: data)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[ImageArray]:
    folder = tmp_path_factory.mktemp("parts") / "disks"
    write_disks(folder, parts=4, seed=2, size=128, views=(2, 2))
    return [imaging.load_image(path, Channels.GREY) for path in find_image_files(folder / "pictures")]


def waves(part: ImageArray, period: float) -> ImageArray:
    down, across = np.indices(part.shape)
    return pixels(part + 90 * np.sin((0.6 * down + 0.8 * across) * 2 * np.pi / period))


@pytest.mark.parametrize("colour", [0, 135, 255, (0, 135, 0), (16, 128, 128)])
def test_one_colour_is_no_content(colour: int | tuple[int, int, int]) -> None:
    shape = (*SHAPE, 3) if isinstance(colour, tuple) else SHAPE
    assert find_missing_content(np.full(shape, colour, np.uint8)).startswith("all pixels have one colour")


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.floats(1, 35),
    st.sampled_from([None, 95, 70]),
    st.floats(-60, 60),
)
def test_noise_on_soft_shading_is_no_content(
    seed: int, level: int, sigma: float, quality: int | None, slope: float
) -> None:
    noise = np.random.default_rng(seed).normal(0, sigma, SHAPE)
    frame = pixels(level + slope * ACROSS / SHAPE[1] + noise)
    if quality:
        frame = imaging.decode_image(imaging.encode_image(frame, ".jpg", jpeg_quality=quality), Channels.GREY)
    assert find_missing_content(frame, min_contrast=6.0)
    assert measure_contrast(frame) < 1.5
    if sigma <= 10:  # stronger noise may be a texture, if the bundle has no reference contrast
        assert find_missing_content(frame)


@pytest.mark.parametrize("blur", [0.7, 1.0, 1.5])
def test_fine_textures_are_content_without_a_reference_contrast(blur: float) -> None:
    noise = np.random.default_rng(7).normal(0, 1, (512, 512))
    texture = cv2.GaussianBlur(noise, (0, 0), blur)
    grey = pixels(120 + 15 * texture / texture.std())
    assert find_missing_content(grey) == ""
    assert find_missing_content(np.stack([grey, grey // 2, grey // 3], axis=-1)) == ""


@pytest.mark.parametrize(("level", "sigma"), [(2, 2), (90, 8)])
@pytest.mark.parametrize("quality", [None, 95, 80])
def test_sensor_noise_in_colour_is_no_content_for_any_bundle(level: int, sigma: int, quality: int | None) -> None:
    mosaic = pixels(np.random.default_rng(8).normal(level, sigma, (512, 512)))
    frame = np.asarray(cv2.cvtColor(mosaic, cv2.COLOR_BayerRG2RGB), np.uint8)
    if quality:
        frame = imaging.decode_image(imaging.encode_image(frame, ".jpg", jpeg_quality=quality), Channels.RGB)
    assert find_missing_content(frame)
    assert find_missing_content(frame, min_contrast=6.0)


def test_impulses_alone_are_no_content() -> None:
    rng = np.random.default_rng(0)
    assert find_missing_content(np.where(rng.random(SHAPE) < 0.1, 255 * (rng.random(SHAPE) < 0.5), 90).astype(np.uint8))


@pytest.mark.parametrize("fill", [0, 128, 255])
@pytest.mark.parametrize("quality", [None, 80])
def test_an_incomplete_frame_is_detected(parts: list[ImageArray], fill: int, quality: int | None) -> None:
    frame = np.maximum(parts[0], 30)
    frame = np.where(np.abs(frame.astype(int) - fill) < 30, fill ^ 64, frame).astype(np.uint8)
    for side, rows in (("lower", slice(64, None)), ("upper", slice(0, 48))):
        half = frame.copy()
        half[rows] = fill
        if quality:
            half = imaging.decode_image(imaging.encode_image(half, ".jpg", jpeg_quality=quality), Channels.GREY)
        assert find_missing_content(half, max_blank_band=0.0).startswith(
            f"the {side} {'50%' if side == 'lower' else '38%'}"
        )
        assert find_missing_content(np.ascontiguousarray(half.T), max_blank_band=0.0).startswith(
            f"the {'right' if side == 'lower' else 'left'}"
        )


@pytest.mark.parametrize("side", [64, 128])
def test_parts_are_content_with_any_noise(parts: list[ImageArray], side: int) -> None:
    rng = np.random.default_rng(1)
    for whole in parts:
        part = imaging.resize_image(whole, side, side)
        assert not any(find_missing_content(waves(part, period)) for period in (3, 7.5, 20, 50))
        for level in (GaussianNoise(0.0), GaussianNoise(0.25), ImpulseNoise(0.3)):
            assert find_missing_content(corrupt_image(part, level, rng)) == ""
            assert find_missing_content(corrupt_image(cv2.cvtColor(part, cv2.COLOR_GRAY2RGB), level, rng)) == ""


def test_an_image_framed_on_both_sides_is_complete(parts: list[ImageArray]) -> None:
    framed = cv2.copyMakeBorder(np.maximum(parts[0], 40), 40, 40, 0, 0, cv2.BORDER_CONSTANT, value=0)
    assert find_missing_content(np.asarray(framed, np.uint8), max_blank_band=0.0) == ""


@pytest.mark.parametrize("fill", [0, 255])
def test_a_blank_band_is_compared_with_those_of_the_reference(parts: list[ImageArray], fill: int) -> None:
    part = np.clip(parts[0], 40, 210)
    padded, cut = part.copy(), part.copy()
    padded[96:], cut[64:] = fill, fill  # a quarter of 128 lines, and half of them
    assert measure_blank_band(part) == 0
    assert measure_blank_band(padded) == pytest.approx(0.25, abs=0.01)
    assert measure_blank_band(np.ascontiguousarray(padded.T)) == measure_blank_band(padded)
    assert "frame is incomplete" in find_missing_content(padded, 5.0, 0.0)
    assert find_missing_content(padded, 5.0, measure_blank_band(padded)) == ""
    assert "the lower 50%" in find_missing_content(cut, 5.0, measure_blank_band(padded))
    assert find_missing_content(cut, 5.0) == ""  # older bundles have no reference for it


def test_the_reference_has_the_widest_blank_band(parts: list[ImageArray]) -> None:
    padded = np.clip(parts[0], 40, 210)
    padded[:40] = 0
    noisy = corrupt_image(padded, GaussianNoise(0.1), np.random.default_rng(6))
    noise = to_noise_estimate([1.0, 0.0, 0.0, 0.0], [0.0, 0.0], None, *padded.shape[:2])
    prediction = Prediction(noise=noise, has_noise_levels=False, denoised=padded)
    reference = compute_drift_reference(
        pd.DataFrame([drift_reference_row(image, prediction) for image in (padded, noisy)]), "test"
    )
    assert reference["numbers"]["blank_band"]["quantiles"][0] == pytest.approx(40 / 128, abs=0.01)
    assert parse_drift_reference(json.dumps(reference).encode(), "bundle") == reference


def test_a_small_object_on_an_even_background_is_content() -> None:
    frame = np.random.default_rng(2).normal(120, 5, SHAPE)
    frame[90:102, 100:112] -= 90
    assert find_missing_content(pixels(frame)) == ""


def test_a_part_that_differs_only_in_colour_is_content() -> None:
    red, green = (150, 60, 60), (60, 106, 60)  # equally bright
    frame = np.where((DOWN < 90)[..., None] & (ACROSS > 120)[..., None], red, green)
    assert find_missing_content(pixels(frame + np.random.default_rng(3).normal(0, 4, (*SHAPE, 1)))) == ""


def test_the_reference_contrast_decides_on_a_faint_image() -> None:
    faint = pixels(
        90 + 4 * np.sign(np.sin(DOWN / 20) * np.sin(ACROSS / 20)) + np.random.default_rng(4).normal(0, 3, SHAPE)
    )
    assert find_missing_content(faint) == ""
    assert find_missing_content(faint, min_contrast=5.0) == ""
    assert "whether there is a part in view" in find_missing_content(faint, min_contrast=20.0)


def test_bundles_of_uniform_parts_accept_images_without_contrast() -> None:
    even = pixels(np.random.default_rng(5).normal(90, 8, SHAPE))
    assert find_missing_content(even)
    assert find_missing_content(even, min_contrast=0.2) == ""
    assert find_missing_content(np.zeros(SHAPE, np.uint8), min_contrast=0.2)


def test_the_inspection_has_the_reason(tmp_path: Path) -> None:
    inspector = Inspector(open_package(write_bundle(tmp_path / "bundle")))
    inspection = inspector.inspect(item("cap.png", np.zeros(SHAPE, np.uint8)))
    assert inspection.error.startswith("cap.png: no content: all pixels have one colour (0 of 255)")
    assert (inspection.verdict, inspection.p_defect, inspection.noise_type) == (None, None, None)


def test_brightness_is_the_mean_grey_level() -> None:
    grey = np.array([[0, 255], [10, 15]], np.uint8)
    assert measure_brightness(grey) == pytest.approx(70)
    assert measure_brightness(np.repeat(grey[..., None], 3, axis=2)) == pytest.approx(70)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    image = np.random.default_rng(3).integers(0, 256, (40, 50), dtype=np.uint8)
    padded = np.pad(image.astype(float), 1, mode="reflect")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * padded[1:-1, 1:-1]
    assert measure_sharpness(image) == pytest.approx(laplacian.var())
    assert measure_sharpness(np.full((20, 20), 7, np.uint8)) == 0
