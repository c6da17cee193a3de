"""LPIPS with AlexNet (Zhang et al., 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric").

The linear heads are version 0.1, as shipped with torchmetrics. The backbone is torchvision's AlexNet; its five
convolutions are defined here, so that only the weights are required and not the package.
"""

import hashlib
import socket
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from clearcast.core.errors import MissingDependencyError

LPIPS_BACKBONE_FILE = "alexnet-owt-7be5be79.pth"
LPIPS_BACKBONE_URL = f"https://download.pytorch.org/models/{LPIPS_BACKBONE_FILE}"
LPIPS_BACKBONE_SHA256 = "7be5be79"  # the hash's first digits, as torchvision names the file
DOWNLOAD_TIMEOUT = 15.0  # seconds without a response

_CHANNELS = (64, 192, 384, 256, 256)
_SHIFT = (-0.030, -0.088, -0.188)  # of images in -1..1, from the authors' code
_SCALE = (0.458, 0.448, 0.450)


class Lpips(nn.Module):
    """Perceptual distance of two images: 0 if identical, larger for larger visible differences."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(  # the indices are those of torchvision's weights
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, kernel_size=1, bias=False) for channels in _CHANNELS)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))

    @torch.no_grad()
    def forward(self, images: Tensor, references: Tensor) -> Tensor:
        """Compute distances, float (batch,), of float images in 0..1, shape (batch, 3, height, width), sides >= 64."""
        distance = torch.zeros(len(images))
        pairs = zip(self._feature_levels(images), self._feature_levels(references), self.heads, strict=True)
        for features, reference, head in pairs:
            weighted = head((_normalize(features) - _normalize(reference)) ** 2)  # (batch, 1, height, width)
            distance = distance + weighted.mean(dim=(1, 2, 3))
        return distance

    def _feature_levels(self, images: Tensor) -> list[Tensor]:
        """Compute the features after each of the five ReLUs."""
        x = (2 * images - 1 - self.shift) / self.scale
        levels = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                levels.append(x)
        return levels


@dataclass(frozen=True, kw_only=True)
class LoadedLpips:
    """The metric ready to use, and a note on the weights, if needed."""

    metric: Lpips
    note: str | None


def load_lpips(backbone: Path | None = None, *, download: bool = True) -> LoadedLpips:
    """Load the metric, with the weights in ``backbone``, or else in torch's cache, or else downloaded into that cache.

    A file given explicitly is used whatever its hash, with a note; a cached file must be the published one.

    Raises:
        MissingDependencyError: the weights are not available, are damaged, or are not AlexNet's.
    """
    metric = Lpips().eval()
    path = backbone or _cached_backbone(download=download)
    note = None
    if not _is_published(path):
        if backbone is None:
            raise MissingDependencyError(
                f"{path} is not the published AlexNet (its SHA-256 does not begin with {LPIPS_BACKBONE_SHA256}); "
                "delete it"
            )
        note = f"measured with {path.name}, which is not the published AlexNet: not comparable to other LPIPS figures"
    _load_backbone(metric, path)
    _load_heads(metric)
    return LoadedLpips(metric=metric, note=note)


def _load_backbone(metric: Lpips, path: Path) -> None:
    weights = _read_weights(path)
    try:
        metric.features.load_state_dict(
            {name.removeprefix("features."): value for name, value in weights.items() if name.startswith("features.")}
        )
    except RuntimeError:
        raise MissingDependencyError(
            f"{path} does not hold AlexNet's weights; expected {LPIPS_BACKBONE_FILE}"
        ) from None


def _load_heads(metric: Lpips) -> None:
    heads = resources.files("torchmetrics") / "functional/image/lpips_models/alex.pth"
    with resources.as_file(heads) as file:
        values = _read_weights(file).values()
    metric.heads.load_state_dict({f"{index}.weight": value for index, value in enumerate(values)})


def _cached_backbone(*, download: bool) -> Path:
    """Return the weights in torch's cache, downloaded if need be."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE_FILE
    if path.is_file():
        return path
    if not download:
        raise MissingDependencyError(
            f"AlexNet's weights are not in {path}, and downloads are not allowed; fetch {LPIPS_BACKBONE_URL} and put "
            "the file there, or give its path with --lpips-backbone"
        )
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torch's download has no time limit of its own
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(LPIPS_BACKBONE_URL, str(path), hash_prefix=LPIPS_BACKBONE_SHA256, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise MissingDependencyError(
            f"AlexNet's weights are not in {path} and could not be downloaded ({error}); fetch {LPIPS_BACKBONE_URL} on "
            "another machine and put the file there, or give its path with --lpips-backbone"
        ) from None
    finally:
        socket.setdefaulttimeout(previous_timeout)
    return path


def _is_published(path: Path) -> bool:
    """Check whether a file is the published AlexNet, by its hash."""
    if not path.is_file():
        raise MissingDependencyError(f"{path}: no such file; expected AlexNet's weights, {LPIPS_BACKBONE_FILE}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(LPIPS_BACKBONE_SHA256)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingDependencyError(f"{path}: cannot be read as weights ({reason})") from None
    return dict(weights)


def _normalize(features: Tensor) -> Tensor:
    """Normalise the channel vector at each position to length 1."""
    return features / torch.sqrt(1e-8 + (features**2).sum(dim=1, keepdim=True))
