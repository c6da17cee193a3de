"""What a bundle is worth on a labelled sheet, by the runtime that inspects, without torch."""

import json
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from clearcast import imaging
from clearcast.bundle.lines import Opinion, Seen, line_of
from clearcast.bundle.sizes import refuse_tiny
from clearcast.bundle.unlearned import Unlearned, unlearned
from clearcast.cells import protect_table
from clearcast.data.sheet import Row, Sheet
from clearcast.data.usable import usable
from clearcast.errors import ModelOutputError, OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.files import replace_file
from clearcast.imaging import Picture
from clearcast.progress import progress_bar
from clearcast.runtime.engine import cores
from clearcast.runtime.inspector import noise_of
from clearcast.runtime.model import Model
from clearcast.runtime.package import open_package
from clearcast.runtime.signing import Trust
from clearcast.runtime.verdicts import log_odds
from clearcast.runtime.verifying import load_model

_SUREST = 1e-7  # probabilities nearer to 0 and 1 have the same log-odds: float32 does not tell them apart


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What is asked of ``evaluate``.

    Attributes:
        bundle: its folder or zip.
        sheet: labelled pictures with their noise types and noise-free ones.
        groups: see ``read_groups``; None: the sheet's column, or found.
        out: a new or empty folder for the tables; None: none are written.
        skip_bad: leave out rows that cannot be used.
        threads: how many pictures are worked on at a time; None: as many as there are cores.
        trust: whose signature the bundle must have; None: it needs none.
        seed: of the intervals' resamples.
        console: shows progress.
    """

    bundle: Path
    sheet: Sheet
    groups: Path | None = None
    out: Path | None = None
    skip_bad: bool = False
    threads: int | None = None
    trust: Trust | None = None
    seed: int = 7
    console: Console


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What was found.

    Attributes:
        table: a line an image, ``predictions.csv``.
        evidence: figures with intervals.
        learned: how many rows were left out, since the bundle learned from them or chose by them.
    """

    table: pd.DataFrame
    evidence: Evidence
    learned: int


def evaluate(request: EvaluateRequest) -> Evaluated:
    """Inspect the pictures of a sheet, and measure what is said of them; see ``EvaluateRequest``.

    Raises:
        OutputError: the bundle cannot be used, or the folder is not empty.
        SheetError: the sheet or the groups cannot be used, or the bundle learned from all rows.
    """
    package = open_package(request.bundle, request.trust)
    model = load_model(package)
    require_empty(request.out)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_tiny(rows)
    fresh = unlearned([package], rows, request.groups, request.console)
    line = partial(_line, model, package.manifest["threshold"], request.sheet)
    table = table_of(line, fresh, "Measuring pictures", request.threads, request.console)
    evidence = gather_evidence(table, None, None, Wishes(), seed=request.seed)
    if request.out:
        write_file(request.out / "predictions.csv", partial(protect_table(table).to_csv, index=False))
        text = json.dumps(evidence, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_file(request.out / "evidence.json", lambda path: path.write_text(text, encoding="utf-8"))
    return Evaluated(table=table, evidence=evidence, learned=fresh.learned[0])


def table_of(
    line: Callable[[Row, str], dict[Hashable, Any]], fresh: Unlearned, title: str, threads: int | None, console: Console
) -> pd.DataFrame:
    """A line a row, made of the row and its part, several at a time; ``title`` stands beside the progress."""
    lines: list[dict[Hashable, Any]] = []
    with ThreadPoolExecutor(threads or cores()) as pool, progress_bar(console, title, rate=True) as progress:
        for each in pool.map(line, fresh.rows, fresh.parts):
            lines.append(each)
            progress(len(lines), len(fresh.rows))
    return pd.DataFrame(lines).round(6)


def _line(model: Model, threshold: float | None, sheet: Sheet, row: Row, part: str) -> dict[Hashable, Any]:
    noisy = imaging.load(sheet.resolve(row.noisy), model.channels)
    reference = imaging.load(sheet.resolve(row.reference), model.channels) if row.reference else None
    known: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
    known |= {"label": str(row.label), "noise_type": str(row.noise_type)}
    ask = partial(seen_by, model, threshold, row.noisy)
    return known | line_of(noisy, ask(noisy), reference, ask)


def seen_by(model: Model, threshold: float | None, name: str, picture: Picture) -> Seen:
    """What a bundle says of a picture, uint8 in the bundle's channels; ``threshold`` is the bundle's.

    Raises:
        OutputError: what it says cannot be; the message begins with the picture's ``name``.
    """
    try:
        answers = model.answer(picture.reshape(1, *picture.shape[:2], -1))
    except ModelOutputError as error:
        raise OutputError(f"{name}: the bundle gives no answer that can be measured ({error})") from None
    assert answers.restored is not None
    opinion = None
    if answers.p_defect is not None and threshold is not None:
        chance = float(answers.p_defect[0])
        opinion = Opinion(logit=log_odds(chance, _SUREST), defect=chance > threshold)
    return Seen(
        restored=answers.restored[0].reshape(picture.shape),
        noise=noise_of(answers, *picture.shape[:2]),
        tells_levels=answers.levels is not None,
        opinion=opinion,
    )


def require_empty(out: Path | None) -> None:
    """Refuse a folder for tables that is not new or empty.

    Raises:
        OutputError: it is neither.
    """
    if out and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} is not an empty folder; name a new or empty one with --out")


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            write(temporary)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from None
