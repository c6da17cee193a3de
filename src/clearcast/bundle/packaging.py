"""``clearcast export``: a bundle of a study's run, or of a bundle from before there were graphs; a folder to a zip."""

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast import imaging
from clearcast.bundle.exporting import write_graphs, write_published
from clearcast.bundle.finishing import finish
from clearcast.bundle.golden import examples
from clearcast.bundle.networks import load_networks, predict_networks
from clearcast.bundle.proving import Ask
from clearcast.bundle.published import ask_published, load_published, trained_of, weights_of
from clearcast.bundle.reference import look_of, reference_of
from clearcast.data.sheet import Columns, Reading, Row, Sheet, read_sheet
from clearcast.domain import Subset
from clearcast.errors import OutputError
from clearcast.evaluation.study.folder import RunFolder, read_csv
from clearcast.imaging import Channels
from clearcast.runtime.manifest import MANIFEST, SIGNATURE, Graph, Trained
from clearcast.runtime.repacking import has_graphs, new_bundle, repack
from clearcast.runtime.signing import Trust, read_private_key, sign

_LOOKED_AT = 60  # test pictures at most, for the reference


@dataclass(frozen=True, kw_only=True)
class Data:
    """The sheet that something was trained on, where it is now: None, or nothing, for what it was then."""

    sheet: Path | None = None
    root: Path | None = None
    strip_prefix: tuple[str, ...] = ()


def export(
    source: Path, out: Path, *, data: Data = Data(), trust: Trust | None = None, key: Path | None = None
) -> None:
    """Write a bundle with graphs, as a folder or, where ``out`` ends in .zip, as one file.

    Args:
        source: a bundle, which is checked and copied, after writing graphs if it has none; or a study's run.
        out: must not be there.
        data: the pictures that a run or a bundle without graphs was trained on, by which its graphs are proved.
        trust: whose signature ``source`` must have, which is a bundle then; None: it needs none.
        key: the private key to sign with; None: a signature that is there is copied with a bundle that has graphs.

    Raises:
        ClearcastError: ``out`` is there; ``source`` is not signed as ``trust`` asks; the key cannot be used; ``source``
            is neither, or damaged; its pictures are not there; a graph says something else than its network.
    """
    if has_graphs(source):
        repack(source, out, trust=trust, key=key)
        return
    secret = read_private_key(key) if key else None
    with new_bundle(out) as folder:
        if source.is_file() or (source / MANIFEST).exists():
            _from_old(source, folder, data, trust)
        elif trust:
            raise OutputError(f"{source}: expected a signed bundle, got a study's run, which has no signature")
        else:
            _from_run(RunFolder(path=source), folder, data)
        if secret:
            (folder / SIGNATURE).write_bytes(sign((folder / MANIFEST).read_bytes(), secret))


def _from_old(source: Path, folder: Path, data: Data, trust: Trust | None) -> None:
    if source.is_file():
        raise OutputError(f"{source}: a zip of a bundle without graphs; unzip it, and name the folder")
    networks, trained = load_networks(source, trust)
    for name in trained["files"]:
        shutil.copyfile(source / name, folder / name)
    graphs = write_graphs(networks, folder)
    _finish(folder, RunFolder(path=source), data, trained, graphs, partial(predict_networks, networks))


def _from_run(run: RunFolder, folder: Path, data: Data) -> None:
    recipe = run.about["question"].get("recipe")
    if not isinstance(recipe, dict):
        raise OutputError(f"{run.path}: an unfinished bundle or a benchmark; needed is a bundle or a study's run")
    networks = load_published(run)
    trained = trained_of(run, networks)
    for name, path in (weights_of(run) | {"split.csv": run.split}).items():
        shutil.copyfile(path, folder / name)
    graphs = write_published(networks, folder)
    _finish(folder, run, data, trained, graphs, partial(ask_published, networks))


def _finish(folder: Path, run: RunFolder, data: Data, trained: Trained, graphs: dict[str, Graph], ask: Ask) -> None:
    sheet, rows = _rows(run, data)
    channels = Channels(trained["trained_on"]["channels"])
    tested = rows[Subset.TEST] or rows[Subset.TRAIN]
    places = np.linspace(0, len(tested) - 1, min(len(tested), _LOOKED_AT)).astype(int)
    seen = (imaging.load(sheet.resolve(tested[place].noisy), channels) for place in places)
    table = pd.DataFrame([look_of(picture, ask(picture)) for picture in seen])
    parts = read_csv(run.split).set_index("row")["part"]
    table["part"] = [parts[tested[place].number] for place in places]
    looks = reference_of(table, Subset.TEST if rows[Subset.TEST] else Subset.TRAIN)
    finish(folder, trained, graphs, ask, examples(sheet, rows[Subset.TRAIN], channels), looks)


def _rows(run: RunFolder, data: Data) -> tuple[Sheet, dict[Subset, list[Row]]]:
    """The rows that a run was made of, by what they were used for."""
    sheet = sheet_of(run, data)
    used = read_csv(run.split).set_index("row")["split"].to_dict()
    return sheet, {each: [row for row in sheet.rows if used.get(row.number) == each] for each in Subset}


def sheet_of(run: RunFolder, data: Data) -> Sheet:
    """The sheet that a run or a bundle was made of.

    Raises:
        OutputError: it is not where it was, or is another now.
    """
    about = run.about
    path = data.sheet or Path(str(about.get("sheet", "")))
    root = data.root or (Path(str(about["root"])) if "root" in about and data.sheet is None else None)
    if not path.is_file():
        raise OutputError(
            f"{run.path}: its sheet is not at {path}, and without its pictures this cannot be done; name where it is "
            "with --sheet"
        )
    reading = Reading.from_json(about["question"].get("reading", {}))
    if data.strip_prefix:
        reading = replace(reading, strip_prefix=data.strip_prefix)
    sheet = read_sheet(path, columns=Columns(**about["question"]["columns"]), root=root, reading=reading)
    if sheet.sha256 != about["question"]["sheet_sha256"]:
        raise OutputError(f"{path} is not the sheet that {run.path} was made of (SHA-256); name that with --sheet")
    return sheet
