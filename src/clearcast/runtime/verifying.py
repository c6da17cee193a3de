"""Whether a bundle is whole, and says on this machine what it said where it was made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from clearcast import imaging
from clearcast.domain import NoiseType, Verdict
from clearcast.errors import OutputError
from clearcast.imaging import Picture
from clearcast.runtime.manifest import Manifest
from clearcast.runtime.model import DETAIL, SURVEY, Model
from clearcast.runtime.package import Package, open_package

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
    golden = _golden(package)
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
        raise OutputError(f"{package.path}: its graphs do not run here ({str(error).splitlines()[0]})") from None


def _golden(package: Package) -> list[Golden]:
    text = package.read(GOLDEN)
    try:
        golden = json.loads(text)
    except ValueError:
        golden = None
    if not isinstance(golden, list) or not golden or not all(map(_is_golden, golden)):
        raise OutputError(f"{package.path}: its {GOLDEN} says nothing of golden pictures; make the bundle again")
    return cast(list[Golden], golden)


def _is_golden(each: object) -> bool:
    return isinstance(each, dict) and Golden.__required_keys__ <= each.keys() and {*NoiseType} <= {*each["p_noise"]}


def _difference(package: Package, model: Model, golden: Golden) -> float:
    """The largest difference of a probability."""
    picture: Picture = imaging.decode(package.read(golden["file"]), model.channels, golden["file"])
    answers = model.answer(picture.reshape(1, *picture.shape[:2], -1))
    pairs = list(zip(answers.p_noise[0].tolist(), (golden["p_noise"][kind] for kind in NoiseType), strict=True))
    threshold = package.manifest["threshold"]
    if golden["p_defect"] is not None and answers.p_defect is not None and threshold is not None:
        chance = float(answers.p_defect[0])
        pairs.append((chance, golden["p_defect"]))
        verdict = Verdict.DEFECT if chance > threshold else Verdict.OK
        if verdict != golden["verdict"]:
            raise OutputError(
                f"{package.path}: {golden['file']} is judged {verdict} here, and was {golden['verdict']} where the "
                "bundle was made; do not use it on this machine"
            )
    largest: float = max(abs(here - there) for here, there in pairs)
    if not largest <= TOLERANCE:
        raise OutputError(
            f"{package.path}: a probability of {golden['file']} differs by {largest:.4f} from where the bundle was "
            f"made; at most {TOLERANCE:g} is allowed; do not use it on this machine"
        )
    return largest
