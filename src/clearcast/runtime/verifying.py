"""Whether a bundle is whole, and says on this machine what it said where it was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from clearcast import imaging
from clearcast.checks import ROUNDING
from clearcast.domain import NoiseType
from clearcast.errors import OutputError, first_line
from clearcast.imaging import Picture
from clearcast.runtime.answers import Answers
from clearcast.runtime.conforming import conforms, parse_json
from clearcast.runtime.manifest import Manifest
from clearcast.runtime.model import DETAIL, SURVEY, Model
from clearcast.runtime.package import Package, open_package
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


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found: all is well. ``largest_difference``: of any probability of the golden pictures."""

    manifest: Manifest
    files: int
    pictures: int
    largest_difference: float


def verify(path: Path) -> Verified:
    """Check a bundle's files, load its graphs, and inspect its golden pictures.

    Raises:
        OutputError: something is not as it was written; the message says what.
    """
    package = open_package(path)
    package.check()
    model = _loaded(package)
    golden = read_golden(package)
    largest = max((_difference(package, model, each) for each in golden), default=0.0)
    return Verified(
        manifest=package.manifest, files=len(package.names()), pictures=len(golden), largest_difference=largest
    )


def _loaded(package: Package) -> Model:
    """The graphs, after running each of them, on a picture that goes through in tiles."""
    try:
        if {SURVEY, DETAIL} <= set(package.names()):
            depth = imaging.Channels(package.manifest["trained_on"]["channels"]).depth
            Model(package, whole=1, tile=64).answer(np.zeros((1, 72, 80, depth), np.uint8))
        return Model(package)
    except OutputError:
        raise
    except Exception as error:  # ONNX Runtime raises many kinds
        raise OutputError(f"{package.path}: its graphs do not run here ({first_line(error)})") from None


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
    if not isinstance(golden, list) or not golden or not all(map(_is_golden, golden)):
        raise OutputError(f"{package.path}: its {GOLDEN} says nothing of golden pictures; make the bundle again")
    return cast(list[Golden], golden)


def _is_golden(each: object) -> bool:
    if not conforms(each, Golden):
        return False
    golden = cast(Golden, each)
    chances = [*golden["p_noise"].values(), golden["p_defect"] or 0.0]
    return {*NoiseType} <= {*golden["p_noise"]} and all(-ROUNDING <= chance <= 1 + ROUNDING for chance in chances)


def _difference(package: Package, model: Model, golden: Golden) -> float:
    """The largest difference of a probability."""
    answers = _answer(package, model, golden["file"])
    pairs = list(zip(answers.p_noise[0].tolist(), (golden["p_noise"][kind] for kind in NoiseType), strict=True))
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
