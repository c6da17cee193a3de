"""Export of a bundle: a study's run as a bundle, a bundle's folder as a zip, and a zip as a folder."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from clearcast import imaging
from clearcast.bundle.golden import examples
from clearcast.bundle.pipeline import describe_networks, predictor_of, write_bundle
from clearcast.bundle.published import Published, load_published
from clearcast.bundle.reference import look_of, reference_of
from clearcast.data.sheet import Columns, Reading, Row, Sheet, read_sheet
from clearcast.domain import Subset
from clearcast.errors import OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.study.folder import RunFolder, read_csv
from clearcast.runtime.manifest import MANIFEST, SIGNATURE, Trained
from clearcast.runtime.reference import Reference
from clearcast.runtime.repacking import has_graphs, new_bundle, repack
from clearcast.runtime.signing import Trust, read_private_key, sign

_REFERENCE_IMAGES = 60  # test images at most, for the drift reference


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the sheet of a training is now; None, or nothing, if it has not moved."""

    sheet: Path | None = None
    root: Path | None = None
    strip_prefix: tuple[str, ...] = ()


def export(
    source: Path, out: Path, *, data: Data = Data(), trust: Trust | None = None, key: Path | None = None
) -> None:
    """Write a bundle as a folder, or as one file if ``out`` ends in .zip.

    Args:
        source: a bundle, which is verified and copied, or a study's run.
        out: must not exist.
        data: the sheet of a run; its images check the parity of the graphs.
        trust: requires a bundle with a signature of one of these keys; None: requires none.
        key: the private key to sign with; None: a bundle's signature is copied.

    Raises:
        ClearcastError: ``out`` exists; ``source`` is neither, damaged, or not signed as ``trust`` requires; the key
            cannot be used; the images of a run are missing; a graph differs from its network.
    """
    if has_graphs(source):
        repack(source, out, trust=trust, key=key)
        return
    if trust:
        raise OutputError(f"{source}: expected a signed bundle, got a study's run, which has no signature")
    secret = read_private_key(key) if key else None
    with new_bundle(out) as folder:
        _export_run(RunFolder(path=source), folder, data)
        if secret:
            (folder / SIGNATURE).write_bytes(sign((folder / MANIFEST).read_bytes(), secret))


def _export_run(run: RunFolder, folder: Path, data: Data) -> None:
    recipe = run.metadata["question"].get("recipe")
    if not isinstance(recipe, dict):
        raise OutputError(f"{run.path}: expected a bundle or a study's run, got an unfinished bundle or a benchmark")
    networks = load_published(run)
    trained = _describe_run(run, networks)
    shutil.copyfile(run.split, folder / "split.csv")
    sheet, rows = _rows(run, data)
    samples = examples(sheet, rows[Subset.TRAIN], networks.recipe.input.channels)
    write_bundle(folder, networks, trained, pictures=samples, looks=_drift_reference(run, networks, sheet, rows))


def _describe_run(run: RunFolder, networks: Published) -> Trained:
    """Describe the networks for the manifest.

    Raises:
        OutputError: the run has no evidence yet.
    """
    evidence = run.path / "evidence.json"
    if not evidence.exists():
        raise OutputError(f"{run.path}: has no evidence.json; create it with 'clearcast report {run.path}'")
    about, split = run.metadata, read_csv(run.split)
    shape = [networks.recipe.input.size] * 2
    trained = describe_networks(
        networks.recipe.name,
        trained_on={
            "sheet": Path(str(about["sheet"])).name,
            "sheet_sha256": about["question"]["sheet_sha256"],
            "rows": {subset.value: int((split["split"] == subset.value).sum()) for subset in Subset},
            "split": about["split"],
            "parts": int(split["part"].nunique()),
            "parts_source": about["parts_source"],
            "channels": networks.recipe.input.channels.value,
            "shape": shape,
        },
        effort={
            "seed": about["question"]["seed"],
            "plan": {},
            "minutes": {},
            "device": "",
            "budget_minutes": None,
        },
        judge={"shape": shape, "temperature": 1.0, "threshold": 0.0, "crossfitted": False},
        measured=cast(Evidence, json.loads(evidence.read_text(encoding="utf-8"))),
    )
    return {**trained, "clearcast": str(about.get("clearcast", trained["clearcast"]))}


def _drift_reference(run: RunFolder, networks: Published, sheet: Sheet, rows: dict[Subset, list[Row]]) -> Reference:
    """The drift reference of test rows or, if there are none, of training rows."""
    subset = Subset.TEST if rows[Subset.TEST] else Subset.TRAIN
    places = np.linspace(0, len(rows[subset]) - 1, min(len(rows[subset]), _REFERENCE_IMAGES)).astype(int)
    chosen = [rows[subset][place] for place in places]
    predict, channels = predictor_of(networks), networks.recipe.input.channels
    images = (imaging.load(sheet.resolve(row.noisy), channels) for row in chosen)
    table = pd.DataFrame([look_of(image, predict(image)) for image in images])
    parts = read_csv(run.split).set_index("row")["part"]
    table["part"] = [parts[row.number] for row in chosen]
    return reference_of(table, subset)


def _rows(run: RunFolder, data: Data) -> tuple[Sheet, dict[Subset, list[Row]]]:
    """The sheet of a run, and its rows by subset."""
    sheet = sheet_of(run, data)
    used = read_csv(run.split).set_index("row")["split"].to_dict()
    return sheet, {each: [row for row in sheet.rows if used.get(row.number) == each] for each in Subset}


def sheet_of(run: RunFolder, data: Data) -> Sheet:
    """Read the sheet that a run or a bundle was made from.

    Raises:
        OutputError: it was moved or changed.
    """
    about = run.metadata
    path = data.sheet or Path(str(about.get("sheet", "")))
    root = data.root or (Path(str(about["root"])) if "root" in about and data.sheet is None else None)
    if not path.is_file():
        raise OutputError(
            f"{run.path}: its sheet, whose images are needed, is not at {path}; give its new place with --sheet"
        )
    reading = Reading.from_json(about["question"].get("reading", {}))
    if data.strip_prefix:
        reading = replace(reading, strip_prefix=data.strip_prefix)
    sheet = read_sheet(path, columns=Columns(**about["question"]["columns"]), root=root, reading=reading)
    if sheet.sha256 != about["question"]["sheet_sha256"]:
        raise OutputError(f"{path} is not the sheet that {run.path} was made from (SHA-256); give that with --sheet")
    return sheet
