"""What a bundle says of itself, and the check that its files are those that were written."""

import hashlib
import json
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from clearcast.errors import OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.files import replace_file

FORMAT = 1
MANIFEST = "manifest.json"


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
    plan: dict[str, int]
    minutes: dict[str, float]
    device: str
    budget_minutes: float | None


class JudgeFacts(TypedDict):
    """What the judge needs besides weights.

    ``shape``: (height, width) in pixels that restored pictures are judged at. A logit divided by ``temperature`` is a
    calibrated log-odds of defect; a logit above ``threshold`` is the verdict defect. ``crossfitted``: whether both were
    chosen by what judges said of parts that they had not learned from; else they are 1 and 0.
    """

    shape: list[int]
    temperature: float
    threshold: float
    crossfitted: bool


class Manifest(TypedDict):
    """The content of ``manifest.json``.

    ``files``: the SHA-256 of every other file, by its name. ``judge`` is None where nothing could be learned about
    verdicts, and then ``no_judge`` says why. ``measured``: figures on test rows, with intervals (see
    ``evaluation/evidence/contract.py``). ``noise_made_anew``: whether that is with noise made for the purpose, because
    no test row is noisy; bundles from before there was such measuring do not say, and it is not.
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


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, after all other files: with it the folder is a bundle. Its ``files`` are filled in here."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    manifest["files"] = {path.name: _sha256(path) for path in paths}
    with replace_file(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest and make sure of its files.

    Raises:
        OutputError: not a bundle, of another format, or a file is missing or changed.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OutputError(f"{folder}: not a bundle (no {MANIFEST}); make one with 'clearcast train'") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} is damaged ({error}); copy the bundle again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise OutputError(f"{folder}: a bundle of format {found!r}; this version reads format {FORMAT}")
    missing = sorted(Manifest.__required_keys__ - set(manifest))
    if missing or not isinstance(manifest["files"], dict):
        raise OutputError(f"{path} is damaged (it does not say {', '.join(missing) or 'files'}); copy the bundle again")
    for name, expected in manifest["files"].items():
        _require_file(folder, name, expected)
    return cast(Manifest, manifest)


def _require_file(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise OutputError(f"{folder}: its manifest names {name!r}, which lies outside; do not use this bundle")
    if not path.is_file():
        raise OutputError(f"{folder}: {name} is missing; copy the bundle again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder}: {name} is a link that leads outside; copy the bundle with the file itself")
    if _sha256(path) != expected:
        raise OutputError(f"{folder}: {name} is not the file that was written (SHA-256); copy the bundle again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
