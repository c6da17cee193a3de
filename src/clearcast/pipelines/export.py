"""Export of a study's run as a bundle, of a bundle's folder as a zip, and of a zip as a folder."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from clearcast.bundle.archive import copy_bundle, create_bundle, is_bundle
from clearcast.bundle.manifest import MANIFEST_FILE, SIGNATURE_FILE, TrainingManifest
from clearcast.bundle.signing import TrustedSigners, read_private_key, sign_manifest
from clearcast.core import imaging
from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Evidence
from clearcast.data.sheet import Sheet, SheetColumns, SheetReading, SheetRow, read_sheet
from clearcast.inference.drift_statistics import DriftReference
from clearcast.pipelines.bundle_writer import describe_trained_networks, make_torch_predictor, write_bundle
from clearcast.pipelines.golden_samples import compute_drift_reference, drift_reference_row, load_sample_images
from clearcast.pipelines.published_bundle import PublishedNetworks, load_published_networks
from clearcast.train.run_directory import RunDirectory, read_run_csv
from clearcast.types import Subset

_REFERENCE_IMAGES = 60  # test images at most, for the drift reference


@dataclass(frozen=True, kw_only=True)
class SheetLocation:
    """Current location of the sheet that a run or a bundle was made from, by the options given; None if not moved."""

    sheet: Path | None = None
    root: Path | None = None
    strip_prefix: tuple[str, ...] = ()


def export_bundle(
    source: Path,
    out: Path,
    *,
    location: SheetLocation = SheetLocation(),
    trust: TrustedSigners | None = None,
    key: Path | None = None,
) -> None:
    """Write a bundle as a folder, or as one file if ``out`` ends in .zip.

    Args:
        source: a bundle, which is verified and copied, or a study's run.
        out: must not exist.
        location: the sheet of a run; its images check the parity of the graphs.
        trust: requires a bundle with a signature of one of these keys; None: requires none.
        key: the private key to sign with; None: a bundle's signature is copied.

    Raises:
        ClearcastError: ``out`` exists; ``source`` is neither, damaged, or not signed as ``trust`` requires; the key
            cannot be used; the images of a run are missing; a graph differs from its network.
    """
    if is_bundle(source):
        copy_bundle(source, out, trust=trust, key=key)
        return
    if trust:
        raise OutputError(f"{source}: expected a signed bundle, got a study's run, which has no signature")
    secret = read_private_key(key) if key else None
    with create_bundle(out) as folder:
        _export_run(RunDirectory(path=source), folder, location)
        if secret:
            (folder / SIGNATURE_FILE).write_bytes(sign_manifest((folder / MANIFEST_FILE).read_bytes(), secret))


def read_training_sheet(run: RunDirectory, location: SheetLocation) -> Sheet:
    """Read the sheet that a run or a bundle was made from, at its location if it was moved.

    Raises:
        OutputError: it is not there, or it was changed.
    """
    metadata = run.metadata
    path = location.sheet or Path(str(metadata.get("sheet", "")))
    root = location.root or (Path(str(metadata["root"])) if "root" in metadata and location.sheet is None else None)
    if not path.is_file():
        raise OutputError(
            f"{run.path}: its sheet is not at {path}, and its images are required; give its new path with --sheet"
        )
    reading = SheetReading.from_json(metadata["question"].get("reading", {}))
    if location.strip_prefix:
        reading = replace(reading, strip_prefix=location.strip_prefix)
    sheet = read_sheet(path, columns=SheetColumns(**metadata["question"]["columns"]), root=root, reading=reading)
    if sheet.sha256 != metadata["question"]["sheet_sha256"]:
        raise OutputError(
            f"{path} is not the sheet that {run.path} was made from (SHA-256); give that one with --sheet"
        )
    return sheet


def _export_run(run: RunDirectory, folder: Path, location: SheetLocation) -> None:
    recipe = run.metadata["question"].get("recipe")
    if not isinstance(recipe, dict):
        raise OutputError(f"{run.path}: expected a bundle or a study's run, got an unfinished bundle or a benchmark")
    networks = load_published_networks(run)
    trained = _describe_run(run, networks)
    shutil.copyfile(run.split, folder / "split.csv")
    sheet, rows = _read_rows(run, location)
    samples = load_sample_images(sheet, rows[Subset.TRAIN], networks.recipe.input.channels)
    write_bundle(
        folder, networks, trained, sample_images=samples, drift_reference=_drift_reference(run, networks, sheet, rows)
    )


def _describe_run(run: RunDirectory, networks: PublishedNetworks) -> TrainingManifest:
    """Describe the networks for the manifest.

    Raises:
        OutputError: the run has no evidence yet.
    """
    evidence = run.path / "evidence.json"
    if not evidence.exists():
        raise OutputError(f"{run.path}: has no evidence.json; create it with 'clearcast report {run.path}'")
    metadata, split = run.metadata, read_run_csv(run.split)
    shape = [networks.recipe.input.size] * 2
    trained = describe_trained_networks(
        networks.recipe.name,
        trained_on={
            "sheet": Path(str(metadata["sheet"])).name,
            "sheet_sha256": metadata["question"]["sheet_sha256"],
            "rows": {subset.value: int((split["split"] == subset.value).sum()) for subset in Subset},
            "split": metadata["split"],
            "parts": int(split["part"].nunique()),
            "parts_source": metadata["parts_source"],
            "channels": networks.recipe.input.channels.value,
            "shape": shape,
        },
        effort={
            "seed": metadata["question"]["seed"],
            "plan": {},
            "minutes": {},
            "device": "",
            "budget_minutes": None,
        },
        classifier={"shape": shape, "temperature": 1.0, "threshold": 0.0, "crossfitted": False},
        measured=cast(Evidence, json.loads(evidence.read_text(encoding="utf-8"))),
    )
    return {**trained, "clearcast": str(metadata.get("clearcast", trained["clearcast"]))}


def _drift_reference(
    run: RunDirectory, networks: PublishedNetworks, sheet: Sheet, rows: dict[Subset, list[SheetRow]]
) -> DriftReference:
    """Compute the drift reference from test rows or, if there are none, from training rows."""
    subset = Subset.TEST if rows[Subset.TEST] else Subset.TRAIN
    indices = np.linspace(0, len(rows[subset]) - 1, min(len(rows[subset]), _REFERENCE_IMAGES)).astype(int)
    chosen = [rows[subset][index] for index in indices]
    predict, channels = make_torch_predictor(networks), networks.recipe.input.channels
    images = (imaging.load_image(sheet.resolve(row.noisy), channels) for row in chosen)
    table = pd.DataFrame([drift_reference_row(image, predict(image)) for image in images])
    parts = read_run_csv(run.split).set_index("row")["part"]
    table["part"] = [parts[row.number] for row in chosen]
    return compute_drift_reference(table, subset)


def _read_rows(run: RunDirectory, location: SheetLocation) -> tuple[Sheet, dict[Subset, list[SheetRow]]]:
    """Read the sheet of a run, and list its rows by subset."""
    sheet = read_training_sheet(run, location)
    subsets = read_run_csv(run.split).set_index("row")["split"].to_dict()
    return sheet, {subset: [row for row in sheet.rows if subsets.get(row.number) == subset] for subset in Subset}
