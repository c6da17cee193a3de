"""Golden samples: a few images with their predictions at training time, to verify a bundle on this machine."""

from typing import TypedDict, cast

import numpy as np

from clearcast import imaging
from clearcast.checks import ROUNDING
from clearcast.errors import OutputError, first_line
from clearcast.runtime.answers import Prediction
from clearcast.runtime.conforming import conforms, parse_json
from clearcast.runtime.manifest import noise_types_of
from clearcast.runtime.model import Model
from clearcast.runtime.package import Package
from clearcast.runtime.verdicts import Rule, rule_of

GOLDEN = "golden.json"
TOLERANCE = 1e-3  # largest allowed difference of a probability


class Golden(TypedDict):
    """An image of ``golden.json`` with the prediction of the PyTorch networks.

    ``file``: such as ``golden/0.png``. ``p_defect`` and ``verdict`` are None if the bundle gives no verdicts.
    ``p_noise``: by noise type.
    """

    file: str
    p_defect: float | None
    verdict: str | None
    noise_type: str
    p_noise: dict[str, float]


def read_golden(package: Package) -> list[Golden]:
    """Read the golden samples of a bundle, at least one.

    Raises:
        OutputError: the file is missing, was changed, or is invalid.
    """
    text = package.read(GOLDEN)
    try:
        golden = parse_json(text)
    except (ValueError, RecursionError):
        golden = None
    if not isinstance(golden, list) or not golden or not all(_is_golden(each, package) for each in golden):
        raise OutputError(f"{package.path}: {GOLDEN} has no valid golden samples; recreate the bundle")
    return cast(list[Golden], golden)


def _is_golden(each: object, package: Package) -> bool:
    if not conforms(each, Golden):
        return False
    golden = cast(Golden, each)
    chances = [*golden["p_noise"].values(), golden["p_defect"] or 0.0]
    listed = {*noise_types_of(package.manifest)} <= {*golden["p_noise"]}
    return listed and all(-ROUNDING <= chance <= 1 + ROUNDING for chance in chances)


def compare_golden(package: Package, model: Model, golden: Golden) -> float:
    """Return the largest difference between the probabilities here and those in ``golden.json``.

    Raises:
        OutputError: the verdict differs, a probability differs by more than ``TOLERANCE``, or inference fails.
    """
    prediction = _predict(package, model, golden["file"])
    pairs = [(chance, golden["p_noise"][kind]) for kind, chance in prediction.noise.probabilities.items()]
    rule = rule_of(package.manifest)
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
    if not largest <= TOLERANCE:
        raise OutputError(
            f"{package.path}: a probability of {golden['file']} differs by {largest:.4f} from that of the training "
            f"machine (allowed {TOLERANCE:g}); do not use this bundle on this machine"
        )
    return largest


def _predict(package: Package, model: Model, name: str) -> Prediction:
    data = package.read(name)
    try:
        return model.predict(imaging.decode(data, model.channels, name), denoise=model.always_denoises)
    except Exception as error:  # ONNX Runtime raises exceptions of many types
        raise OutputError(f"{package.path}: {name} cannot be inspected here ({first_line(error)})") from None


def _is_borderline(p_defect: float, rule: Rule) -> bool:
    """Whether an allowed difference changes the verdict, as it may with a rule that was tuned later."""
    return len({rule.verdict(min(max(p_defect + off, 0.0), 1.0)) for off in (-TOLERANCE, 0.0, TOLERANCE)}) > 1
