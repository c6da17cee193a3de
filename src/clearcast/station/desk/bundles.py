"""A bundle that is loaded as soon as it can be."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.runtime.inspector import Inspector
from clearcast.runtime.package import open_package
from clearcast.runtime.reference import REFERENCE, Reference
from clearcast.runtime.sources import Item


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
        """Inspect a picture; the inspection holds the restored one. See ``Inspector.inspect``."""
        return (self.wide if alone else self.inspector).inspect(item, restored=True, evidence=evidence)


def load(path: Path, threads: int) -> Loaded:
    """Load a bundle for so many cores.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    package = open_package(path)
    inspector = Inspector(package)
    reference = json.loads(package.read(REFERENCE)) if REFERENCE in package.names() else None
    return Loaded(
        inspector=inspector,
        wide=Inspector(package, threads=threads) if threads > 1 else inspector,
        reference=reference,
    )


class Place:
    """Where a bundle should be.

    Attributes:
        path: its folder or zip.
        loaded: the bundle; None until ``try_to_load`` could load it.
        fault: why it is not loaded; "" where it is.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        self.loaded: Loaded | None = None
        self.fault = f"the bundle {path.name} is being loaded"
        self._threads = threads

    def try_to_load(self) -> None:
        """Load the bundle if it is not."""
        if self.loaded:
            return
        try:
            self.loaded = load(self.path, self._threads)
        except Exception as error:  # ONNX Runtime's have no common base; whatever it is, the bundle may be mended
            text = str(error) if isinstance(error, OutputError) else (str(error).splitlines() or [repr(error)])[0]
            self.fault = text.replace(str(self.path), self.path.name)  # people who read it need not know the folders
        else:
            self.fault = ""
