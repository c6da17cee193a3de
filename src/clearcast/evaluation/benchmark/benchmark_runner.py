"""Benchmark run: selection of test rows, measurement of each entrant, and the result files."""

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

from clearcast import __version__
from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import RecipeError, SheetError
from clearcast.core.files import replace_file
from clearcast.core.spreadsheets import protect_table
from clearcast.data.sheet import Sheet, SheetReading
from clearcast.data.splits import load_split
from clearcast.data.validation import UsableRows, filter_usable_rows
from clearcast.evaluation.benchmark.entrants import NOISY_INPUT, BenchmarkClassifier, BenchmarkDenoiser
from clearcast.evaluation.benchmark.learned import fit_learned_baselines
from clearcast.evaluation.benchmark.scoring import (
    BEST_BY_TYPE,
    REFERENCE_NAME,
    BenchmarkResultStore,
    TestRow,
    choose_best_by_type,
    classification_lines,
    image_quality_lines,
    measure_classifier,
    measure_denoiser,
    to_benchmark_table,
)
from clearcast.metrics.results import DataWarning, WarningKind, make_data_warning
from clearcast.study.context import StudyRequest, leakage_warnings, wrong_reference_warnings
from clearcast.train.run_directory import RunDirectory, open_run, write_json
from clearcast.train.split_choice import ResolvedSplit, begin_split_run, resolve_split
from clearcast.train.trainer import keep_freed_memory
from clearcast.types import Subset

BENCHMARK_TABLE, BENCHMARK_JSON = "benchmark.csv", "benchmark.json"
EXAMPLES_PER_TYPE = 3  # test images of each noise type that are kept for contact sheets, each of another part


@dataclass(frozen=True, kw_only=True)
class BenchmarkRequest:
    """Entrants, test rows and options of a benchmark.

    Attributes:
        study: the sheet, its split, the seed and the folder; rows that cannot be used are left out and reported.
        denoisers, classifiers: the entrants; the noisy input and the best method by noise type are added.
        trained_in: folders of runs or bundles that entrants come from; if trained on this sheet, their training rows
            must not be test rows here.
        budget: minutes to train each of the learned baselines; None for no learned baselines.
        limit: measure at most this many test rows, spread over noise types and parts; None for all.
    """

    study: StudyRequest
    denoisers: Sequence[BenchmarkDenoiser]
    classifiers: Sequence[BenchmarkClassifier] = ()
    trained_in: Sequence[Path] = ()
    budget: float | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """Benchmark result: ``figures`` with the columns of ``benchmark.csv``, and ``metadata`` of the measurement."""

    folder: Path
    figures: pd.DataFrame
    metadata: dict[str, Any] = field(repr=False)


def run_benchmark(request: BenchmarkRequest) -> BenchmarkResult:
    """Measure each entrant on the test rows; write ``benchmark.csv``, ``benchmark.json``, all rows, and examples.

    Raises:
        ClearcastError: the sheet, the folder or an entrant does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it continues after the last row.
    """
    keep_freed_memory()
    _refuse_duplicate_names(request)
    study, console = request.study, request.study.console
    question = study.configuration() | {"benchmark": {"limit": request.limit}}
    folder = open_run(study.out, question, resume=study.resume, force=study.force)
    rows = filter_usable_rows(study.sheet, skip_bad=True, console=console)
    resolved = resolve_split(folder, rows, study.split, study.recipe.split, seed=study.seed, console=console)
    resolved.refuse_leaks(rows.sheet.rows, rows.hashes())
    test_rows = _select_rows(rows, resolved, request)
    for trained in request.trained_in:
        _refuse_trained_rows(trained, rows, resolved)
    if folder is None or not folder.split.exists():
        folder = begin_split_run(study.out, question, rows, resolved, clearcast=__version__)
    if request.budget is not None:
        request = _add_learned_baselines(request, rows, resolved, folder.path, request.budget)
    figures, details = _measure_entrants(request, test_rows, BenchmarkResultStore(folder=folder.path))
    metadata = _make_metadata(request, rows, resolved, test_rows) | details
    with replace_file(folder.path / BENCHMARK_TABLE) as temporary:
        protect_table(figures).to_csv(temporary, index=False, float_format="%.6g")
    records = figures.astype(object).where(figures.notna(), None).to_dict("records")
    write_json(folder.path / BENCHMARK_JSON, {"format": 1, "about": metadata, "figures": records})
    return BenchmarkResult(folder=folder.path, figures=figures, metadata=metadata)


def was_trained_on_sheet(folder: Path, sheet: Sheet) -> bool:
    """Check whether a run or bundle was trained on this same sheet, so that its split names its training rows.

    Raises:
        OutputError: not a run, or a damaged one.
    """
    question = RunDirectory(path=folder).metadata["question"]
    worksheet = SheetReading.from_json(question.get("reading", {})).worksheet
    return bool(question.get("sheet_sha256") == sheet.sha256 and worksheet == sheet.reading.worksheet)


def _add_learned_baselines(
    request: BenchmarkRequest, rows: UsableRows, resolved: ResolvedSplit, folder: Path, minutes: float
) -> BenchmarkRequest:
    study = request.study
    denoisers, classifiers = fit_learned_baselines(
        rows, resolved, folder, minutes=minutes, seed=study.seed, console=study.console
    )
    return replace(
        request,
        denoisers=[*request.denoisers, *denoisers],
        classifiers=[*request.classifiers, *classifiers],
    )


def _measure_entrants(
    request: BenchmarkRequest, rows: Sequence[TestRow], store: BenchmarkResultStore
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Compute the metrics of all entrants; also return the images left out and the best method by noise type."""
    seed, console = request.study.seed, request.study.console
    faults: list[str] = []
    untrained: dict[str, pd.DataFrame] = {}
    lines: list[dict[str, object]] = []
    _save_references(rows, store)
    for denoiser in (NOISY_INPUT, *request.denoisers):
        with show_progress(console, f"Denoising: {denoiser.name}") as progress:
            table = measure_denoiser(denoiser, rows, store, progress, faults)
        _refuse_no_images(table, faults)
        lines += image_quality_lines(denoiser.name, table, seed)
        if denoiser.untrained:
            untrained[denoiser.name] = table
    best, chosen = choose_best_by_type(untrained)
    lines += image_quality_lines(BEST_BY_TYPE, best, seed)
    for classifier in request.classifiers:
        with show_progress(console, f"Classifying: {classifier.name}") as progress:
            table = measure_classifier(classifier, rows, store, progress, faults)
        _refuse_no_images(table, faults)
        lines += classification_lines(classifier.name, table, seed)
    distinct = list(dict.fromkeys(faults))
    for fault in distinct:
        console.print(f"Left out: {fault}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    return to_benchmark_table(lines), {"left_out_while_measuring": distinct, "best_by_type": chosen}


def _select_rows(rows: UsableRows, resolved: ResolvedSplit, request: BenchmarkRequest) -> list[TestRow]:
    """Select the test rows to measure, and examples among them, each of another part of its noise type."""
    tested = resolved.split.rows(Subset.TEST)
    if not tested:
        raise SheetError(f"{rows.sheet.path}: no row is in the test subset; choose another --split")
    order = _stratified_order(tested, rows, resolved, request.study.seed)[: request.limit]
    example_parts: dict[str, set[str]] = defaultdict(set)  # by noise type
    selected = []
    for index in order:
        row, part = rows.sheet.rows[index], resolved.parts.of_rows[index]
        used = example_parts[str(row.noise_type)]
        example = part not in used and len(used) < EXAMPLES_PER_TYPE
        used.update([part] if example else [])
        selected.append(
            TestRow(
                number=row.number,
                part=part,
                label=str(row.label),
                noise_type=str(row.noise_type),
                noisy=rows.sheet.resolve(row.noisy),
                reference=rows.sheet.resolve(row.reference),
                example=example,
            )
        )
    return sorted(selected, key=lambda row: row.number)


def _stratified_order(tested: Sequence[int], rows: UsableRows, resolved: ResolvedSplit, seed: int) -> list[int]:
    """Order the test rows so that every prefix is spread over noise types, and within them over parts."""
    turns: dict[tuple[str, str], int] = defaultdict(int)
    by_type: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index in np.random.default_rng(seed).permutation(tested).tolist():
        kind, part = str(rows.sheet.rows[index].noise_type), resolved.parts.of_rows[index]
        by_type[kind].append((turns[kind, part], index))
        turns[kind, part] += 1
    columns = [[index for _, index in sorted(by_type[kind], key=lambda pair: pair[0])] for kind in sorted(by_type)]
    return [index for turn in itertools.zip_longest(*columns) for index in turn if index is not None]


def _save_references(rows: Sequence[TestRow], store: BenchmarkResultStore) -> None:
    for row in rows:
        if row.example:
            imaging.save_image(
                store.image(row.number, REFERENCE_NAME), imaging.load_image(row.reference, Channels.GREY)
            )


def _refuse_duplicate_names(request: BenchmarkRequest) -> None:
    denoisers, classifiers = (NOISY_INPUT, *request.denoisers), request.classifiers
    names = [*(each.name for each in denoisers), *(each.name for each in classifiers)]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise RecipeError(f"two entrants have the name {min(duplicates)!r}; rename the folder of one of them")


def _refuse_no_images(table: pd.DataFrame, faults: Sequence[str]) -> None:
    if table.empty:
        raise SheetError(f"none of the test images can be used; the first: {faults[0]}")


def _refuse_trained_rows(trained: Path, rows: UsableRows, resolved: ResolvedSplit) -> None:
    if not was_trained_on_sheet(trained, rows.sheet):
        return  # ``_warnings`` reports it
    split_file = RunDirectory(path=trained).split
    tested = resolved.split.rows(Subset.TEST)
    known = set(load_split(split_file, rows.sheet.rows)[0].rows(Subset.TRAIN)).intersection(tested)
    if known:
        raise SheetError(
            f"{trained} was trained on {len(known)} of the {len(tested)} test rows, so its score would be inflated; "
            f"use its own split with --split {split_file}"
        )


def _warnings(request: BenchmarkRequest, rows: UsableRows, resolved: ResolvedSplit) -> list[DataWarning]:
    shared = leakage_warnings(len(resolved.leaked_test_rows()), len(resolved.split.rows(Subset.TEST)))
    others = [trained for trained in request.trained_in if not was_trained_on_sheet(trained, rows.sheet)]
    other_sheets = [
        make_data_warning(
            WarningKind.OTHER_SHEET,
            f"{trained} was trained on another sheet; make sure that the sheet has none of these parts.",
        )
        for trained in others
    ]
    return [*wrong_reference_warnings(rows), *shared, *other_sheets]


def _make_metadata(
    request: BenchmarkRequest, rows: UsableRows, resolved: ResolvedSplit, measured: Sequence[TestRow]
) -> dict[str, Any]:
    """Describe data, machine and entrants, for ``benchmark.json``."""
    tested = resolved.split.rows(Subset.TEST)
    examples: dict[str, list[int]] = defaultdict(list)
    for row in measured:
        examples[row.noise_type] += [row.number] if row.example else []
    return {
        "sheet": str(request.study.sheet.path.absolute()),
        "sheet_sha256": request.study.sheet.sha256,
        "split": resolved.split.description,
        "test_images": len(tested),
        "measured_images": len(measured),
        "measured_parts": len({row.part for row in measured}),
        "budget_minutes": request.budget,
        "machine": platform.processor() or platform.machine(),
        "threads": {"torch": torch.get_num_threads(), "opencv": cv2.getNumThreads()},
        "denoisers": [NOISY_INPUT.name, *(denoiser.name for denoiser in request.denoisers), BEST_BY_TYPE],
        "judges": [classifier.name for classifier in request.classifiers],
        "left_out": list(rows.left_out),
        "warnings": _warnings(request, rows, resolved),
        "examples": dict(examples),
    }
