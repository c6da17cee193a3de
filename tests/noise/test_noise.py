"""Noise types against independent references: binomial bounds, standard errors, a direct sum, a Fourier peak."""

import dataclasses
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clearcast import noise
from clearcast.core.errors import PictureError, RecipeError
from clearcast.noise import GaussianNoise, ImpulseNoise, NoiseParameters, PeriodicNoise, Wave
from clearcast.noise.registry import NoiseType

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = [(48, 64), (48, 64, 3)]
PARAMETERS: list[NoiseParameters] = [
    GaussianNoise(0.3),
    GaussianNoise(0.3, per_channel=False),
    ImpulseNoise(0.2, 0.3),
    PeriodicNoise((Wave(0.9, 17.3, 30, 40), Wave(0.4, 8, 100, 0))),
]
FAST = settings(max_examples=25, deadline=None)


def mid_grey(*shape: int) -> NDArray[np.float32]:
    return np.full(shape, 0.5, np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_noise_is_pure_seeded_and_stays_in_range(parameters: NoiseParameters, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).random(shape, np.float32)
    before = image.copy()
    image.setflags(write=False)

    first = noise.add_noise(image, parameters, np.random.default_rng(7))
    second = noise.add_noise(image, parameters, np.random.default_rng(7))

    assert first.shape == shape
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert not np.shares_memory(first, image)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)
    assert (first != image).any()


@pytest.mark.parametrize("parameters", PARAMETERS[:3], ids=str)
def test_another_seed_gives_other_noise(parameters: NoiseParameters) -> None:
    image = mid_grey(64, 64)
    one, two = (noise.add_noise(image, parameters, np.random.default_rng(seed)) for seed in (1, 2))
    assert (one != two).any()


@FAST
@given(sigma=st.floats(0.005, 0.1), seed=SEEDS)
def test_gaussian_has_the_stated_mean_and_deviation(sigma: float, seed: int) -> None:
    image = mid_grey(128, 128, 3)
    added = noise.add_gaussian_noise(image, GaussianNoise(sigma), np.random.default_rng(seed)).astype(np.float64) - 0.5
    count = added.size
    # 0.1 is 5 sigma from the ends, so clipping does not bite; six standard errors fail once in 10^8 examples
    assert abs(added.std() - sigma) < 6 * sigma / math.sqrt(2 * count)
    assert abs(added.mean()) < 6 * sigma / math.sqrt(count)
    kurtosis = np.mean(added**4) / np.mean(added**2) ** 2
    assert abs(kurtosis - 3) < 6 * math.sqrt(24 / count)


def test_gaussian_is_independent_per_channel_or_common() -> None:
    image = mid_grey(128, 128, 3)
    independent = noise.add_gaussian_noise(image, GaussianNoise(0.1), np.random.default_rng(3)).reshape(-1, 3)
    common = noise.add_gaussian_noise(image, GaussianNoise(0.1, per_channel=False), np.random.default_rng(3))
    correlation = np.asarray(np.corrcoef(independent.T))[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 6 / math.sqrt(len(independent))
    np.testing.assert_array_equal(common, np.repeat(common[:, :, :1], 3, axis=2))
    assert common.std() == pytest.approx(0.1, rel=0.05)


def test_gaussian_is_white() -> None:
    """Neighbours are independent: no lag's correlation leaves six standard errors."""
    added = noise.add_gaussian_noise(mid_grey(128, 128), GaussianNoise(0.1), np.random.default_rng(4))
    for dy, dx in [(0, 1), (1, 0), (1, 1), (0, 5)]:
        pairs = np.stack([added[dy:, dx:].ravel(), added[: 128 - dy, : 128 - dx].ravel()])
        assert abs(np.asarray(np.corrcoef(pairs))[0, 1]) < 6 / 123


@FAST
@given(density=st.floats(0, 1), share=st.floats(0, 1), seed=SEEDS)
def test_the_number_of_impulses_is_within_binomial_bounds(density: float, share: float, seed: int) -> None:
    image = np.random.default_rng(5).uniform(0.1, 0.9, (100, 120, 3)).astype(np.float32)
    noisy = noise.add_impulse_noise(image, ImpulseNoise(density, share), np.random.default_rng(seed))
    white, black = (noisy == 1).all(axis=2), (noisy == 0).all(axis=2)
    count = white.size
    for found, chance in ((white.sum(), density * share), (black.sum(), density * (1 - share))):
        assert abs(found - count * chance) <= 6 * math.sqrt(count * chance * (1 - chance)) + 1
    unchanged = ~(white | black)
    np.testing.assert_array_equal(noisy[unchanged], image[unchanged])


@FAST
@given(
    waves=st.lists(
        st.builds(Wave, st.floats(0, 1), st.floats(2, 500), st.floats(-360, 360), st.floats(-360, 360)),
        min_size=1,
        max_size=40,
    )
)
def test_fast_sum_equals_the_direct_sum(waves: list[Wave]) -> None:
    y, x = np.mgrid[:37, :53].astype(np.float64)
    direct = np.zeros((37, 53))
    for wave in waves:
        angle = math.radians(wave.orientation)
        along = x * math.cos(angle) + y * math.sin(angle)
        direct += wave.amplitude * np.cos(2 * math.pi * along / wave.period + math.radians(wave.phase))
    fast = noise.render_waves(tuple(waves), 37, 53)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, direct, atol=1e-5 * len(waves))


@FAST
@given(
    along_x=st.integers(-22, 22), along_y=st.integers(1, 22), amplitude=st.floats(0.01, 0.5), phase=st.floats(0, 359)
)
def test_one_wave_is_one_fourier_peak(along_x: int, along_y: int, amplitude: float, phase: float) -> None:
    """A wave with whole numbers of cycles has all its energy in one pair of bins, at its amplitude and phase."""
    size = 64
    period = size / math.hypot(along_x, along_y)
    orientation = math.degrees(math.atan2(along_y, along_x))
    parameters = PeriodicNoise((Wave(amplitude, period, orientation, phase),))
    noisy = noise.add_periodic_noise(mid_grey(size, size), parameters).astype(np.float64)
    spectrum = np.fft.fft2(noisy - 0.5) / (size * size / 2)
    peak = spectrum[along_y % size, along_x % size]
    assert abs(peak) == pytest.approx(amplitude, rel=1e-3)
    assert abs(peak - amplitude * np.exp(1j * math.radians(phase))) < 1e-3 * amplitude + 1e-6
    assert np.sum(np.abs(spectrum) ** 2) == pytest.approx(2 * amplitude**2, rel=1e-3)


def test_orientation_0_makes_vertical_stripes_and_90_horizontal_ones() -> None:
    vertical = noise.render_waves((Wave(0.5, 10, 0),), 20, 30)
    horizontal = noise.render_waves((Wave(0.5, 10, 90),), 20, 30)
    assert np.ptp(vertical, axis=0).max() < 1e-6
    assert np.ptp(horizontal, axis=1).max() < 1e-6
    np.testing.assert_allclose(vertical[0, [0, 5, 10]], [0.5, -0.5, 0.5], atol=1e-6)  # a crest on the first pixel


def test_strong_stripes_clip() -> None:
    noisy = noise.add_periodic_noise(np.full((64, 64), 0.8, np.float32), PeriodicNoise((Wave(0.4, 16),)))
    assert (noisy == 1).mean() > 0.3
    assert noisy.min() == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_corrupt_rounds_to_the_nearest_grey_level(shape: tuple[int, ...]) -> None:
    image = np.arange(math.prod(shape)).reshape(shape).astype(np.uint8)
    parameters = PeriodicNoise((Wave(0.2, 9, 25),))
    field = noise.render_waves(parameters.waves, *shape[:2]).astype(np.float64)
    exact = np.clip(image / 255 + (field if len(shape) == 2 else field[:, :, None]), 0, 1) * 255
    noisy = noise.corrupt_image(image, parameters, np.random.default_rng(0))
    assert noisy.dtype == np.uint8
    assert np.abs(noisy - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("parameters", [GaussianNoise(0), ImpulseNoise(0), PeriodicNoise((Wave(0, 10),))], ids=str)
def test_no_noise_leaves_every_grey_level_as_it_is(parameters: NoiseParameters) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(noise.corrupt_image(image, parameters, np.random.default_rng(0)), image)


@pytest.mark.parametrize("shape", SHAPES)
def test_jpeg_loses_more_at_lower_quality_and_keeps_the_shape(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    before = image.copy()
    fine, coarse = (noise.compress_as_jpeg(image, quality) for quality in (100, 20))
    assert fine.shape == coarse.shape == shape
    assert fine.dtype == np.uint8
    assert np.abs(fine - image.astype(float)).mean() < np.abs(coarse - image.astype(float)).mean()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(25), r"sigma: expected a number from 0 to 1, got 25 \(.*25 grey levels are 0.098"),
        (lambda: GaussianNoise(math.nan), "sigma: expected a number from 0 to 1, got nan"),
        (lambda: ImpulseNoise(-0.1), "density: expected a number from 0 to 1, got -0.1"),
        (lambda: ImpulseNoise(0.1, 1.5), "salt_share: expected a number from 0 to 1, got 1.5"),
        (lambda: Wave(1.2, 10), "amplitude: expected a number from 0 to 1, got 1.2"),
        (lambda: Wave(0.2, 1.9), r"period: expected a number of at least 2, got 1.9 \(it is in pixels"),
        (lambda: Wave(0.2, 10, math.inf), "orientation: expected a finite number, got inf"),
        (lambda: Wave(0.2, 10, 0, math.nan), "phase: expected a finite number, got nan"),
        (lambda: PeriodicNoise(()), "waves: expected at least one Wave"),
        (
            lambda: noise.GaussianRange(sigma=(0.2, 0.1)),
            r"sigma: expected the lowest value first, \(0.1, 0.2\), got \(0.2, 0.1\)",
        ),
        (lambda: noise.GaussianRange(sigma=(0.2, 25)), "sigma: expected a number from 0 to 1, got 25"),
        (lambda: noise.ImpulseRange(density=(0, 5)), "density: expected .* got 5"),
        (lambda: noise.StripesRange(period=(0, 0.1)), "period: expected .* got 0"),
        (lambda: noise.CloudRange(waves=(0, 5)), "waves: expected a number from 1 to 10000, got 0"),
        (lambda: noise.PeriodicRange(cloud_share=2), "cloud_share: expected .* got 2"),
        (
            lambda: noise.compress_as_jpeg(np.zeros((8, 8), np.uint8), 0),
            "jpeg_quality: expected a number from 1 to 100, got 0",
        ),
    ],
)
def test_invalid_values_are_rejected(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(RecipeError, match=message):
        make()


@pytest.mark.parametrize("shape", [(8,), (8, 8, 1), (8, 8, 4), (2, 8, 8, 3)])
def test_other_shapes_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(PictureError, match=r"expected an array of float32 on the 0\.\.1 scale, of shape \(height"):
        noise.add_noise(np.zeros(shape, np.float32), GaussianNoise(0.1), np.random.default_rng(0))


def test_the_two_scales_cannot_be_confused() -> None:
    grey_levels, unit = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.float32)
    for parameters in PARAMETERS:
        with pytest.raises(PictureError, match=r"expected an array of float32 on the 0\.\.1 scale, .* got uint8"):
            noise.add_noise(grey_levels, parameters, np.random.default_rng(0))  # type: ignore[arg-type]
    with pytest.raises(PictureError, match=r"expected an array of uint8 on the 0\.\.255 scale, .* got float32"):
        noise.corrupt_image(unit, PARAMETERS[0], np.random.default_rng(0))  # type: ignore[arg-type]
    with pytest.raises(PictureError, match="expected an array of uint8"):
        noise.compress_as_jpeg(unit, 80)  # type: ignore[arg-type]


@FAST
@given(seed=SEEDS, height=st.integers(1, 300), width=st.integers(1, 300))
def test_sampled_parameters_lie_in_their_ranges(seed: int, height: int, width: int) -> None:
    shape = (height, width, 3)
    for noise_type, levels in noise.DEFAULT_NOISE_RANGES.items():
        parameters = noise.sample_noise(levels, np.random.default_rng(seed), shape)
        assert parameters == noise.sample_noise(levels, np.random.default_rng(seed), shape)
        assert noise.noise_type_of(parameters) is noise_type
        assert json.loads(json.dumps(dataclasses.asdict(parameters)))  # plain numbers, fit for a log
        match parameters:
            case GaussianNoise():
                assert 0.04 <= parameters.sigma <= 0.22
            case ImpulseNoise():
                assert 0.03 <= parameters.density <= 0.15
                assert parameters.salt_share == 0.5
            case PeriodicNoise(waves=(wave,)):
                shorter = min(height, width)
                assert 0.155 <= wave.amplitude <= 0.4
                assert max(2, 0.04 * shorter) <= wave.period <= max(2, 0.23 * shorter)
            case PeriodicNoise():
                rms = math.sqrt(sum(wave.amplitude**2 for wave in parameters.waves) / 2)
                assert 8 <= len(parameters.waves) <= 48
                assert 0.08 - 1e-9 <= rms <= 0.2 + 1e-9


@pytest.mark.parametrize("shape", [(64, 64), (512, 512), (300, 400)])
def test_clouds_scale_with_the_image_and_average_to_zero(shape: tuple[int, int]) -> None:
    """Up to 14 cycles along the shorter side, as many a pixel along the longer, and no shift of the brightness."""
    levels = noise.PeriodicRange(cloud_share=1)
    rng = np.random.default_rng(11)
    reached: set[int] = set()
    for _ in range(8):
        parameters = noise.sample_noise(levels, rng, shape)
        assert isinstance(parameters, PeriodicNoise)
        spectrum = np.abs(np.fft.fft2(noise.render_waves(parameters.waves, *shape))) / math.prod(shape)
        assert spectrum[0, 0] < 1e-4
        y, x = np.nonzero(spectrum > 1e-3)
        y, x = (np.minimum(at, side - at) for at, side in zip((y, x), shape, strict=True))
        assert y.max() <= 14 * shape[0] // min(shape)
        assert x.max() <= 14 * shape[1] // min(shape)
        reached.add(int(x.max()))
    assert 14 * shape[1] // min(shape) in reached


def test_both_kinds_of_periodic_noise_are_sampled() -> None:
    rng = np.random.default_rng(0)
    levels = [noise.sample_noise(noise.PeriodicRange(), rng, (64, 64)) for _ in range(400)]
    stripes = sum(isinstance(parameters, PeriodicNoise) and len(parameters.waves) == 1 for parameters in levels)
    assert abs(stripes - 200) < 60


def test_the_default_ranges_are_read_only() -> None:
    with pytest.raises(TypeError):
        noise.DEFAULT_NOISE_RANGES[NoiseType.GAUSSIAN] = noise.GaussianRange()  # type: ignore[index]


RANGES = """
[gaussian]
sigma = [0.1, 0.2]
per_channel = false
[periodic]
cloud_share = 1
[periodic.stripes]
amplitude = [0.2, 0.3]
[periodic.cloud]
waves = [2, 3]
cycles = 5
"""


def ranges_file(folder: Path, text: str) -> Path:
    (folder / "levels.toml").write_text(text, encoding="utf-8")
    return folder / "levels.toml"


def test_ranges_of_a_file_replace_the_defaults(tmp_path: Path) -> None:
    assert noise.load_noise_ranges(ranges_file(tmp_path, RANGES)) == {
        NoiseType.GAUSSIAN: noise.GaussianRange(sigma=(0.1, 0.2), per_channel=False),
        NoiseType.PERIODIC: noise.PeriodicRange(
            stripes=noise.StripesRange(amplitude=(0.2, 0.3)),
            cloud=noise.CloudRange(waves=(2, 3), cycles=5),
            cloud_share=1,
        ),
    }


def test_the_documented_file_gives_the_default_ranges(tmp_path: Path) -> None:
    _, form = (importlib.import_module("clearcast.noise.config").__doc__ or "").split("::")

    assert noise.load_noise_ranges(ranges_file(tmp_path, form)) == noise.DEFAULT_NOISE_RANGES
    empty = "\ufeff[gaussian]\n[salt_and_pepper]\n[periodic]\n"  # and a mark that editors put first
    assert noise.load_noise_ranges(ranges_file(tmp_path, empty)) == noise.DEFAULT_NOISE_RANGES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected one or more of \[gaussian\], \[salt_and_pepper\], \[periodic\], got no noise type"),
        ("[salt]", "has unknown 'salt'; known are gaussian, salt_and_pepper, periodic"),
        ("gaussian = 3", r"\[gaussian\]: expected a table with keys, got 3"),
        ("[gaussian]\nsd = 1", r"\[gaussian\] has unknown 'sd'; known are sigma, per_channel; correct"),
        ("[periodic.cloud]\nn = 1", r"\[periodic\.cloud\] has unknown 'n'; known are waves, rms, cycles"),
        ("[periodic]\nstripes = [1, 2]", r"\[periodic\.stripes\]: expected a table with keys, got \[1, 2\]"),
        ("[gaussian]\nsigma = 0.1", r"\[gaussian\] sigma: expected two numbers, \[lowest, highest\], got 0\.1"),
        ("[gaussian]\nsigma = [0.1]", "expected two numbers"),
        ("[gaussian]\nsigma = [0.1, true]", "expected two numbers"),
        ("[gaussian]\nsigma = [0.1, '1']", "expected two numbers"),
        ("[gaussian]\nsigma = [0, 1" + "0" * 400 + "]", "expected two numbers"),
        ("[gaussian]\nsigma = [0.1, nan]", r"\[gaussian\] sigma: expected a number from 0 to 1, got nan"),
        ("[gaussian]\nsigma = [0.1, 25]", r"\[gaussian\] sigma: expected a number from 0 to 1, got 25"),
        ("[gaussian]\nsigma = [0.2, 0.1]", r"\[gaussian\] sigma: expected the lowest value first"),
        ("[gaussian]\nper_channel = 1", "per_channel: expected true or false, got 1"),
        ("[periodic]\ncloud_share = false", "cloud_share: expected a number, got False"),
        ("[periodic]\ncloud_share = 2", r"\[periodic\] cloud_share: expected a number from 0 to 1, got 2"),
        ("[periodic.cloud]\nwaves = [1, 2.5]", r"waves: expected two whole numbers, .* got \[1, 2\.5\]"),
        ("[periodic.cloud]\nwaves = [1, 1000000000]", "waves: expected a number from 1 to 10000, got 1000000000"),
        ("[periodic.cloud]\ncycles = 1.5", "cycles: expected a whole number, got 1.5"),
        ("[periodic.stripes]\nperiod = [0, 1]", r"\[periodic\.stripes\] period: expected .* got 0"),
        ("[gaussian", "not valid TOML"),
        ("a = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_invalid_files_of_ranges_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"levels\.toml: .*{message}"):
        noise.load_noise_ranges(ranges_file(tmp_path, text))


def test_a_missing_or_binary_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "levels.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"levels\.toml: not UTF-8 text"):
        noise.load_noise_ranges(tmp_path / "levels.toml")
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(RecipeError, match=r"cannot be read \(.*; expected a TOML file"):
            noise.load_noise_ranges(path)
