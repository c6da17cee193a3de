"""Bundle verification: files, graphs, and golden samples that must give the same predictions on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from clearcast.errors import OutputError, first_line
from clearcast.runtime.deadline import call_within
from clearcast.runtime.golden import GOLDEN, compare_golden, read_golden
from clearcast.runtime.manifest import Manifest
from clearcast.runtime.model import DETAIL, SURVEY, Model, RunControl
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.signing import Trust

TIMEOUT = 60.0  # seconds for predicting the golden samples, which usually takes some tenths

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Result of a successful verification; ``largest_difference``: of any probability of the golden samples."""

    manifest: Manifest
    files: int
    pictures: int
    largest_difference: float


def verify(path: Path, *, timeout: float = TIMEOUT, trust: Trust | None = None) -> Verified:
    """Check a bundle's files, load its graphs, and compare the predictions of its golden samples.

    Args:
        path: of the bundle, its folder or zip.
        timeout: seconds after which running graphs are terminated.
        trust: public keys, one of which must have signed the bundle; None: no signature is required.

    Raises:
        OutputError: a file was changed, a prediction differs, or the graphs do not finish in time.
    """
    package = open_package(path, trust)
    package.check()
    golden = read_golden(package)

    def compare(control: RunControl) -> float:
        _run_every_graph(package, control)
        model = Model(package, control=control)
        return max(compare_golden(package, model, each) for each in golden)

    return Verified(
        manifest=package.manifest,
        files=len(package.names()),
        pictures=len(golden),
        largest_difference=_within(timeout, package, compare),
    )


def load_model(package: Package, *, timeout: float = TIMEOUT) -> Model:
    """Load a bundle's graphs, and compare the prediction of its first golden sample, if it has one.

    Args:
        package: the bundle.
        timeout: seconds after which running graphs are terminated.

    Raises:
        OutputError: a graph cannot be loaded or does not finish in time, or the prediction differs.
    """

    def load(control: RunControl) -> Model:
        model = Model(package, control=control)
        if GOLDEN in package.names():
            compare_golden(package, model, read_golden(package)[0])
        return model

    return _within(timeout, package, load)


def _within(seconds: float, package: Package, work: Callable[[RunControl], ResultT]) -> ResultT:
    control = RunControl()
    try:
        return call_within(seconds, lambda: work(control), control.end)
    except TimeoutError:
        raise OutputError(
            f"{package.path}: the graphs did not finish within {seconds:g} s; do not use this bundle"
        ) from None


def _run_every_graph(package: Package, control: RunControl) -> None:
    """Run the graphs that only large images need too, on an image that is processed in tiles."""
    if not {SURVEY, DETAIL} <= set(package.names()):
        return
    model = Model(package, whole=1, tile=64, control=control)
    try:
        model.predict_batch(np.zeros((1, 72, 80, model.channels.depth), np.uint8))
    except OutputError:
        raise
    except Exception as error:  # ONNX Runtime raises exceptions of many types
        raise OutputError(f"{package.path}: the graphs do not run on this machine ({first_line(error)})") from None
