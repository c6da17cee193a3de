"""Whether a bundle is whole, and says on this machine what it said where it was made."""

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

TIMEOUT = 60.0  # seconds for looking at golden pictures; some tenths are usual

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found: all is well. ``largest_difference``: of any probability of the golden pictures."""

    manifest: Manifest
    files: int
    pictures: int
    largest_difference: float


def verify(path: Path, *, timeout: float = TIMEOUT, trust: Trust | None = None) -> Verified:
    """Check a bundle's files, load its graphs, and inspect its golden pictures.

    Args:
        path: of the bundle, its folder or zip.
        timeout: seconds after which graphs that have not answered are given up.
        trust: whose signature the bundle must have; None: it needs none.

    Raises:
        OutputError: something is not as it was written, or the graphs do not answer; the message says what.
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
    """Load a bundle's graphs, and make sure that they answer here as the bundle says, by its first golden picture.

    Args:
        package: the bundle; one without golden pictures, as they were made once, is loaded without looking.
        timeout: seconds after which graphs that have not answered are given up.

    Raises:
        OutputError: a graph cannot be loaded, does not answer, or answers otherwise.
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
            f"{package.path}: its graphs gave no answer within {seconds:g} s; do not use this bundle"
        ) from None


def _run_every_graph(package: Package, control: RunControl) -> None:
    """Run also the graphs that only large pictures need, on a picture that goes through in tiles."""
    if not {SURVEY, DETAIL} <= set(package.names()):
        return
    model = Model(package, whole=1, tile=64, control=control)
    try:
        model.answer(np.zeros((1, 72, 80, model.channels.depth), np.uint8))
    except OutputError:
        raise
    except Exception as error:  # ONNX Runtime raises many kinds
        raise OutputError(f"{package.path}: its graphs do not run here ({first_line(error)})") from None
