"""Denoiser of recipe clear and its building blocks: sizes, tiles, resizing, filters, noise statistics."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from clearcast.core.errors import ModelOutputError
from clearcast.nn.blocks import FourierBlock, fill_impulses, median_filter_3x3, resize_area, resize_cubic, to_luma
from clearcast.nn.denoiser import ClearDenoiser, GlobalContext, denoise_tiled, describe_noise
from clearcast.nn.noise_heads import DIFFERENCE_STEPS, THUMBNAIL_SIDE, noise_statistics, quadrant_windows
from clearcast.noise import Wave, render_waves
from clearcast.noise.registry import NoiseType

SIZES = [(64, 64), (65, 71), (128, 200), (300, 90)]


def random_images(height: int, width: int, depth: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, depth, height, width, generator=torch.Generator().manual_seed(seed))


def with_random_weights(denoiser: ClearDenoiser) -> ClearDenoiser:
    """Replace weights that are initialised with zeros, so that every layer affects the output."""
    generator = torch.Generator().manual_seed(1)
    for weights in denoiser.parameters():
        if not weights.abs().sum():
            weights.data = 0.1 * torch.randn(weights.shape, generator=generator)
    return denoiser.eval().requires_grad_(False)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_is_denoised_within_the_range(size: tuple[int, int], depth: int) -> None:
    torch.manual_seed(0)
    denoised, context = with_random_weights(ClearDenoiser(depth))(random_images(*size, depth))
    assert denoised.shape == (2, depth, *size)
    assert denoised.isfinite().all()
    assert 0 <= denoised.min() <= denoised.max() <= 1
    assert context.scores.shape == (2, 4)
    assert context.levels.shape == (2, 2)
    assert context.waves.shape == context.thumbnail.shape == (2, 1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def test_every_weight_gets_a_gradient() -> None:
    torch.manual_seed(0)
    denoiser = ClearDenoiser()
    with_random_weights(denoiser).requires_grad_(True)
    denoised, context = denoiser(0.2 + 0.6 * random_images(64, 64))
    torch.autograd.backward(denoised.sum() + context.scores.square().sum() + context.levels.sum())
    idle = [name for name, weights in denoiser.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert not idle


def test_denoising_does_not_depend_on_the_rest_of_the_batch() -> None:
    torch.manual_seed(0)
    denoiser = with_random_weights(ClearDenoiser())
    images = random_images(72, 64)
    batch_output, _ = denoiser(images)
    for one, expected in zip(images, batch_output, strict=True):
        torch.testing.assert_close(denoiser(one[None])[0][0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("size", "depth"), [((300, 410), 1), ((203, 333), 3)])
def test_tiled_inference_leaves_no_seam(size: tuple[int, int], depth: int) -> None:
    torch.manual_seed(0)
    denoiser = with_random_weights(ClearDenoiser(depth))
    noisy = np.random.default_rng(0).integers(0, 256, (*size, *([3] if depth == 3 else []))).astype(np.uint8)
    whole, _ = denoise_tiled(denoiser, noisy)
    tiled, _ = denoise_tiled(denoiser, noisy, tile=128)
    assert whole.shape == noisy.shape
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # rounding


def test_given_noise_replaces_the_estimated_noise() -> None:
    torch.manual_seed(0)
    denoiser = with_random_weights(ClearDenoiser())
    noisy = np.random.default_rng(0).integers(0, 256, (70, 95)).astype(np.uint8)
    estimated, context = denoise_tiled(denoiser, noisy)
    same, _ = denoise_tiled(denoiser, noisy, noise=(context.scores, context.levels))
    np.testing.assert_array_equal(same, estimated)
    scores, levels = torch.tensor([[9.0, 0, 0, 0]]), torch.tensor([[1.0, 0]])
    other, given = denoise_tiled(denoiser, noisy, noise=(scores, levels))
    assert (other != estimated).any()
    assert (given.scores is scores, given.levels is levels) == (True, True)
    torch.testing.assert_close(given.waves, context.waves)


def test_diverged_denoiser_gives_no_image() -> None:
    denoiser = ClearDenoiser(1).eval()
    torch.nn.init.constant_(next(denoiser.detail.parameters()), float("nan"))
    with pytest.raises(ModelOutputError, match="denoised pixels"):
        denoise_tiled(denoiser, np.zeros((32, 40), np.uint8))


def test_inference_in_one_piece_equals_the_network() -> None:
    torch.manual_seed(0)
    denoiser = with_random_weights(ClearDenoiser())
    noisy = np.random.default_rng(0).integers(0, 256, (70, 95)).astype(np.uint8)
    expected, _ = denoiser(torch.from_numpy(noisy)[None, None].float() / 255)
    denoised, _ = denoise_tiled(denoiser, noisy)
    assert np.abs(denoised - 255 * expected[0, 0].numpy()).max() <= 0.51


@pytest.mark.parametrize("size", [(256, 256), (200, 333), (64, 100)])
def test_area_resizing_equals_opencv(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).random(size, np.float32)
    expected = cv2.resize(pixels, (50, 50), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resize_area(torch.from_numpy(pixels)[None, None], 50, 50)[0, 0], expected, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), side=st.integers(1, 64))
def test_area_resizing_keeps_the_mean(height: int, width: int, side: int) -> None:
    pixels = torch.rand(1, 1, height, width, dtype=torch.float64)
    torch.testing.assert_close(resize_area(pixels, side, side).mean(), pixels.mean(), atol=1e-9, rtol=0)


def test_cubic_resizing_reproduces_parabolas_also_in_a_window() -> None:
    x = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
    large = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    small = (x * x - x)[None, :] + (2 * x)[:, None]
    expected = (large * large - large)[None, :] + (2 * large)[:, None]
    whole = resize_cubic(small[None, None], 100, 100)[0, 0]
    torch.testing.assert_close(whole[10:90, 10:90], expected[10:90, 10:90], atol=1e-9, rtol=0)
    window = slice(13, 47), slice(80, 100)
    torch.testing.assert_close(resize_cubic(small[None, None], 100, 100, window)[0, 0], whole[window])


def test_cubic_resizing_equals_pillows_away_from_the_border() -> None:
    small = np.random.default_rng(0).random((20, 31), np.float32)
    expected = np.asarray(Image.fromarray(small).resize((100, 90), Image.Resampling.BICUBIC))
    large = resize_cubic(torch.from_numpy(small)[None, None], 90, 100)[0, 0].numpy()
    np.testing.assert_allclose(large[12:-12, 12:-12], expected[12:-12, 12:-12], atol=1e-5)


@pytest.mark.parametrize("side", [8, 16])
def test_fourier_block_transforms_as_an_fft(side: int) -> None:
    layer = FourierBlock(3, side)
    signal = torch.randn(2, 3, side, side)
    expected = torch.fft.rfft2(signal, norm="ortho")
    real, imaginary = layer.transform(signal)
    torch.testing.assert_close(real, expected.real, atol=1e-5, rtol=0)
    torch.testing.assert_close(imaginary, expected.imag, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.inverse(real, imaginary), signal, atol=1e-5, rtol=0)
    other = torch.randn(2, 3, side, side // 2 + 1), torch.randn(2, 3, side, side // 2 + 1)
    inverse = torch.fft.irfft2(torch.complex(*other), s=(side, side), norm="ortho")
    torch.testing.assert_close(layer.inverse(*other), inverse, atol=1e-5, rtol=0)


def test_median_filter_equals_scipy() -> None:
    pixels = torch.rand(1, 1, 20, 31)
    expected = ndimage.median_filter(pixels[0, 0].numpy(), size=3, mode="nearest")
    np.testing.assert_array_equal(median_filter_3x3(pixels)[0, 0], expected)


@pytest.mark.parametrize("depth", [1, 3])
def test_impulses_are_filled_alike_in_uint8_and_float(depth: int) -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, depth, 20, 31)).astype(np.uint8))
    for actual, expected in zip(fill_impulses(pixels), fill_impulses(pixels.float() / 255), strict=True):
        torch.testing.assert_close(actual, expected, atol=0, rtol=0)


def test_filling_weights_neighbours_binomially() -> None:
    impulses = torch.full((1, 1, 9, 9), 0.5)
    impulses[0, 0, 4, 4], impulses[0, 0, 3, 4], impulses[0, 0, 4, 3] = 1.0, 0.8, 0.2
    filled, _ = fill_impulses(impulses)
    neighbour_sum = ndimage.correlate(impulses[0, 0].numpy(), np.outer([1, 2, 1], [1, 2, 1]))[4, 4] - 4 * 1.0
    assert filled[0, 0, 4, 4] == pytest.approx(neighbour_sum / 12, abs=1e-3)


def test_only_impulses_are_filled() -> None:
    ramp = torch.linspace(0.2, 0.8, 49).reshape(1, 1, 7, 7)
    with_impulses = ramp.clone()
    with_impulses[0, 0, 3, 3], with_impulses[0, 0, 1, 5] = 1.0, 0.0
    filled, kept = fill_impulses(with_impulses)
    changed = (filled != with_impulses)[0, 0].nonzero().tolist()
    assert changed == [[1, 5], [3, 3]]
    # on a ramp, the mean of a pixel's neighbours is its own value
    torch.testing.assert_close(filled[0, 0, 3, 3], ramp[0, 0, 3, 3], atol=2e-3, rtol=0)
    assert kept[0, 0, 3, 3] == kept[0, 0, 1, 5] == 0


def test_luma_equals_decoding_to_grey() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    grey = to_luma(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0, 0].numpy()
    assert np.abs(grey - cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)).max() <= 0.51


def test_noise_statistics_count_pixels_that_differ_from_their_neighbours() -> None:
    flat = torch.full((1, 1, 64, 64), 0.5)
    assert noise_statistics(quadrant_windows(flat))[0].exp().max() < 2e-4
    with_impulses = flat.clone()
    with_impulses[..., ::4, ::4] = 1.0  # a sixteenth of the pixels, half of the range away
    shares = noise_statistics(quadrant_windows(with_impulses))[0].exp()
    torch.testing.assert_close(
        shares[: len(DIFFERENCE_STEPS) - 1], torch.full((len(DIFFERENCE_STEPS) - 1,), 1 / 16), atol=2e-3, rtol=0
    )
    assert shares[-1] == pytest.approx(1 / 16, abs=2e-3)  # white
    assert shares[-2] < 2e-4  # black


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (NoiseType.GAUSSIAN, "standard deviation 26 grey levels"),
        (NoiseType.SALT_AND_PEPPER, "5.0% of the pixels"),
        (NoiseType.PERIODIC, "amplitude 51 grey levels, period 32 pixels, orientation 0 degrees"),
        (NoiseType.NONE, ""),
    ],
)
def test_noise_levels_have_readable_units(kind: NoiseType, expected: str) -> None:
    scores = torch.tensor([[5.0 if each is kind else 0.0 for each in NoiseType]])
    field = render_waves((Wave(0.2, 8.0, 0.0),), THUMBNAIL_SIDE, THUMBNAIL_SIDE)  # of an image four times as large
    waves = torch.from_numpy(field)[None, None]
    estimate = describe_noise(
        GlobalContext(waves, waves, scores, torch.tensor([[0.1, 0.05]])), 4 * THUMBNAIL_SIDE, 4 * THUMBNAIL_SIDE
    )
    assert estimate.noise_type is kind
    assert estimate.level == expected
    assert sum(estimate.probabilities.values()) == pytest.approx(1)
