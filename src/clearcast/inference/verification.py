"""Verification of a bundle: golden samples must give the expected predictions, within a time limit."""

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

GOLDEN_FILE = "golden.json"
PROBABILITY_TOLERANCE = 1e-3  # largest allowed difference of a probability
VERIFICATION_TIMEOUT = 60.0  # seconds for predicting the golden samples, which usually takes some tenths

ResultT = TypeVar("ResultT")


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


@dataclass(frozen=True, kw_only=True)
class VerificationResult:
    """Result of a successful verification; ``largest_difference``: of any probability of the golden samples."""

    manifest: Manifest
    files: int
    golden_samples: int
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
        _run_tile_graphs(package, control)
        model = OnnxModel(package, control=control)
        return max(_compare_golden_sample(package, model, each) for each in golden)

    return VerificationResult(
        manifest=package.manifest,
        files=len(package.names()),
        golden_samples=len(golden),
        largest_difference=_run_with_timeout(timeout, package, compare),
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
            _compare_golden_sample(package, model, read_golden_samples(package)[0])
        return model

    return _run_with_timeout(timeout, package, load)


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
    if not isinstance(golden, list) or not golden or not all(_is_valid_sample(each, package) for each in golden):
        raise OutputError(f"{package.path}: {GOLDEN_FILE} has no valid golden samples; recreate the bundle")
    return cast(list[GoldenSample], golden)


def _is_valid_sample(sample: object, package: BundlePackage) -> bool:
    if not matches_type(sample, GoldenSample):
        return False
    golden = cast(GoldenSample, sample)
    probabilities = [*golden["p_noise"].values(), golden["p_defect"] or 0.0]
    has_all_types = {*noise_types_of(package.manifest)} <= {*golden["p_noise"]}
    return has_all_types and all(-PROBABILITY_ROUNDING <= each <= 1 + PROBABILITY_ROUNDING for each in probabilities)


def _compare_golden_sample(package: BundlePackage, model: OnnxModel, golden: GoldenSample) -> float:
    """Return the largest difference between the probabilities here and those in ``golden.json``.

    Raises:
        OutputError: the verdict differs, a probability differs by more than ``PROBABILITY_TOLERANCE``, or inference
            fails.
    """
    prediction = _predict(package, model, golden["file"])
    pairs = [(probability, golden["p_noise"][kind]) for kind, probability in prediction.noise.probabilities.items()]
    if golden["p_defect"] is not None:
        pairs.append((_require_verdict(package, prediction, golden), golden["p_defect"]))
    largest = float(np.max([abs(actual - expected) for actual, expected in pairs]))  # NaN stays, unlike in max
    if not largest <= PROBABILITY_TOLERANCE:
        raise OutputError(
            f"{package.path}: a probability of {golden['file']} differs by {largest:.4f} from that of the training "
            f"machine (allowed {PROBABILITY_TOLERANCE:g}); do not use this bundle on this machine"
        )
    return largest


def _require_verdict(package: BundlePackage, prediction: Prediction, golden: GoldenSample) -> float:
    """Require the verdict of a golden sample, unless it is borderline; returns the probability of defect."""
    rule = read_decision_rule(package.manifest)
    if prediction.p_defect is None or rule is None:
        raise OutputError(
            f"{package.path}: expected the verdict {golden['verdict']} for {golden['file']}, got none; do not use "
            "this bundle"
        )
    verdict = rule.verdict(prediction.p_defect)
    if verdict != golden["verdict"] and not _is_borderline(golden["p_defect"] or 0.0, rule):
        raise OutputError(
            f"{package.path}: expected the verdict {golden['verdict']} for {golden['file']}, got {verdict}; do not "
            "use this bundle on this machine"
        )
    return prediction.p_defect


def _predict(package: BundlePackage, model: OnnxModel, name: str) -> Prediction:
    data = package.read(name)
    try:
        return model.predict(imaging.decode_image(data, model.channels, name), denoise=model.always_denoises)
    except Exception as error:  # ONNX Runtime raises exceptions of many types
        raise OutputError(f"{package.path}: {name} cannot be inspected here ({first_error_line(error)})") from None


def _is_borderline(p_defect: float, rule: DecisionRule) -> bool:
    """Whether an allowed difference changes the verdict, as it may with a rule that was tuned later."""
    offsets = (-PROBABILITY_TOLERANCE, 0.0, PROBABILITY_TOLERANCE)
    return len({rule.verdict(min(max(p_defect + offset, 0.0), 1.0)) for offset in offsets}) > 1


def _run_with_timeout(seconds: float, package: BundlePackage, work: Callable[[RunControl], ResultT]) -> ResultT:
    control = RunControl()
    try:
        return _call_with_timeout(seconds, lambda: work(control), control.terminate)
    except TimeoutError:
        raise OutputError(
            f"{package.path}: the graphs did not finish within {seconds:g} s; do not use this bundle"
        ) from None


def _run_tile_graphs(package: BundlePackage, control: RunControl) -> None:
    """Run the graphs that only large images need, on an image that is processed in tiles."""
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


def _call_with_timeout(seconds: float, work: Callable[[], ResultT], stop: Callable[[], None]) -> ResultT:
    """Call a function in a separate thread, with a time limit.

    Args:
        seconds: the time limit.
        work: the function; its exceptions are raised here.
        stop: called after the time limit, to end the work. If that fails, the daemon thread continues, but does not
            keep the process alive.

    Raises:
        TimeoutError: the function did not return in time.
    """
    result_future: Future[ResultT] = Future()

    def run() -> None:
        try:
            result_future.set_result(work())
        except BaseException as error:  # raised in the waiting thread
            result_future.set_exception(error)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        return result_future.result(seconds)
    except TimeoutError:
        stop()
        raise
