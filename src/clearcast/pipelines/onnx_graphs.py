"""ONNX graphs of a bundle's networks: from uint8 images of any size to predictions.

The names, shapes and value ranges of inputs and outputs are an interface for all programs that run the graphs.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.blocks import cubic_matrix, to_luma, to_unit_range
from clearcast.nn.denoiser import DETAIL_STRIDE, ClearDenoiser, DetailUNet, GlobalContext, conditioning_vector
from clearcast.pipelines.networks import CalibratedClassifier, DistilledNetworks


class ExportedModule(Protocol):
    """A network that can be exported, with the names of its inputs and outputs."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def eval(self) -> nn.Module:
        """See ``nn.Module.eval``."""


class WindowPosition(NamedTuple):
    """The position of a window on one axis: its first row or column, and the size ``full`` of the whole image."""

    start: Tensor
    full: Tensor


class GlobalEncoderGraph(nn.Module):
    """ONNX graph of the global encoder: noise type, noise levels and waves of an image.

    Input ``pictures`` is uint8 (batch, height, width, depth), sides from 16 pixels. Outputs: ``waves`` and ``small``,
    float32 (batch, 128, 128), see ``PeriodicNoiseHead``; ``p_noise`` float32 (batch, types), probabilities in the order
    of the denoiser's ``noise_types``; ``levels`` float32 (batch, levels), such as the standard deviation of Gaussian
    noise and the density of impulses, 0..1; ``about`` float32 (batch, types + levels), the conditioning vector.
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("waves", "small", "p_noise", "levels", "about")

    def __init__(self, denoiser: ClearDenoiser) -> None:
        super().__init__()
        self.global_encoder = denoiser.global_encoder

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see the class."""
        context: GlobalContext = self.global_encoder(to_luma(_to_float(images)))
        conditioning = context.conditioning
        p_noise = conditioning[:, : context.scores.shape[1]]
        return context.waves[:, 0], context.thumbnail[:, 0], p_noise, context.levels.clamp(0, 1), conditioning


class PeriodicNoiseGraph(nn.Module):
    """ONNX graph of the periodic-noise head alone, for a bundle whose student estimates the noise.

    Input ``pictures`` and outputs ``waves`` and ``small`` are those of ``GlobalEncoderGraph``.
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("waves", "small")

    def __init__(self, denoiser: ClearDenoiser) -> None:
        super().__init__()
        self.periodic_head = denoiser.global_encoder.periodic_head

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see the class."""
        waves, small, _ = self.periodic_head(to_luma(_to_float(images)))
        return waves[:, 0], small[:, 0]


class DetailGraph(nn.Module):
    """ONNX graph of the detail U-Net: denoises a window of an image.

    Inputs: ``window`` uint8 (batch, h, w, depth), whose first row and column are multiples of 8; ``waves``, ``small``
    and ``about`` of the whole image, from ``GlobalEncoderGraph``, or from ``PeriodicNoiseGraph`` and ``StudentGraph``;
    ``place`` int64 (4,), the height and width of the whole image, and the first row and column of the window.
    Output: ``restored``, the denoised window, uint8 of its shape.
    """

    inputs: tuple[str, ...] = ("window", "waves", "small", "about", "place")
    outputs: tuple[str, ...] = ("restored",)

    def __init__(self, denoiser: ClearDenoiser) -> None:
        super().__init__()
        self.detail = denoiser.detail

    def forward(self, window: Tensor, waves: Tensor, small: Tensor, conditioning: Tensor, place: Tensor) -> Tensor:
        """Run the network; see the class."""
        context = torch.stack([waves, small], dim=1)
        rows, columns = WindowPosition(place[2], place[0]), WindowPosition(place[3], place[1])
        return _denoise_window(self.detail, window, context, conditioning, (rows, columns))


class ClassifierGraph(nn.Module):
    """ONNX graph of the classifier: the verdict on a denoised image.

    Input ``restored`` is uint8 (batch, height, width, depth). Outputs: ``p_defect`` float32 (batch,), the calibrated
    probability of defect; ``evidence`` float32 (batch, h, w), calibrated log-odds of defect, each for 16 x 16 pixels
    at the classifier's input size.
    """

    inputs: tuple[str, ...] = ("restored",)
    outputs: tuple[str, ...] = ("p_defect", "evidence")

    def __init__(self, classifier: CalibratedClassifier) -> None:
        super().__init__()
        self.network = classifier.network
        self.temperature = classifier.metadata["temperature"]

    def forward(self, denoised: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see the class."""
        output = self.network(_to_float(denoised))
        return torch.sigmoid(output.logit / self.temperature), output.evidence / self.temperature


class StudentGraph(nn.Module):
    """ONNX graph of the student: noise type and verdict from the noisy image.

    Input ``pictures`` is uint8 (batch, height, width, depth). Outputs: ``p_noise``, ``levels`` and ``about`` as those
    of ``GlobalEncoderGraph``; ``wave`` float32 (batch, 3), see ``StudentOutput.wave``; ``p_defect`` and ``evidence`` as
    those of ``ClassifierGraph``, from the noisy image.
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("p_noise", "levels", "about", "wave", "p_defect", "evidence")

    def __init__(self, distilled: DistilledNetworks) -> None:
        super().__init__()
        self.student = distilled.student
        self.temperature = distilled.metadata["temperature"]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the network; see the class."""
        output, student = self.student(_planes(images))
        p_defect, evidence = torch.sigmoid(output.logit / self.temperature), output.evidence / self.temperature
        conditioning = conditioning_vector(student.scores, student.levels)
        p_noise = conditioning[:, : student.scores.shape[1]]
        return p_noise, student.levels, conditioning, student.wave, p_defect, evidence


def _denoise_window(
    detail: DetailUNet,
    window: Tensor,
    context: Tensor,
    conditioning: Tensor,
    positions: tuple[WindowPosition, WindowPosition],
) -> Tensor:
    """Denoise a window: uint8 (batch, h, w, depth).

    Args:
        detail: the detail U-Net.
        window: uint8 (batch, h, w, depth).
        context: waves and thumbnail of the whole image, float (batch, 2, 128, 128).
        conditioning: conditioning vector, float (batch, types + levels).
        positions: of the window's rows and of its columns.
    """
    height, width = window.shape[1:3]
    tall, wide = _padded_size(height), _padded_size(width)
    down, across = (
        cubic_matrix(context.shape[-1], axis.full, axis.start + torch.arange(padded).clamp(max=size - 1), context)
        for axis, padded, size in zip(positions, (tall, wide), (height, width), strict=True)
    )
    waves, small = (down @ context @ across.T).chunk(2, dim=1)
    padded_window = functional.pad(_planes(window), (0, wide - width, 0, tall - height), mode="replicate")
    denoised: Tensor = detail(padded_window, waves, small, conditioning)
    pixels = denoised[..., :height, :width].clamp(0, 1).mul(255).round().to(torch.uint8)
    return pixels.squeeze(1).unsqueeze(-1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)


def _padded_size(size: int) -> int:
    """Return the next multiple of ``DETAIL_STRIDE``, in a form whose divisibility torch.export can prove."""
    return DETAIL_STRIDE * ((size + DETAIL_STRIDE - 1) // DETAIL_STRIDE)


def _to_float(images: Tensor) -> Tensor:
    """Convert uint8 (batch, height, width, depth) to float (batch, depth, height, width) in 0..1."""
    return to_unit_range(_planes(images))


def _planes(images: Tensor) -> Tensor:
    """Move the channels: (batch, height, width, depth) to (batch, depth, height, width).

    Grey images are not transposed: ONNX Runtime would propagate the transpose through the graph, where a last axis of
    size one is slow.
    """
    return images.squeeze(-1).unsqueeze(1) if images.shape[-1] == 1 else images.permute(0, 3, 1, 2)
