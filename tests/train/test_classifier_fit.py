"""Fitting the defect head on toy images: accuracy, localisation, seeds, weights, threshold and temperature."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import SheetError
from clearcast.metrics.calibration import fit_logit_temperature
from clearcast.nn.backbone import Backbone, _packaged_weights, load_pretrained_backbone
from clearcast.nn.defect_classifier import DefectClassifier, DefectHead
from clearcast.synth.augmentation import augment_image
from clearcast.train import linear_probes
from clearcast.train.linear_probes import FittedClassifier, fit_defect_head, most_accurate_threshold
from clearcast.types import Label

SIZE, ROWS = 128, 20
LABELS = [Label.DEFECT if row % 2 else Label.OK for row in range(ROWS)]
PARTS = [f"part {row // 2 % 2}{row % 2}" for row in range(ROWS)]  # two parts of each label
PLACES = [(24 + 16 * (row % 6), 24 + 16 * (row * 5 % 6)) for row in range(ROWS)]


def draw_image(row: int, view: int) -> ImageArray:
    """A flat image with fine noise; a black spot on it is a defect."""
    image = np.random.default_rng([row, view]).integers(120, 136, (SIZE, SIZE), dtype=np.uint8)
    if LABELS[row] is Label.DEFECT:
        y, x = PLACES[row]
        image[y - 4 : y + 4, x - 4 : x + 4] = 0
    return image


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(2)
    return load_pretrained_backbone() if _packaged_weights() else Backbone()


def fitted(backbone: Backbone, folder: Path, seed: int = 1) -> FittedClassifier:
    return fit_defect_head(LABELS, PARTS, draw_image, backbone=backbone, folder=folder, seed=seed, views=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def fitted_toy(backbone: Backbone, folder: Path) -> FittedClassifier:
    return fitted(backbone, folder)


@pytest.mark.skipif(_packaged_weights() is None, reason="random features locate defects too poorly")
def test_new_parts_are_classified_and_defects_are_located(fitted_toy: FittedClassifier, backbone: Backbone) -> None:
    defect = np.array([label is Label.DEFECT for label in LABELS])
    assert fitted_toy.logits is not None
    assert ((fitted_toy.logits > fitted_toy.threshold) == defect).mean() >= 0.95
    network = DefectClassifier(backbone, fitted_toy.head, draw_image(0, 9).shape)
    for row in range(1, ROWS, 2):
        with torch.no_grad():
            evidence = network(torch.from_numpy(draw_image(row, 9))[None, None] / 255).evidence[0]
        highest = np.array(np.unravel_index(int(evidence.argmax()), evidence.shape)) * 16 + 8
        assert np.abs(highest - PLACES[row]).max() <= 32


def weights_of(head: DefectHead) -> NDArray[np.float32]:
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in head.parameters()])


def test_same_seed_gives_the_same_head_also_when_resumed(
    fitted_toy: FittedClassifier, backbone: Backbone, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stopping(row: int, view: int) -> ImageArray:
        if (row, view) == (12, 1):
            raise StoppedError
        return draw_image(row, view)

    with pytest.raises(StoppedError):
        fit_defect_head(LABELS, PARTS, stopping, backbone=backbone, folder=tmp_path, seed=1, views=2)
    finished_files = sorted(path.name for path in tmp_path.iterdir())
    again = fitted(backbone, tmp_path)

    assert finished_files == ["view-0-coarse.npy", "view-0-extremes.npy", "view-0-fine.npy"]
    np.testing.assert_array_equal(weights_of(again.head), weights_of(fitted_toy.head))
    np.testing.assert_array_equal(again.logits, fitted_toy.logits)
    assert not np.array_equal(weights_of(fitted(backbone, tmp_path, seed=2).head), weights_of(fitted_toy.head))


def test_progress_counts_all_images(backbone: Backbone, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []

    def report(done: int, everything: int) -> None:
        reported.append((done, everything))

    fit_defect_head(
        LABELS[:4], list("abcd"), draw_image, backbone=backbone, folder=tmp_path, seed=1, views=2, progress=report
    )

    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    assert reported[-1] == (2 * 4, 2 * 4)


def test_global_head_is_a_weighted_logistic_regression(fitted_toy: FittedClassifier, folder: Path) -> None:
    """Compared with scikit-learn's on standardised extremes: 1 / C is twice our decay, and weights sum to 1."""
    head = fitted_toy.head
    values = np.concatenate([np.load(folder / f"view-{view}-extremes.npy") for view in (0, 1)]).astype(np.float64)
    spread = values.std(axis=0) + 1e-3
    is_defect = np.array(LABELS * 2) == Label.DEFECT
    reference = LogisticRegression(C=1 / (2 * 0.03), tol=1e-8, max_iter=2000)
    reference.fit(
        (values - values.mean(axis=0)) / spread, is_defect, sample_weight=np.full(len(values), 1 / len(values))
    )

    expected = reference.decision_function((values - values.mean(axis=0)) / spread)

    with torch.no_grad():
        log_odds = head.global_head(torch.from_numpy(values).float())[:, 0].numpy()
    np.testing.assert_allclose(log_odds, expected, atol=0.02)


def test_one_part_of_a_label_gives_a_head_without_cross_validation(backbone: Backbone, tmp_path: Path) -> None:
    parts = ["alone" if label is Label.OK else part for label, part in zip(LABELS, PARTS, strict=True)]

    one = fit_defect_head(LABELS, parts, draw_image, backbone=backbone, folder=tmp_path, seed=1, views=1)

    assert (one.logits, one.temperature, one.threshold) == (None, 1.0, 0.0)
    assert weights_of(one.head).any()


def test_one_label_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(SheetError, match=r"all 3 rows to learn from are ok; .* images of both"):
        fit_defect_head([Label.OK] * 3, list("abc"), draw_image, backbone=backbone, folder=tmp_path, seed=1)


def test_labels_weigh_the_same_and_groups_by_the_root_of_their_rows() -> None:
    targets = linear_probes._Targets(np.array([True] * 5 + [False]), np.array([0, 0, 0, 0, 1, 2]))

    weights = targets.weights(np.arange(6))

    np.testing.assert_allclose(weights, [0.5, 0.5, 0.5, 0.5, 1.0, 3.0])


def test_threshold_has_the_fewest_errors_and_is_nearest_to_zero() -> None:
    logits = np.array([-3.0, 1.0, 2.0, 4.0])
    assert most_accurate_threshold(logits, np.array([False, False, True, True])) == 1.5
    assert most_accurate_threshold(logits, np.array([False, True, True, True])) == 0.0
    assert most_accurate_threshold(logits, np.array([False, True, False, True])) in (-1.0, 0.0, 3.0)


def test_temperature_calibrates_probabilities() -> None:
    logits = np.repeat([-4.0, 4.0], 10)
    defect = np.array([True, *[False] * 9, *[True] * 9, False])  # right nine times in ten, so 4 / T is log 9

    assert fit_logit_temperature(logits, defect, np.full(20, 0.05)) == pytest.approx(4 / np.log(9), rel=1e-3)
    assert fit_logit_temperature(logits, logits > 0, np.full(20, 0.05)) == 1.0


@pytest.mark.parametrize("shape", [(64, 96), (80, 80, 3)])
def test_views_keep_shape_and_differ(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    views = [augment_image(image, np.random.default_rng(seed)) for seed in (1, 1, 2)]

    assert all(view.shape == shape and view.dtype == np.uint8 for view in views)
    np.testing.assert_array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_views_keep_a_dark_spot() -> None:
    image = np.full((96, 96), 160, np.uint8)
    image[40:56, 40:56] = 20
    for seed in range(30):
        view = augment_image(image, np.random.default_rng(seed))
        assert 120 <= (view < np.median(view) - 60).sum() <= 450  # 256 pixels, stretched and blurred
