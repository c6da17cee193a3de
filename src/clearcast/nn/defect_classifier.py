"""Defect classifier: log-odds of defect at each cell of an image, pooled to the log-odds of the image.

Two linear heads on frozen features add up. The local head classifies each cell, and so locates defects. The global head
classifies the minima and maxima of each channel over the image, the same at every cell, and is more accurate with few
parts.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.backbone import COARSE_CHANNELS, FINE_CHANNELS, Backbone, BackboneFeatures
from clearcast.nn.blocks import resize_area
from clearcast.nn.weights import accept_renamed_weights

EXTREME_FEATURES = 4 * (FINE_CHANNELS + COARSE_CHANNELS)  # maximum and minimum of cells and of 3 x 3 means, by channel
POOLING_SHARPNESS = 2.0  # of log-mean-exp pooling: between the mean (0) and the maximum (infinite)


class DefectHeadOutput(NamedTuple):
    """Output of the defect head: ``logit`` float (n,), log-odds of defect; ``evidence`` float (n, h, w), by cell.

    Cells have stride 16. The logit is the log-mean-exp pooling of the evidence, log(mean(exp(s * evidence))) / s with
    s = ``POOLING_SHARPNESS``, so that the cells explain it in full (Pinheiro & Collobert 2015, "From Image-level to
    Pixel-level Labeling with Convolutional Networks").
    """

    logit: Tensor
    evidence: Tensor


class DefectHead(nn.Module):
    """Defect head on features; its weights are zero until ``clearcast.train.linear_probes`` fits them."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(FINE_CHANNELS, 1, kernel_size=1, bias=False)
        self.coarse = nn.Conv2d(COARSE_CHANNELS, 1, kernel_size=1)
        self.global_head = nn.Linear(EXTREME_FEATURES, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        accept_renamed_weights(self, {"whole": "global_head"})

    def forward(self, features: BackboneFeatures) -> DefectHeadOutput:
        """Classify images by their features."""
        fine = self.fine(features.fine)  # (n, 1, h, w)
        local = (fine + upsample_nearest(self.coarse(features.coarse), fine))[:, 0]  # (n, h, w)
        evidence = local + self.global_head(minmax_pool(features))[:, :, None]
        return DefectHeadOutput(log_mean_exp_pool(evidence), evidence)


class DefectClassifier(nn.Module):
    """Backbone and defect head as one network, from images to ``DefectHeadOutput``.

    Args:
        backbone, head: fitted.
        shape: (height, width) in pixels that images are resized to, the same as in training.
    """

    def __init__(self, backbone: Backbone, head: DefectHead, shape: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.shape = shape
        accept_renamed_weights(self, {"judge": "head"})

    def forward(self, images: Tensor) -> DefectHeadOutput:
        """Classify float images (n, 1 or 3, height, width) in 0..1, of any size."""
        return DefectHeadOutput(*self.head(self.backbone(resize_area(images, *self.shape))))


def log_mean_exp_pool(evidence: Tensor) -> Tensor:
    """Log-mean-exp pooling over cells: log(mean(exp(s * evidence))) / s, s = ``POOLING_SHARPNESS``.

    (n, h, w) to (n,).
    """
    highest = evidence.amax(dim=(-2, -1), keepdim=True)  # subtracted first, so that nothing overflows
    mean = torch.exp(POOLING_SHARPNESS * (evidence - highest)).mean(dim=(-2, -1))
    return highest[:, 0, 0] + torch.log(mean) / POOLING_SHARPNESS


def upsample_nearest(coarse: Tensor, fine: Tensor) -> Tensor:
    """Upsample by 2 with nearest neighbours: (n, c, h, w) to (n, c, 2h, 2w)."""
    # The size comes from the fine features because an export cannot prove that both agree for every size.
    return functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


def minmax_pool(features: BackboneFeatures) -> Tensor:
    """Pool each channel to its maximum and minimum, of cells and of 3 x 3 means: float (n, ``EXTREME_FEATURES``)."""
    pooled = []
    for channels in features:
        means = functional.avg_pool2d(channels, 3, stride=1, padding=1, count_include_pad=False)
        for values in (channels, means):
            pooled += [values.amax(dim=(-2, -1)), values.amin(dim=(-2, -1))]
    return torch.cat(pooled, dim=1)
