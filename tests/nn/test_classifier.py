"""Defect head: its evidence by cell explains its logit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import logsumexp

from clearcast.nn.backbone import Backbone, BackboneFeatures
from clearcast.nn.defect_classifier import (
    EXTREME_FEATURES,
    POOLING_SHARPNESS,
    DefectClassifier,
    DefectHead,
    log_mean_exp_pool,
    minmax_pool,
)


@pytest.fixture
def head() -> DefectHead:
    torch.manual_seed(5)
    head = DefectHead()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return head.requires_grad_(False)


def random_features(seed: int = 3, rows: int = 2, columns: int = 3) -> BackboneFeatures:
    generator = torch.Generator().manual_seed(seed)
    fine = torch.randn(2, 112, 2 * rows, 2 * columns, generator=generator)
    return BackboneFeatures(fine, torch.randn(2, 192, rows, columns, generator=generator))


@given(arrays.arrays(np.float64, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(-200, 200)))
def test_log_mean_exp_pooling_equals_scipys(evidence: np.ndarray) -> None:
    places = evidence.shape[1] * evidence.shape[2]
    expected = (logsumexp(POOLING_SHARPNESS * evidence, axis=(1, 2)) - np.log(places)) / POOLING_SHARPNESS

    pooled = log_mean_exp_pool(torch.from_numpy(evidence)).numpy()

    np.testing.assert_allclose(pooled, expected, atol=1e-9)
    assert (pooled <= evidence.max(axis=(1, 2)) + 1e-9).all()
    assert (pooled >= evidence.mean(axis=(1, 2)) - 1e-9).all()


def test_evidence_explains_the_logit(head: DefectHead) -> None:
    logit, evidence = head(random_features())

    assert evidence.shape == (2, 4, 6)
    np.testing.assert_allclose(
        logit, np.log(np.mean(np.exp(POOLING_SHARPNESS * evidence.numpy()), axis=(1, 2))) / POOLING_SHARPNESS, rtol=1e-4
    )


def test_evidence_of_a_cell_is_the_sum_of_local_and_global_head(head: DefectHead) -> None:
    features = random_features()

    evidence = head(features).evidence

    global_logit = minmax_pool(features) @ head.global_head.weight[0] + head.global_head.bias
    assert head.coarse.bias is not None
    for row, column in [(0, 0), (3, 5), (2, 1)]:
        fine = features.fine[:, :, row, column] @ head.fine.weight[0, :, 0, 0]
        coarse = features.coarse[:, :, row // 2, column // 2] @ head.coarse.weight[0, :, 0, 0]
        torch.testing.assert_close(evidence[:, row, column], fine + coarse + head.coarse.bias + global_logit)


def test_extremes_are_those_of_cells_and_of_their_neighbourhoods() -> None:
    features = random_features()

    pooled = minmax_pool(features)

    assert pooled.shape == (2, EXTREME_FEATURES)
    channel = features.fine[1, 7].numpy()  # 4 x 6 cells
    means = [
        channel[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].mean()
        for row in range(4)
        for column in range(6)
    ]
    expected = [channel.max(), channel.min(), max(means), min(means)]
    np.testing.assert_allclose(pooled[1, 7 : 4 * 112 : 112], expected, rtol=1e-5)


def test_defect_classifier_takes_images_of_any_size(head: DefectHead) -> None:
    network = DefectClassifier(Backbone(), head, (70, 100)).eval()
    images = torch.rand(2, 3, 70, 100)

    logit, evidence = network(images)

    assert logit.shape == (2,)
    assert evidence.shape == (2, 6, 8)
    assert torch.isfinite(logit).all()
    larger = images.repeat_interleave(3, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(network(larger).logit, logit, atol=1e-4, rtol=1e-4)


def test_defect_head_that_was_not_fitted_gives_zero() -> None:
    logit, evidence = DefectHead()(random_features())

    assert not logit.any()
    assert not evidence.any()
