"""What a bundle says of itself."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NotRequired, TypedDict, cast

from clearcast.domain import NoiseType
from clearcast.errors import OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.files import replace_file
from clearcast.imaging import Channels
from clearcast.runtime.conforming import misfits, parse_json

FORMAT = 2
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"  # beside the manifest, whose bytes it signs; see ``signing``
LEGACY_NOISE_TYPES = ("gaussian", "salt_and_pepper", "periodic", "none")  # of bundles whose manifest does not list any
_WITHOUT_GRAPHS = 1  # the format before there were graphs; its weights are read as ever


class TrainedOn(TypedDict):
    """The data that a bundle was made from."""

    sheet: str
    sheet_sha256: str
    rows: dict[str, int]
    split: str
    parts: int
    parts_source: str
    channels: str
    shape: list[int]


class Effort(TypedDict):
    """How a bundle was trained: seed, plan (see ``fitting.Plan``), minutes of each phase, device, budget if any."""

    seed: int
    plan: dict[str, int | None]
    minutes: dict[str, float]
    device: str
    budget_minutes: float | None


class JudgeFacts(TypedDict):
    """What the judge needs besides weights.

    ``shape``: (height, width) in pixels that pictures are judged at. A logit divided by ``temperature`` is a
    calibrated log-odds of defect; a logit above ``threshold`` is the verdict defect. ``crossfitted``: whether both were
    chosen by what judges said of parts that they had not learned from; else they are 1 and 0. ``retake_distance``: a
    picture whose calibrated log-odds are nearer than this to those of the threshold is to be retaken; where it is not
    said, none is.
    """

    shape: list[int]
    temperature: float
    threshold: float
    crossfitted: bool
    retake_distance: NotRequired[float]


class Parity(TypedDict):
    """How near ONNX Runtime came to PyTorch when the graphs were written.

    ``flips``: verdicts that differ. ``largest_difference``: of any probability. ``pixels_off``: the largest share of a
    picture's restored pixels that differ by more than one grey level, 0..1.
    """

    pictures: int
    flips: int
    largest_difference: float
    pixels_off: float


class Graph(TypedDict):
    """The names of what an ONNX graph takes and gives; ``clearcast.bundle.graphs`` says what each is."""

    inputs: list[str]
    outputs: list[str]


class Trained(TypedDict):
    """What is known of a bundle's networks: all that ``manifest.json`` held in format 1, which had no graphs.

    ``files``: the SHA-256 of every other file, by its name, such as ``inspect.onnx`` or ``golden/0.png``. ``judge`` is
    None where nothing could be learned about verdicts, and then ``no_judge`` says why. ``measured``: figures on test
    rows, with intervals (see ``evaluation/evidence/contract.py``). ``noise_made_anew``: whether that is with noise made
    for the purpose, because no test row is noisy; where it is not said, it is not. ``distilled_from``: name and
    fingerprint of the bundle that taught this one. ``noise_types``: the classes of noise in the order of the networks'
    outputs; read it by ``noise_types_of``.
    """

    format: int
    recipe: str
    clearcast: str
    created: str
    files: dict[str, str]
    trained_on: TrainedOn
    effort: Effort
    judge: JudgeFacts | None
    no_judge: str | None
    measured: Evidence
    noise_made_anew: NotRequired[bool]
    distilled_from: NotRequired[str]
    noise_types: NotRequired[list[str]]


class Manifest(Trained):
    """The content of ``manifest.json``.

    ``threshold``: the probability above which the verdict is defect, 0..1, that of ``judge``; None without a judge.
    ``fingerprint``: SHA-256 of ``files``, which is who this bundle is. ``graphs``: by file name. ``versions``: of the
    packages that the graphs were made and compared with. ``seal``: SHA-256 of the rest of the manifest, so that a
    changed threshold is noticed.
    """

    threshold: float | None
    licence: str
    fingerprint: str
    graphs: dict[str, Graph]
    versions: dict[str, str]
    parity: Parity
    seal: str


class _PicturesRead(TypedDict):
    sheet: str
    channels: Channels


class _Read(TypedDict):
    """What inspecting and verifying read of a manifest, besides what fingerprint and seal make sure of."""

    recipe: str
    clearcast: str
    created: str
    trained_on: _PicturesRead
    judge: JudgeFacts | None
    no_judge: str | None
    threshold: float | None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, after all other files: with it the folder is a bundle.

    Its ``files``, ``fingerprint`` and ``seal`` are filled in here, with all files of the folder and of its golden
    pictures, but for hidden ones, which belong to the system. A signature of another manifest is taken away.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)
    there = (*folder.iterdir(), *folder.glob("golden/*"))
    paths = [path for path in there if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")]
    files = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in paths}
    manifest["files"] = dict(sorted(files.items()))
    manifest["fingerprint"] = fingerprint(manifest["files"])
    manifest["seal"] = seal_of(manifest)
    with replace_file(folder / MANIFEST) as temporary:
        temporary.write_text(
            json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Read what ``write_manifest`` wrote.

    Args:
        text: the file's content.
        where: the bundle, for messages.

    Raises:
        OutputError: damaged, of another format, or it names files that are not its own.
    """
    manifest = cast(Manifest, parse_trained(text, where))
    if manifest["format"] == _WITHOUT_GRAPHS:
        raise OutputError(
            f"{where}: a bundle of format {_WITHOUT_GRAPHS} has no ONNX graphs; make one with "
            "'clearcast export OLD NEW'"
        )
    _require(manifest, Manifest.__required_keys__, where)
    if manifest["fingerprint"] != fingerprint(manifest["files"]):
        raise OutputError(f"{where}: its {MANIFEST} was changed (fingerprint); copy the bundle again")
    if manifest["seal"] != seal_of(manifest):
        raise OutputError(f"{where}: its {MANIFEST} was changed (seal); copy the bundle again")
    if wrong := misfits(dict(manifest), _Read) or _out_of_range(manifest):
        raise OutputError(
            f"{where}: its {MANIFEST} says of {', '.join(wrong)} what makes no sense; make the bundle again"
        )
    return manifest


def parse_trained(text: bytes, where: str) -> Trained:
    """The same for who needs the weights alone, so that a bundle from before there were graphs will do."""
    try:
        manifest = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{where}: its {MANIFEST} is damaged ({error}); copy the bundle again") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(manifest, dict) or found not in [FORMAT, _WITHOUT_GRAPHS]:
        raise OutputError(f"{where}: a bundle of format {found!r}; this version reads format {FORMAT}")
    _require(manifest, Trained.__required_keys__, where)
    _require_noise_types(manifest, where)
    for name in manifest["files"]:
        if not is_inside(name):
            raise OutputError(f"{where}: its manifest names {name!r}, which lies outside; do not use this bundle")
    return cast(Trained, manifest)


def noise_types_of(manifest: Trained) -> tuple[NoiseType, ...]:
    """The noise types that a bundle's networks tell apart, in the order of their outputs."""
    return tuple(map(NoiseType, manifest.get("noise_types", LEGACY_NOISE_TYPES)))


def _require_noise_types(manifest: Mapping[str, object], where: str) -> None:
    """Reject classes that this version does not know; no bundle is read with the wrong classes."""
    names = manifest.get("noise_types", [*LEGACY_NOISE_TYPES])
    known = [kind.value for kind in NoiseType]
    if not isinstance(names, list) or not names or any(names.count(name) > 1 or name not in known for name in names):
        raise OutputError(
            f"{where}: its {MANIFEST} lists the noise types {names!r}; expected some of {', '.join(known)}, each once. "
            "Use the version of clearcast that made the bundle, or a later one"
        )


def fingerprint(files: dict[str, str]) -> str:
    """SHA-256 over names and hashes of a bundle's files, in hexadecimal."""
    return sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode())


def seal_of(manifest: Mapping[str, object]) -> str:
    """SHA-256 of what a manifest says but its seal, however it is written: as JSON gives it back, with sorted keys."""
    said = json.loads(json.dumps({key: value for key, value in manifest.items() if key != "seal"}))
    return sha256(json.dumps(said, sort_keys=True).encode())


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def is_inside(name: str) -> bool:
    r"""Whether a name is plainly that of a file of a bundle: at most one folder deep, on every system.

    >>> [is_inside(name) for name in ("a.onnx", "golden/0.png", "../a", "/a", "C:a", "a//b", "a\\b", "a/b/c", "")]
    [True, True, False, False, False, False, False, False, False]
    """
    parts = PurePosixPath(name).parts
    plain = name == "/".join(parts) and not set(name) & {"\\", ":", "\0"}
    return plain and 1 <= len(parts) <= 2 and not {"/", "..", "."} & set(parts)


def _out_of_range(manifest: Manifest) -> list[str]:
    """The members that decide verdicts and have values that cannot be."""
    threshold, judge = manifest["threshold"], manifest["judge"]
    wrong = [] if threshold is None or 0 <= threshold <= 1 else ["threshold"]
    if judge and not (judge["temperature"] > 0 and judge.get("retake_distance", 0) >= 0):
        wrong.append("judge")
    return wrong


def _require(manifest: Mapping[str, object], keys: frozenset[str], where: str) -> None:
    missing = sorted(keys - set(manifest))
    files = manifest.get("files")
    if missing or not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        lack = ", ".join(missing) or "files"
        raise OutputError(f"{where}: its {MANIFEST} is damaged (it does not say {lack}); copy the bundle again")
