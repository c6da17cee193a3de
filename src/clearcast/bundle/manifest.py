"""Manifest of a bundle (``manifest.json``): its schema, reading, writing, fingerprint and seal."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NotRequired, TypedDict, cast

from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Evidence
from clearcast.core.files import replace_file
from clearcast.core.json_schema import invalid_fields, parse_json
from clearcast.noise.registry import NoiseType

BUNDLE_FORMAT = 2
MANIFEST_FILE = "manifest.json"
_LEGACY_NOISE_TYPES = ("gaussian", "salt_and_pepper", "periodic", "none")  # of bundles whose manifest lists none
SIGNATURE_FILE = "manifest.sig"  # signs the bytes of the manifest; see ``signing``


class TrainingDataInfo(TypedDict):
    """Data that a bundle was trained on."""

    sheet: str
    sheet_sha256: str
    rows: dict[str, int]
    split: str
    parts: int
    parts_source: str
    channels: str
    shape: list[int]


class TrainingEffort(TypedDict):
    """Training of a bundle: seed, steps (see ``TrainingPlan``), minutes of each phase, device, and budget, if any."""

    seed: int
    plan: dict[str, int | None]
    minutes: dict[str, float]
    device: str
    budget_minutes: float | None


class ClassifierMetadata(TypedDict):
    """Settings of the defect classifier.

    ``shape``: (height, width) in pixels that images are classified at. ``temperature``: a logit divided by it is the
    calibrated log-odds of defect. ``threshold``: a logit above it is the verdict defect. ``crossfitted``: whether both
    were chosen on out-of-fold predictions; if not, they are 1 and 0. ``retake_distance``: the verdict is retake if the
    calibrated log-odds are nearer than this to those of the threshold; absent: never.
    """

    shape: list[int]
    temperature: float
    threshold: float
    crossfitted: bool
    retake_distance: NotRequired[float]


class ParityResult(TypedDict):
    """Result of the parity check of ONNX Runtime against PyTorch.

    ``flips``: verdicts that differ. ``largest_difference``: of any probability. ``pixels_off``: the largest share of an
    image's denoised pixels that differ by more than one grey level, 0..1.
    """

    pictures: int
    flips: int
    largest_difference: float
    pixels_off: float


class GraphInterface(TypedDict):
    """Input and output names of an ONNX graph; ``clearcast.pipelines.onnx_graphs`` describes each."""

    inputs: list[str]
    outputs: list[str]


class TrainingManifest(TypedDict):
    """Part of the manifest that describes the trained networks.

    ``files``: the SHA-256 of every other file, by name, such as ``inspect.onnx`` or ``golden/0.png``. ``judge``: None
    if no classifier could be trained; ``no_judge`` is the reason. ``measured``: figures on test rows, with confidence
    intervals (see ``core.evidence_schema``). ``noise_made_anew``: whether noise was added to the test rows
    because none is noisy; absent: no. ``distilled_from``: name and fingerprint of the teacher bundle. ``noise_types``:
    the classes of noise in the order of the networks' outputs; read them with ``noise_types_of``.
    """

    format: int
    recipe: str
    clearcast: str
    created: str
    files: dict[str, str]
    trained_on: TrainingDataInfo
    effort: TrainingEffort
    judge: ClassifierMetadata | None
    no_judge: str | None
    measured: Evidence
    noise_made_anew: NotRequired[bool]
    distilled_from: NotRequired[str]
    noise_types: NotRequired[list[str]]


class Manifest(TrainingManifest):
    """Content of ``manifest.json``.

    ``threshold``: the probability of defect above which the verdict is defect, 0..1, equal to that of ``judge``; None
    without a classifier. ``fingerprint``: SHA-256 of ``files``, the identity of the bundle. ``graphs``: by file name.
    ``versions``: of the packages that exported and checked the graphs. ``seal``: SHA-256 of the rest of the manifest,
    which detects a changed threshold.
    """

    threshold: float | None
    licence: str
    fingerprint: str
    graphs: dict[str, GraphInterface]
    versions: dict[str, str]
    parity: ParityResult
    seal: str


class _TrainedOnFields(TypedDict):
    sheet: str
    channels: Channels


class _CheckedFields(TypedDict):
    """Fields whose types are checked when a manifest is read; fingerprint and seal are checked separately."""

    recipe: str
    clearcast: str
    created: str
    trained_on: _TrainedOnFields
    judge: ClassifierMetadata | None
    no_judge: str | None
    threshold: float | None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder, after all its other files; it makes the folder a bundle.

    ``files``, ``fingerprint`` and ``seal`` are filled in here, from all files of the folder and of ``golden/`` except
    hidden ones, which belong to the system. An earlier signature is deleted.
    """
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    present = (*folder.iterdir(), *folder.glob("golden/*"))
    paths = [
        path for path in present if path.is_file() and path.name != MANIFEST_FILE and not path.name.startswith(".")
    ]
    files = {path.relative_to(folder).as_posix(): sha256_hex(path.read_bytes()) for path in paths}
    manifest["files"] = dict(sorted(files.items()))
    manifest["fingerprint"] = bundle_fingerprint(manifest["files"])
    manifest["seal"] = manifest_seal(manifest)
    with replace_file(folder / MANIFEST_FILE) as temporary:
        temporary.write_text(
            json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Parse and check a manifest.

    Args:
        text: the file's content.
        where: path of the bundle, for messages.

    Raises:
        OutputError: it is damaged, has another format, or names files outside the bundle.
    """
    manifest = _parse_format(text, where)
    for name in manifest["files"]:
        if not is_bundle_path(name):
            raise OutputError(f"{where}: {MANIFEST_FILE} names {name!r}, which is outside the bundle; do not use it")
    if manifest["fingerprint"] != bundle_fingerprint(manifest["files"]):
        raise OutputError(f"{where}: {MANIFEST_FILE} was changed (fingerprint); copy the bundle again")
    if manifest["seal"] != manifest_seal(manifest):
        raise OutputError(f"{where}: {MANIFEST_FILE} was changed (seal); copy the bundle again")
    if invalid := invalid_fields(dict(manifest), _CheckedFields) or _out_of_range(manifest):
        raise OutputError(
            f"{where}: {MANIFEST_FILE} has an invalid value for {', '.join(invalid)}; recreate the bundle"
        )
    return manifest


def noise_types_of(manifest: TrainingManifest) -> tuple[NoiseType, ...]:
    """Return the noise types that a bundle's networks tell apart, in the order of their outputs."""
    return tuple(map(NoiseType, manifest.get("noise_types", _LEGACY_NOISE_TYPES)))


def bundle_fingerprint(files: dict[str, str]) -> str:
    """Return the SHA-256 of the names and hashes of a bundle's files, in hexadecimal."""
    return sha256_hex("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode())


def manifest_seal(manifest: Mapping[str, object]) -> str:
    """Return the SHA-256 of a manifest without its seal, as JSON with sorted keys, whatever its formatting."""
    content = json.loads(json.dumps({key: value for key, value in manifest.items() if key != "seal"}))
    return sha256_hex(json.dumps(content, sort_keys=True).encode())


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of data in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def is_bundle_path(name: str) -> bool:
    r"""Return whether a name is a plain path inside a bundle, at most one folder deep, on every operating system.

    >>> [is_bundle_path(name) for name in ("a.onnx", "golden/0.png", "../a", "/a", "C:a", "a//b", "a\\b", "a/b/c", "")]
    [True, True, False, False, False, False, False, False, False]
    """
    parts = PurePosixPath(name).parts
    is_plain = name == "/".join(parts) and not set(name) & {"\\", ":", "\0"}
    return is_plain and 1 <= len(parts) <= 2 and not {"/", "..", "."} & set(parts)


def _parse_format(text: bytes, where: str) -> Manifest:
    """Parse a manifest of this format, with all members; their values are not checked."""
    try:
        manifest = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{where}: {MANIFEST_FILE} is damaged ({error}); copy the bundle again") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(manifest, dict) or found != BUNDLE_FORMAT:
        raise OutputError(f"{where}: expected a bundle of format {BUNDLE_FORMAT}, got format {found!r}")
    _require_members(manifest, where)
    _require_noise_types(manifest, where)
    return cast(Manifest, manifest)


def _require_members(manifest: Mapping[str, object], where: str) -> None:
    missing = sorted(Manifest.__required_keys__ - set(manifest))
    files = manifest.get("files")
    if missing or not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        missing_names = ", ".join(missing) or "files"
        raise OutputError(f"{where}: {MANIFEST_FILE} is damaged (it lacks {missing_names}); copy the bundle again")


def _require_noise_types(manifest: Mapping[str, object], where: str) -> None:
    """Reject noise types that this version does not know, since its outputs would be misread."""
    names = manifest.get("noise_types", [*_LEGACY_NOISE_TYPES])
    known = [kind.value for kind in NoiseType]
    if not isinstance(names, list) or not names or any(names.count(name) > 1 or name not in known for name in names):
        raise OutputError(
            f"{where}: its {MANIFEST_FILE} lists the noise types {names!r}; expected some of {', '.join(known)}, each "
            "once. Use the version of clearcast that made the bundle, or a later one"
        )


def _out_of_range(manifest: Manifest) -> list[str]:
    """Return the members that decide verdicts and are out of range."""
    threshold, classifier = manifest["threshold"], manifest["judge"]
    invalid = [] if threshold is None or 0 <= threshold <= 1 else ["threshold"]
    if classifier and not (classifier["temperature"] > 0 and classifier.get("retake_distance", 0) >= 0):
        invalid.append("judge")
    return invalid
