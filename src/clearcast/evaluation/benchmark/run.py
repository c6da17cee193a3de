"""Run the benchmark: the test rows, each contender in turn, the figures of all."""

import itertools
import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from clearcast import __version__, imaging
from clearcast.cells import protect_table
from clearcast.data.sheet import Reading, Sheet
from clearcast.data.split import load_split
from clearcast.data.usable import Rows, usable
from clearcast.domain import Subset
from clearcast.errors import RecipeError, SheetError
from clearcast.evaluation.benchmark.contenders import NOISY, Denoiser, Judge
from clearcast.evaluation.benchmark.figures import BY_TYPE, as_table, best_by_type, judged_figures, restored_figures
from clearcast.evaluation.benchmark.learned import learned_contenders
from clearcast.evaluation.benchmark.measuring import Ledger, Shown, measure_denoiser, measure_judge
from clearcast.evaluation.data_warnings import DataWarning, WarningKind, data_warning
from clearcast.evaluation.study.beginning import begin_divided, division_of
from clearcast.evaluation.study.dividing import Division
from clearcast.evaluation.study.folder import RunFolder, open_run, write_json
from clearcast.evaluation.study.material import shared_parts_warnings, wrong_reference_warnings
from clearcast.evaluation.study.request import StudyRequest
from clearcast.files import replace_file
from clearcast.imaging import Channels
from clearcast.progress import progress_bar
from clearcast.training.memory import keep_freed_memory

REFERENCE = "reference"
TABLE, ABOUT = "benchmark.csv", "benchmark.json"
EXAMPLES = 3  # test images of each noise type that are kept to be looked at, each of another part


@dataclass(frozen=True, kw_only=True)
class BenchmarkRequest:
    """What to compare on which rows.

    ``study``: the sheet, how its rows are divided, the seed and the folder; rows that cannot be used are left out and
    named. ``denoisers`` and ``judges``: the contenders; the noisy input and the best method by noise type are added.
    ``trained_in``: folders of runs or bundles that contenders come from; of those of this sheet, the split must not
    hold a test row as a training row. ``budget``: minutes to train each of the learned rivals; None for none of them.
    ``limit``: measure at most so many test rows, spread over noise types and parts; None for all.
    """

    study: StudyRequest
    denoisers: Sequence[Denoiser]
    judges: Sequence[Judge] = ()
    trained_in: Sequence[Path] = ()
    budget: float | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What came out: ``figures`` with the columns of ``benchmark.csv``, and what a reader should know about them."""

    folder: Path
    figures: pd.DataFrame
    about: dict[str, Any] = field(repr=False)


def run_benchmark(request: BenchmarkRequest) -> Benchmark:
    """Measure each contender on the test rows; write ``benchmark.csv``, ``benchmark.json``, each row, and examples.

    Raises:
        ClearcastError: the sheet, the folder or a contender does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on after the last row.
    """
    keep_freed_memory()
    _refuse_same_names(request)
    study, console = request.study, request.study.console
    question = study.question() | {"benchmark": {"limit": request.limit}}
    folder = open_run(study.out, question, resume=study.resume, force=study.force)
    rows = usable(study.sheet, skip_bad=True, console=console)
    division = division_of(folder, rows, study.split, study.recipe.split, seed=study.seed, console=console)
    division.refuse_leaks(rows.sheet.rows, rows.hashes())
    shown = _shown(rows, division, request)
    for trained in request.trained_in:
        _refuse_trained_rows(trained, rows, division)
    if folder is None or not folder.split.exists():
        folder = begin_divided(study.out, question, rows, division, clearcast=__version__)
    if request.budget is not None:
        request = _with_learned(request, rows, division, folder.path, request.budget)
    figures, found = _compare(request, shown, Ledger(folder=folder.path))
    about = _about(request, rows, division, shown) | found
    with replace_file(folder.path / TABLE) as temporary:
        protect_table(figures).to_csv(temporary, index=False, float_format="%.6g")
    records = figures.astype(object).where(figures.notna(), None).to_dict("records")
    write_json(folder.path / ABOUT, {"format": 1, "about": about, "figures": records})
    return Benchmark(folder=folder.path, figures=figures, about=about)


def trained_on(folder: Path, sheet: Sheet) -> bool:
    """Whether a run or bundle was trained on this very sheet, so that its split says which rows it knows.

    Raises:
        OutputError: it is no run, or a damaged one.
    """
    question = RunFolder(path=folder).metadata["question"]
    worksheet = Reading.from_json(question.get("reading", {})).worksheet
    return bool(question.get("sheet_sha256") == sheet.sha256 and worksheet == sheet.reading.worksheet)


def _with_learned(
    request: BenchmarkRequest, rows: Rows, division: Division, folder: Path, minutes: float
) -> BenchmarkRequest:
    study = request.study
    denoisers, judges = learned_contenders(
        rows, division, folder, minutes=minutes, seed=study.seed, console=study.console
    )
    return replace(request, denoisers=[*request.denoisers, *denoisers], judges=[*request.judges, *judges])


def _compare(request: BenchmarkRequest, shown: Sequence[Shown], ledger: Ledger) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The figures of all contenders, and what was noticed on the way."""
    seed, console = request.study.seed, request.study.console
    faults: list[str] = []
    by_hand: dict[str, pd.DataFrame] = {}
    lines: list[dict[str, object]] = []
    _keep_references(shown, ledger)
    for denoiser in (NOISY, *request.denoisers):
        with progress_bar(console, f"Denoising: {denoiser.name}") as progress:
            table = measure_denoiser(denoiser, shown, ledger, progress, faults)
        _refuse_nothing(table, faults)
        lines += restored_figures(denoiser.name, table, seed)
        if denoiser.by_hand:
            by_hand[denoiser.name] = table
    best, chosen = best_by_type(by_hand)
    lines += restored_figures(BY_TYPE, best, seed)
    for judge in request.judges:
        with progress_bar(console, f"Judging: {judge.name}") as progress:
            table = measure_judge(judge, shown, ledger, progress, faults)
        _refuse_nothing(table, faults)
        lines += judged_figures(judge.name, table, seed)
    distinct = list(dict.fromkeys(faults))
    for fault in distinct:
        console.print(f"Left out: {fault}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    return as_table(lines), {"left_out_while_measuring": distinct, "best_by_type": chosen}


def _shown(rows: Rows, division: Division, request: BenchmarkRequest) -> list[Shown]:
    tested = division.split.rows(Subset.TEST)
    if not tested:
        raise SheetError(f"{rows.sheet.path}: no row is for testing; choose another --split")
    order = _spread(tested, rows, division, request.study.seed)[: request.limit]
    examples: dict[str, set[str]] = defaultdict(set)  # of each noise type, the parts that are shown
    shown = []
    for index in order:
        row, part = rows.sheet.rows[index], division.parts.of_rows[index]
        seen = examples[str(row.noise_type)]
        example = part not in seen and len(seen) < EXAMPLES
        seen.update([part] if example else [])
        shown.append(
            Shown(
                number=row.number,
                part=part,
                label=str(row.label),
                noise_type=str(row.noise_type),
                noisy=rows.sheet.resolve(row.noisy),
                reference=rows.sheet.resolve(row.reference),
                example=example,
            )
        )
    return sorted(shown, key=lambda row: row.number)


def _spread(tested: Sequence[int], rows: Rows, division: Division, seed: int) -> list[int]:
    """The test rows in an order whose every beginning is spread over noise types, and in them over parts."""
    turns: dict[tuple[str, str], int] = defaultdict(int)
    by_type: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index in np.random.default_rng(seed).permutation(tested).tolist():
        kind, part = str(rows.sheet.rows[index].noise_type), division.parts.of_rows[index]
        by_type[kind].append((turns[kind, part], index))
        turns[kind, part] += 1
    columns = [[index for _, index in sorted(by_type[kind], key=lambda pair: pair[0])] for kind in sorted(by_type)]
    return [index for turn in itertools.zip_longest(*columns) for index in turn if index is not None]


def _keep_references(shown: Sequence[Shown], ledger: Ledger) -> None:
    for row in shown:
        if row.example:
            imaging.save(ledger.picture(row.number, REFERENCE), imaging.load(row.reference, Channels.GREY))


def _refuse_same_names(request: BenchmarkRequest) -> None:
    names = [NOISY.name, *(denoiser.name for denoiser in request.denoisers), *(judge.name for judge in request.judges)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RecipeError(f"two contenders are called {min(twice)!r}; rename the folder of one of them")


def _refuse_nothing(table: pd.DataFrame, faults: Sequence[str]) -> None:
    if table.empty:
        raise SheetError(f"none of the test images can be used; the first: {faults[0]}")


def _refuse_trained_rows(trained: Path, rows: Rows, division: Division) -> None:
    if not trained_on(trained, rows.sheet):
        return  # ``_warnings`` tells
    split_file = RunFolder(path=trained).split
    tested = division.split.rows(Subset.TEST)
    known = set(load_split(split_file, rows.sheet.rows)[0].rows(Subset.TRAIN)).intersection(tested)
    if known:
        raise SheetError(
            f"{trained} was trained on {len(known)} of the {len(tested)} test rows, and would recite them; take its "
            f"own split with --split {split_file}"
        )


def _warnings(request: BenchmarkRequest, rows: Rows, division: Division) -> list[DataWarning]:
    shared = shared_parts_warnings(len(division.leaked_test_rows()), len(division.split.rows(Subset.TEST)))
    others = [trained for trained in request.trained_in if not trained_on(trained, rows.sheet)]
    strange = [
        data_warning(
            WarningKind.OTHER_SHEET,
            f"{trained} was trained on another sheet; make sure that it shows none of these parts.",
        )
        for trained in others
    ]
    return [*wrong_reference_warnings(rows), *shared, *strange]


def _about(request: BenchmarkRequest, rows: Rows, division: Division, shown: Sequence[Shown]) -> dict[str, Any]:
    tested = division.split.rows(Subset.TEST)
    examples: dict[str, list[int]] = defaultdict(list)
    for row in shown:
        examples[row.noise_type] += [row.number] if row.example else []
    return {
        "sheet": str(request.study.sheet.path.absolute()),
        "sheet_sha256": request.study.sheet.sha256,
        "split": division.split.description,
        "test_images": len(tested),
        "measured_images": len(shown),
        "measured_parts": len({row.part for row in shown}),
        "budget_minutes": request.budget,
        "machine": platform.processor() or platform.machine(),
        "threads": {"torch": torch.get_num_threads(), "opencv": cv2.getNumThreads()},
        "denoisers": [NOISY.name, *(denoiser.name for denoiser in request.denoisers), BY_TYPE],
        "judges": [judge.name for judge in request.judges],
        "left_out": list(rows.left_out),
        "warnings": _warnings(request, rows, division),
        "examples": dict(examples),
    }
