from pathlib import Path

import numpy as np
import pytest
from handmade import CELL, WAVES, p_defect_of, restored_of, write_bundle

from clearcast.imaging import Channels, Picture
from clearcast.runtime.model import Model
from clearcast.runtime.package import open_package


def noisy(height: int, width: int, depth: int = 1, count: int = 1) -> Picture:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, depth)).astype(np.uint8)


def test_answers_are_the_graphs_own(tmp_path: Path) -> None:
    model = Model(open_package(write_bundle(tmp_path / "bundle", channels=Channels.RGB)))
    pictures = noisy(48, 80, 3, count=2)
    answers = model.answer(pictures)
    assert model.channels is Channels.RGB
    assert answers.restored is not None
    for place, picture in enumerate(pictures):
        np.testing.assert_array_equal(answers.restored[place], restored_of(picture))
    assert answers.p_defect is not None
    assert answers.levels is not None
    assert answers.waves is not None
    assert answers.evidence is not None
    np.testing.assert_allclose(answers.p_defect, [p_defect_of(picture) for picture in pictures], atol=1e-6)
    means = pictures.mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(answers.levels, np.stack([means, 1 - means], axis=1), atol=1e-6)
    np.testing.assert_allclose(answers.p_noise.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(answers.waves[1], WAVES)
    assert answers.evidence.shape == (2, 48 // CELL, 80 // CELL)
    assert answers.evidence.dtype == answers.p_noise.dtype == np.float32


@pytest.mark.parametrize(("height", "width", "depth"), [(300, 333, 1), (256, 128, 1), (129, 500, 3)])
def test_tiles_leave_no_seam(tmp_path: Path, height: int, width: int, depth: int) -> None:
    package = open_package(write_bundle(tmp_path / "bundle", channels=Channels.GREY if depth == 1 else Channels.RGB))
    picture = noisy(height, width, depth)
    whole = Model(package).answer(picture)
    tiled = Model(package, tile=128, whole=0).answer(picture)
    assert tiled.restored is not None
    np.testing.assert_array_equal(tiled.restored[0], restored_of(picture[0]))
    for name in ("p_defect", "p_noise", "levels", "waves", "evidence"):
        np.testing.assert_allclose(getattr(tiled, name), getattr(whole, name), atol=1e-6)


def test_only_pictures_beyond_a_size_go_in_tiles(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    package = open_package(folder)
    model = Model(package, whole=64 * 64)
    (folder / "survey.onnx").unlink()  # read when it is needed first
    assert model.answer(noisy(64, 64)).p_defect is not None
    with pytest.raises(Exception, match=r"survey\.onnx is missing"):
        model.answer(noisy(64, 65))


def test_a_bundle_of_one_graph_takes_any_size(tmp_path: Path) -> None:
    model = Model(open_package(write_bundle(tmp_path / "bundle", recipe="report")), whole=0)
    answers = model.answer(noisy(70, 50))
    assert answers.levels is answers.waves is answers.evidence is None
    assert answers.restored is not None
    np.testing.assert_array_equal(answers.restored[0], restored_of(noisy(70, 50)[0]))


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_what_restores_on_demand_says_the_same_of_the_rest(tmp_path: Path, whole: int) -> None:
    always = Model(open_package(write_bundle(tmp_path / "clear")))
    model = Model(open_package(write_bundle(tmp_path / "glance", recipe="glance")), tile=128, whole=whole)
    assert (always.always_restores, model.always_restores) == (True, False)
    pictures = noisy(200, 150)
    for restored in (False, True):
        answers, known = model.answer(pictures, restored=restored), always.answer(pictures)
        for name in ("p_defect", "p_noise", "levels", "evidence"):
            np.testing.assert_array_equal(getattr(answers, name), getattr(known, name))
        if not restored:
            assert answers.restored is None
            continue
        assert answers.restored is not None
        np.testing.assert_array_equal(answers.restored[0], restored_of(pictures[0]))


def test_without_a_judge_there_is_no_probability(tmp_path: Path) -> None:
    package = open_package(write_bundle(tmp_path / "bundle", judges=False))
    for model in (Model(package), Model(package, tile=128, whole=0)):
        answers = model.answer(noisy(200, 64))
        assert answers.p_defect is answers.evidence is None
        assert answers.restored is not None
        np.testing.assert_array_equal(answers.restored[0], restored_of(noisy(200, 64)[0]))


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "inspect.onnx").write_bytes((folder / "inspect.onnx").read_bytes()[:-1])
    with pytest.raises(Exception, match=r"inspect\.onnx is not the file that was written"):
        Model(open_package(folder))
