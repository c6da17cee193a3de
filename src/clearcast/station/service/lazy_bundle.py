"""Bundles of the inspection service, loaded as soon as they become available."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import OutputError
from clearcast.inference.drift_statistics import REFERENCE_FILE, DriftReference, parse_drift_reference
from clearcast.inference.inspector import Inspector
from clearcast.inference.model import OnnxModel
from clearcast.inference.sources import SourceItem
from clearcast.inference.verification import load_verified_model
from clearcast.types import Inspection


@dataclass(frozen=True, kw_only=True)
class LoadedBundle:
    """A bundle that is ready to inspect.

    Attributes:
        inspector: uses one core per image; fastest if several images wait.
        wide: uses all cores for an image; fastest for a single image.
        reference: drift reference; None if the bundle has none.
    """

    inspector: Inspector
    wide: Inspector = field(repr=False)
    reference: DriftReference | None = field(repr=False)

    def inspect(self, item: SourceItem, *, alone: bool, evidence: bool) -> Inspection:
        """Inspect an image; the inspection holds the denoised image if the bundle always makes it."""
        inspector = self.wide if alone else self.inspector
        return inspector.inspect(item, denoise=inspector.always_denoises, evidence=evidence)


def load_inspectors(path: Path, threads: int, trust: TrustedSigners | None = None) -> LoadedBundle:
    """Load a bundle.

    Args:
        path: a folder or zip.
        threads: CPU cores to use.
        trust: the signature that the bundle must have; None: none.

    Raises:
        OutputError: the bundle is missing, damaged or not signed as required.
    """
    package = open_package(path, trust)
    inspector = _warm_inspector(package, load_verified_model(package))
    has_reference = REFERENCE_FILE in package.names()
    return LoadedBundle(
        inspector=inspector,
        wide=_warm_inspector(package, OnnxModel(package, threads=threads)) if threads > 1 else inspector,
        reference=parse_drift_reference(package.read(REFERENCE_FILE), path.name) if has_reference else None,
    )


def _warm_inspector(package: BundlePackage, model: OnnxModel) -> Inspector:
    """Create an inspector and warm it up: the first inspection takes longer."""
    inspector = Inspector(package, model)
    height, width = package.manifest["trained_on"]["shape"]
    corner = 255 * np.tri(height, width, dtype=np.uint8)  # not uniform: uniform images are refused
    inspector.inspect(SourceItem(name="warm-up", key="", read=lambda: corner))
    return inspector


class LazyBundle:
    """A bundle that is loaded as soon as it becomes available.

    Attributes:
        path: its folder or zip.
        loaded: the bundle, signed as ``trust`` requires; None until ``try_to_load`` succeeds.
        fault: why it is not loaded; "" if it is.
    """

    def __init__(self, path: Path, threads: int, trust: TrustedSigners | None = None) -> None:
        self.path = path
        self.loaded: LoadedBundle | None = None
        self.fault = f"the bundle {path.name} is being loaded"
        self._threads = threads
        self._trust = trust

    def denoises_on_demand(self, model: str) -> bool:
        """Return whether ``model`` is this bundle and it denoises on demand only."""
        inspector = self.loaded and self.loaded.inspector
        return bool(inspector and inspector.name == model and not inspector.always_denoises)

    def denoise(self, data: bytes) -> ImageArray | None:
        """Denoise an encoded image; None if the bundle is not loaded or the image cannot be inspected."""
        if not self.loaded:
            return None
        inspector = self.loaded.inspector
        item = SourceItem(name="", key="", read=lambda: imaging.decode_image(data, inspector.channels))
        return inspector.inspect(item, denoise=True).restored

    def try_to_load(self) -> None:
        """Load the bundle unless it is loaded; on failure set ``fault``."""
        if self.loaded:
            return
        try:
            self.loaded = load_inspectors(self.path, self._threads, self._trust)
        except Exception as error:  # ONNX Runtime's errors have no common base; the bundle may be repaired later
            text = str(error) if isinstance(error, OutputError) else (str(error).splitlines() or [repr(error)])[0]
            for path in (self.path.resolve(), self.path.absolute(), self.path):
                text = text.replace(str(path), path.name)  # public message: no folders
            self.fault = text
        else:
            self.fault = ""
