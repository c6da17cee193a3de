"""Estimation of the strongest wave of periodic noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.core.imaging import resize_image
from clearcast.noise import Wave, find_strongest_wave, render_waves


@settings(max_examples=60, deadline=None)
@given(
    amplitude=st.floats(0.02, 0.5),
    cycles=st.floats(3, 20),
    orientation=st.floats(0, 180, exclude_max=True),
    phase=st.floats(0, 360),
    width=st.sampled_from([128, 200, 512]),
)
def test_a_single_wave_is_estimated(
    amplitude: float, cycles: float, orientation: float, phase: float, width: int
) -> None:
    wave = Wave(amplitude, width / cycles, orientation, phase)
    found = find_strongest_wave(render_waves((wave,), width, width), width, width)
    assert found is not None
    assert found.amplitude == pytest.approx(amplitude, rel=0.12)
    assert found.period == pytest.approx(wave.period, rel=0.06)
    apart = abs(found.orientation - orientation) % 180
    assert min(apart, 180 - apart) < 5


def test_a_thumbnail_gives_periods_in_pixels_of_the_image() -> None:
    wave = Wave(0.2, 40.0, 30.0)
    field = render_waves((wave,), 300, 400)
    small = resize_image(np.rint(field * 255 / 2 + 127).astype(np.uint8), 128, 128).astype(np.float32) * 2 / 255
    found = find_strongest_wave(np.asarray(small, np.float32), 300, 400)
    assert found is not None
    assert found.period == pytest.approx(40, rel=0.05)
    assert found.orientation == pytest.approx(30, abs=4)


def test_a_flat_field_has_no_wave() -> None:
    assert find_strongest_wave(np.full((64, 64), 0.3, np.float32), 64, 64) is None
