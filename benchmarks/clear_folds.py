"""Cross-validate recipe ``clear``: every part tests once, and the metrics of all test images are pooled.

Run with nothing else on the machine; an interrupted run resumes with the same options::

    .venv/bin/python benchmarks/clear_folds.py Labels.xlsx --groups groups.csv --out folds --budget 15
"""

import argparse
from pathlib import Path

import pandas as pd
from rich.console import Console

from clearcast.bundle.manifest import MANIFEST_FILE
from clearcast.core.errors import ClearcastError
from clearcast.data.sheet import Sheet, read_sheet
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy, format_share
from clearcast.pipelines.train import train_bundle
from clearcast.pipelines.training_data import TrainRequest
from clearcast.train.run_directory import open_run, read_run_csv
from clearcast.train.split_choice import SplitChoice, SplitKind


def main() -> None:
    """Train a bundle for each fold, and print the pooled metrics."""
    options = parse_arguments()
    try:
        sheet = read_sheet(options.sheet)
        requests = [fold_request(sheet, options, fold) for fold in range(1, options.folds + 1)]
        for request in requests:  # before hours of training: existing folds must have the same configuration
            open_run(request.out, request.configuration(), resume=True, force=False)
        for request in requests:
            if not (request.out / MANIFEST_FILE).exists():
                train_bundle(request)
    except ClearcastError as error:
        raise SystemExit(str(error)) from None
    print_report(options.out, options.folds)


def fold_request(sheet: Sheet, options: argparse.Namespace, fold: int) -> TrainRequest:
    """Make the training request of one fold."""
    split = SplitChoice(kind=SplitKind.GROUPED, groups=options.groups, folds=options.folds, fold=fold)
    out = options.out / f"fold-{fold}"
    return TrainRequest(
        sheet=sheet, out=out, seed=options.seed, split=split, budget=options.budget, resume=True, console=Console()
    )


def print_report(folder: Path, folds: int) -> None:
    """Print the metrics of all folds together, with confidence intervals over parts."""
    tables = {name: concatenate_folds(folder, folds, name) for name in ("predictions.csv", "validation.csv")}
    evidence = build_evidence(tables["predictions.csv"], tables["validation.csv"], None, DecisionPolicy())
    print(f"{evidence['images']} images of {evidence['parts']} parts")
    for stage, figures in evidence["classification"].items():
        for name in ("accuracy", "roc_area"):
            print(f"{stage} {name}: {format_share(figures[name])}")
    for kind, measures in evidence["restoration"]["denoised"].items():
        print(f"{kind}: " + ", ".join(f"{name} {measures[name]['value']}" for name in ("psnr", "ssim")))
    for comparison in evidence["comparisons"]:
        print(comparison["sentence"])


def concatenate_folds(folder: Path, folds: int, name: str) -> pd.DataFrame:
    """Concatenate a table of all folds, with a column for the fold."""
    paths = {fold: folder / f"fold-{fold}" / name for fold in range(1, folds + 1)}
    tables = [read_run_csv(path).assign(fold=fold) for fold, path in paths.items() if path.exists()]
    return pd.concat(tables, ignore_index=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--groups", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--budget", type=float, help="minutes a fold")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
