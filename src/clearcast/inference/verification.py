"""Time limit for a function that may never return."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar, cast

import numpy as np

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.bundle.manifest import Manifest, noise_types_of
from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.errors import OutputError, first_error_line
from clearcast.core.json_schema import matches_type, parse_json
from clearcast.core.numbers import PROBABILITY_ROUNDING
from clearcast.inference.decision import DecisionRule, read_decision_rule
from clearcast.inference.model import DETAIL_GRAPH, GLOBAL_GRAPH, OnnxModel, RunControl
from clearcast.inference.prediction import Prediction

ResultT = TypeVar("ResultT")


def call_with_timeout(seconds: float, work: Callable[[], ResultT], stop: Callable[[], None]) -> ResultT:
    """Call a function in a separate thread, with a time limit.

    Args:
        seconds: the time limit.
        work: the function; its exceptions are raised here.
        stop: called after the time limit, to end the work. If that fails, the daemon thread continues, but does not
            keep the process alive.

    Raises:
        TimeoutError: the function did not return in time.
    """
    outcome: Future[ResultT] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # raised in the waiting thread
            outcome.set_exception(error)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        stop()
        raise


GOLDEN_FILE = "golden.json"
PROBABILITY_TOLERANCE = 1e-3  # largest allowed difference of a probability


class GoldenSample(TypedDict):
    """An image of ``golden.json`` with the prediction of the PyTorch networks.

    ``file``: such as ``golden/0.png``. ``p_defect`` and ``verdict`` are None if the bundle gives no verdicts.
    ``p_noise``: by noise type.
    """

    file: str
    p_defect: float | None
    verdict: str | None
    noise_type: str
    p_noise: dict[str, float]


def read_golden_samples(package: BundlePackage) -> list[GoldenSample]:
    """Read the golden samples of a bundle, at least one.

    Raises:
        OutputError: the file is missing, was changed, or is invalid.
    """
    text = package.read(GOLDEN_FILE)
    try:
        golden = parse_json(text)
    except (ValueError, RecursionError):
        golden = None
    if not isinstance(golden, list) or not golden or not all(_is_golden(each, package) for each in golden):
        raise OutputError(f"{package.path}: {GOLDEN_FILE} has no valid golden samples; recreate the bundle")
    return cast(list[GoldenSample], golden)


def _is_golden(each: object, package: BundlePackage) -> bool:
    if not matches_type(each, GoldenSample):
        return False
    golden = cast(GoldenSample, each)
    chances = [*golden["p_noise"].values(), golden["p_defect"] or 0.0]
    listed = {*noise_types_of(package.manifest)} <= {*golden["p_noise"]}
    return listed and all(-PROBABILITY_ROUNDING <= chance <= 1 + PROBABILITY_ROUNDING for chance in chances)


def compare_golden_sample(package: BundlePackage, model: OnnxModel, golden: GoldenSample) -> float:
    """Return the largest difference between the probabilities here and those in ``golden.json``.

    Raises:
        OutputError: the verdict differs, a probability differs by more than ``TOLERANCE``, or inference fails.
    """
    prediction = _predict(package, model, golden["file"])
    pairs = [(chance, golden["p_noise"][kind]) for kind, chance in prediction.noise.probabilities.items()]
    rule = read_decision_rule(package.manifest)
    if golden["p_defect"] is not None:
        if prediction.p_defect is None or rule is None:
            raise OutputError(
                f"{package.path}: expected the verdict {golden['verdict']} for {golden['file']}, got none; do not use "
                "this bundle"
            )
        pairs.append((prediction.p_defect, golden["p_defect"]))
        verdict = rule.verdict(prediction.p_defect)
        if verdict != golden["verdict"] and not _is_borderline(golden["p_defect"], rule):
            raise OutputError(
                f"{package.path}: expected the verdict {golden['verdict']} for {golden['file']}, got {verdict}; do not "
                "use this bundle on this machine"
            )
    largest = float(np.max([abs(here - there) for here, there in pairs]))  # NaN stays, unlike in max
    if not largest <= PROBABILITY_TOLERANCE:
        raise OutputError(
            f"{package.path}: a probability of {golden['file']} differs by {largest:.4f} from that of the training "
            f"machine (allowed {PROBABILITY_TOLERANCE:g}); do not use this bundle on this machine"
        )
    return largest


def _predict(package: BundlePackage, model: OnnxModel, name: str) -> Prediction:
    data = package.read(name)
    try:
        return model.predict(imaging.decode_image(data, model.channels, name), denoise=model.always_denoises)
    except Exception as error:  # ONNX Runtime raises exceptions of many types
        raise OutputError(f"{package.path}: {name} cannot be inspected here ({first_error_line(error)})") from None


def _is_borderline(p_defect: float, rule: DecisionRule) -> bool:
    """Whether an allowed difference changes the verdict, as it may with a rule that was tuned later."""
    return (
        len(
            {
                rule.verdict(min(max(p_defect + off, 0.0), 1.0))
                for off in (-PROBABILITY_TOLERANCE, 0.0, PROBABILITY_TOLERANCE)
            }
        )
        > 1
    )


VERIFICATION_TIMEOUT = 60.0  # seconds for predicting the golden samples, which usually takes some tenths


@dataclass(frozen=True, kw_only=True)
class VerificationResult:
    """Result of a successful verification; ``largest_difference``: of any probability of the golden samples."""

    manifest: Manifest
    files: int
    pictures: int
    largest_difference: float


def verify_bundle(
    path: Path, *, timeout: float = VERIFICATION_TIMEOUT, trust: TrustedSigners | None = None
) -> VerificationResult:
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
    golden = read_golden_samples(package)

    def compare(control: RunControl) -> float:
        _run_every_graph(package, control)
        model = OnnxModel(package, control=control)
        return max(compare_golden_sample(package, model, each) for each in golden)

    return VerificationResult(
        manifest=package.manifest,
        files=len(package.names()),
        pictures=len(golden),
        largest_difference=_within(timeout, package, compare),
    )


def load_verified_model(package: BundlePackage, *, timeout: float = VERIFICATION_TIMEOUT) -> OnnxModel:
    """Load a bundle's graphs, and compare the prediction of its first golden sample, if it has one.

    Args:
        package: the bundle.
        timeout: seconds after which running graphs are terminated.

    Raises:
        OutputError: a graph cannot be loaded or does not finish in time, or the prediction differs.
    """

    def load(control: RunControl) -> OnnxModel:
        model = OnnxModel(package, control=control)
        if GOLDEN_FILE in package.names():
            compare_golden_sample(package, model, read_golden_samples(package)[0])
        return model

    return _within(timeout, package, load)


def _within(seconds: float, package: BundlePackage, work: Callable[[RunControl], ResultT]) -> ResultT:
    control = RunControl()
    try:
        return call_with_timeout(seconds, lambda: work(control), control.end)
    except TimeoutError:
        raise OutputError(
            f"{package.path}: the graphs did not finish within {seconds:g} s; do not use this bundle"
        ) from None


def _run_every_graph(package: BundlePackage, control: RunControl) -> None:
    """Run the graphs that only large images need too, on an image that is processed in tiles."""
    if not {GLOBAL_GRAPH, DETAIL_GRAPH} <= set(package.names()):
        return
    model = OnnxModel(package, whole=1, tile=64, control=control)
    try:
        model.predict_batch(np.zeros((1, 72, 80, model.channels.depth), np.uint8))
    except OutputError:
        raise
    except Exception as error:  # ONNX Runtime raises exceptions of many types
        raise OutputError(
            f"{package.path}: the graphs do not run on this machine ({first_error_line(error)})"
        ) from None
