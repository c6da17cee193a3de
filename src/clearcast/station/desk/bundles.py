"""A bundle that is loaded as soon as it can be."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clearcast import imaging
from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.imaging import Picture
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.model import Model
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.reference import REFERENCE, Reference, parse_reference
from clearcast.runtime.signing import Trust
from clearcast.runtime.sources import Item
from clearcast.runtime.verifying import load_model


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A bundle that is ready to inspect.

    Attributes:
        inspector: uses one core a picture; the quickest where several wait.
        wide: uses all cores for a picture; the quickest where one is alone.
        reference: what pictures were like when the bundle was made; None where it does not say.
    """

    inspector: Inspector
    wide: Inspector = field(repr=False)
    reference: Reference | None = field(repr=False)

    def inspect(self, item: Item, *, alone: bool, evidence: bool) -> Inspection:
        """Inspect a picture; the inspection holds the restored one, if it is made in any case."""
        inspector = self.wide if alone else self.inspector
        return inspector.inspect(item, restored=inspector.always_denoises, evidence=evidence)


def load(path: Path, threads: int, trust: Trust | None = None) -> Loaded:
    """Load a bundle for so many cores; ``trust``: whose signature it must have.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    package = open_package(path, trust)
    inspector = _warm_inspector(package, load_model(package))
    has_reference = REFERENCE in package.names()
    return Loaded(
        inspector=inspector,
        wide=_warm_inspector(package, Model(package, threads=threads)) if threads > 1 else inspector,
        reference=parse_reference(package.read(REFERENCE), path.name) if has_reference else None,
    )


def _warm_inspector(package: Package, model: Model) -> Inspector:
    """An inspector that has looked at a picture: the first takes longer, and should keep nobody waiting."""
    inspector = Inspector(package, model)
    height, width = package.manifest["trained_on"]["shape"]
    corner = 255 * np.tri(height, width, dtype=np.uint8)  # something to see, or it would not be inspected
    inspector.inspect(Item(name="the first", key="", read=lambda: corner))
    return inspector


class Place:
    """Where a bundle should be.

    Attributes:
        path: its folder or zip.
        loaded: the bundle, signed as ``trust`` asks; None until ``try_to_load`` could load it.
        fault: why it is not loaded; "" where it is.
    """

    def __init__(self, path: Path, threads: int, trust: Trust | None = None) -> None:
        self.path = path
        self.loaded: Loaded | None = None
        self.fault = f"the bundle {path.name} is being loaded"
        self._threads = threads
        self._trust = trust

    def restores(self, model: str) -> bool:
        """Whether it is this bundle, and one that restores on demand."""
        inspector = self.loaded and self.loaded.inspector
        return bool(inspector and inspector.name == model and not inspector.always_denoises)

    def restore(self, data: bytes) -> Picture | None:
        """A picture's bytes as the bundle restores it; None where that cannot be."""
        if not self.loaded:
            return None
        inspector = self.loaded.inspector
        item = Item(name="", key="", read=lambda: imaging.decode(data, inspector.channels))
        return inspector.inspect(item, restored=True).restored

    def try_to_load(self) -> None:
        """Load the bundle if it is not."""
        if self.loaded:
            return
        try:
            self.loaded = load(self.path, self._threads, self._trust)
        except Exception as error:  # ONNX Runtime's have no common base; whatever it is, the bundle may be mended
            text = str(error) if isinstance(error, OutputError) else (str(error).splitlines() or [repr(error)])[0]
            for path in (self.path.resolve(), self.path.absolute(), self.path):  # readers need not know the folders
                text = text.replace(str(path), path.name)
            self.fault = text
        else:
            self.fault = ""
