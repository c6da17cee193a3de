"""The verdict: evidence at each place of a picture, pooled to the log-odds of defect.

Two linear readings of frozen features add up. One reads each place by itself, and says where a defect is. The other
reads each channel's extremes over the whole picture, and judges better when parts are few; it is the same everywhere.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.models.backbone import COARSE_CHANNELS, FINE_CHANNELS, Backbone, Features
from clearcast.models.clear.resample import shrink

EXTREMES = 4 * (FINE_CHANNELS + COARSE_CHANNELS)
SHARPNESS = 2.0  # of the smooth maximum: between the mean (0) and the maximum (infinite)


class Judgement(NamedTuple):
    """``logit`` float (n,), the log-odds of defect; ``evidence`` float (n, h, w), those of each place, at stride 16.

    The logit is the smooth maximum of the evidence, log(mean(exp(s * evidence))) / s with s = ``SHARPNESS``, so that
    the places explain it in full (Pinheiro & Collobert 2015, "From Image-level to Pixel-level Labeling with
    Convolutional Networks").
    """

    logit: Tensor
    evidence: Tensor


class Judge(nn.Module):
    """Reads features; with weights of zero, which say nothing, until ``clearcast.training.judging`` fits them."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(FINE_CHANNELS, 1, kernel_size=1, bias=False)
        self.coarse = nn.Conv2d(COARSE_CHANNELS, 1, kernel_size=1)
        self.whole = nn.Linear(EXTREMES, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Features) -> Judgement:
        """Judge pictures by what the backbone sees of them."""
        fine = self.fine(features.fine)
        local = (fine + doubled(self.coarse(features.coarse), fine))[:, 0]  # (n, h, w)
        evidence = local + self.whole(extremes(features))[:, :, None]
        return Judgement(smooth_maximum(evidence), evidence)


class PictureJudge(nn.Module):
    """Backbone and judge as one network, from pictures to ``Judgement``.

    Args:
        backbone, judge: fitted.
        shape: (height, width) in pixels that pictures are brought to, as those were that the judge learned from.
    """

    def __init__(self, backbone: Backbone, judge: Judge, shape: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.judge = judge
        self.shape = shape

    def forward(self, pictures: Tensor) -> Judgement:
        """Judge float pictures (n, 1 or 3, height, width) in 0..1, of any size."""
        return Judgement(*self.judge(self.backbone(shrink(pictures, *self.shape))))


def smooth_maximum(evidence: Tensor) -> Tensor:
    """log(mean(exp(s * evidence))) / s over the places: float (n,) from float (n, h, w), s = ``SHARPNESS``."""
    highest = evidence.amax(dim=(-2, -1), keepdim=True)  # taken out first, so that nothing overflows
    mean = torch.exp(SHARPNESS * (evidence - highest)).mean(dim=(-2, -1))
    return highest[:, 0, 0] + torch.log(mean) / SHARPNESS


def doubled(coarse: Tensor, fine: Tensor) -> Tensor:
    """Each place four times: (n, c, 2h, 2w) from (n, c, h, w)."""
    # Its size is taken from the fine features because an export cannot prove of any size that both agree.
    return functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


def extremes(features: Features) -> Tensor:
    """Each channel's largest and smallest value, of single places and of means over 3 x 3: float (n, ``EXTREMES``)."""
    found = []
    for channels in features:
        means = functional.avg_pool2d(channels, 3, stride=1, padding=1, count_include_pad=False)
        for seen in (channels, means):
            found += [seen.amax(dim=(-2, -1)), seen.amin(dim=(-2, -1))]
    return torch.cat(found, dim=1)
