"""Defect classifier: log-odds of defect at each cell of an image, pooled to the log-odds of the image.

Two linear heads on frozen features add up. The local head classifies each cell, and so locates defects. The global head
classifies the minima and maxima of each channel over the image, the same at every cell, and is more accurate with few
parts.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.models.backbone import COARSE_CHANNELS, FINE_CHANNELS, Backbone, Features
from clearcast.models.clear.resample import shrink
from clearcast.models.renamed_weights import accept_renamed_weights

EXTREMES = 4 * (FINE_CHANNELS + COARSE_CHANNELS)  # maximum and minimum of cells and of 3 x 3 means, by channel
SHARPNESS = 2.0  # of log-mean-exp pooling: between the mean (0) and the maximum (infinite)


class Judgement(NamedTuple):
    """Output of the defect head: ``logit`` float (n,), log-odds of defect; ``evidence`` float (n, h, w), by cell.

    Cells have stride 16. The logit is the log-mean-exp pooling of the evidence, log(mean(exp(s * evidence))) / s with
    s = ``SHARPNESS``, so that the cells explain it in full (Pinheiro & Collobert 2015, "From Image-level to Pixel-level
    Labeling with Convolutional Networks").
    """

    logit: Tensor
    evidence: Tensor


class Judge(nn.Module):
    """Defect head on features; its weights are zero until ``clearcast.training.judging`` fits them."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(FINE_CHANNELS, 1, kernel_size=1, bias=False)
        self.coarse = nn.Conv2d(COARSE_CHANNELS, 1, kernel_size=1)
        self.global_head = nn.Linear(EXTREMES, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        accept_renamed_weights(self, {"whole": "global_head"})

    def forward(self, features: Features) -> Judgement:
        """Classify images by their features."""
        fine = self.fine(features.fine)  # (n, 1, h, w)
        local = (fine + doubled(self.coarse(features.coarse), fine))[:, 0]  # (n, h, w)
        evidence = local + self.global_head(extremes(features))[:, :, None]
        return Judgement(smooth_maximum(evidence), evidence)


class PictureJudge(nn.Module):
    """Backbone and defect head as one network, from images to ``Judgement``.

    Args:
        backbone, head: fitted.
        shape: (height, width) in pixels that images are resized to, the same as in training.
    """

    def __init__(self, backbone: Backbone, head: Judge, shape: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.shape = shape
        accept_renamed_weights(self, {"judge": "head"})

    def forward(self, images: Tensor) -> Judgement:
        """Classify float images (n, 1 or 3, height, width) in 0..1, of any size."""
        return Judgement(*self.head(self.backbone(shrink(images, *self.shape))))


def smooth_maximum(evidence: Tensor) -> Tensor:
    """Log-mean-exp pooling over cells: log(mean(exp(s * evidence))) / s, s = ``SHARPNESS``; (n, h, w) to (n,)."""
    highest = evidence.amax(dim=(-2, -1), keepdim=True)  # subtracted first, so that nothing overflows
    mean = torch.exp(SHARPNESS * (evidence - highest)).mean(dim=(-2, -1))
    return highest[:, 0, 0] + torch.log(mean) / SHARPNESS


def doubled(coarse: Tensor, fine: Tensor) -> Tensor:
    """Upsample by 2 with nearest neighbours: (n, c, h, w) to (n, c, 2h, 2w)."""
    # The size comes from the fine features because an export cannot prove that both agree for every size.
    return functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


def extremes(features: Features) -> Tensor:
    """Pool each channel to its maximum and minimum, of cells and of 3 x 3 means: float (n, ``EXTREMES``)."""
    pooled = []
    for channels in features:
        means = functional.avg_pool2d(channels, 3, stride=1, padding=1, count_include_pad=False)
        for values in (channels, means):
            pooled += [values.amax(dim=(-2, -1)), values.amin(dim=(-2, -1))]
    return torch.cat(pooled, dim=1)
