"""Golden pictures: what a bundle said of a few pictures where it was made, and whether it says so here."""

from typing import TypedDict, cast

import numpy as np

from clearcast import imaging
from clearcast.checks import ROUNDING
from clearcast.errors import OutputError, first_line
from clearcast.imaging import Picture
from clearcast.runtime.answers import Answers
from clearcast.runtime.conforming import conforms, parse_json
from clearcast.runtime.manifest import noise_types_of
from clearcast.runtime.model import Model
from clearcast.runtime.package import Package
from clearcast.runtime.verdicts import Rule, rule_of

GOLDEN = "golden.json"
TOLERANCE = 1e-3  # by which a probability may differ


class Golden(TypedDict):
    """A picture of ``golden.json`` and what PyTorch said of it where the bundle was made.

    ``file``: such as ``golden/0.png``. ``p_defect`` and ``verdict`` are None where the bundle does not judge.
    ``p_noise``: by noise type.
    """

    file: str
    p_defect: float | None
    verdict: str | None
    noise_type: str
    p_noise: dict[str, float]


def read_golden(package: Package) -> list[Golden]:
    """What is expected of a bundle's golden pictures, at least one.

    Raises:
        OutputError: it is missing, was changed, or makes no sense.
    """
    text = package.read(GOLDEN)
    try:
        golden = parse_json(text)
    except (ValueError, RecursionError):
        golden = None
    if not isinstance(golden, list) or not golden or not all(_is_golden(each, package) for each in golden):
        raise OutputError(f"{package.path}: its {GOLDEN} says nothing of golden pictures; make the bundle again")
    return cast(list[Golden], golden)


def _is_golden(each: object, package: Package) -> bool:
    if not conforms(each, Golden):
        return False
    golden = cast(Golden, each)
    chances = [*golden["p_noise"].values(), golden["p_defect"] or 0.0]
    listed = {*noise_types_of(package.manifest)} <= {*golden["p_noise"]}
    return listed and all(-ROUNDING <= chance <= 1 + ROUNDING for chance in chances)


def compare_golden(package: Package, model: Model, golden: Golden) -> float:
    """The largest difference between what is said of a golden picture here and what was said where it was made.

    Raises:
        OutputError: the verdict is another, a probability differs by more than ``TOLERANCE``, or there is no answer.
    """
    answers = _answer(package, model, golden["file"])
    pairs = list(
        zip(answers.p_noise[0].tolist(), (golden["p_noise"][kind] for kind in answers.noise_types), strict=True)
    )
    rule = rule_of(package.manifest)
    if golden["p_defect"] is not None:
        if answers.p_defect is None or rule is None:
            raise OutputError(
                f"{package.path}: gives no verdict on {golden['file']} here, and gave {golden['verdict']} where it was "
                "made; do not use it"
            )
        chance = float(answers.p_defect[0])
        pairs.append((chance, golden["p_defect"]))
        verdict = rule.verdict(chance)
        if verdict != golden["verdict"] and not _is_near_thing(golden["p_defect"], rule):
            raise OutputError(
                f"{package.path}: {golden['file']} is judged {verdict} here, and was {golden['verdict']} where the "
                "bundle was made; do not use it on this machine"
            )
    largest = float(np.max([abs(here - there) for here, there in pairs]))  # NaN stays, unlike in max
    if not largest <= TOLERANCE:
        raise OutputError(
            f"{package.path}: a probability of {golden['file']} differs by {largest:.4f} from where the bundle was "
            f"made; at most {TOLERANCE:g} is allowed; do not use it on this machine"
        )
    return largest


def _answer(package: Package, model: Model, name: str) -> Answers:
    """What the graphs say of a golden picture."""
    data = package.read(name)
    try:
        picture: Picture = imaging.decode(data, model.channels, name)
        return model.answer(picture.reshape(1, *picture.shape[:2], -1), restored=model.always_restores)
    except Exception as error:  # ONNX Runtime raises many kinds
        raise OutputError(f"{package.path}: {name} cannot be inspected here ({first_line(error)})") from None


def _is_near_thing(p_defect: float, rule: Rule) -> bool:
    """Whether a difference that is allowed makes another verdict: a rule chosen later minds no golden pictures."""
    return len({rule.verdict(min(max(p_defect + off, 0.0), 1.0)) for off in (-TOLERANCE, 0.0, TOLERANCE)}) > 1
