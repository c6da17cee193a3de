"""Cross-validate recipe ``clear``: every part tests once, and the metrics of all test images are pooled.

Run with nothing else on the machine; an interrupted run resumes with the same options::

    .venv/bin/python benchmarks/clear_folds.py Labels.xlsx --groups groups.csv --out folds --budget 15
"""

import argparse
from pathlib import Path

import pandas as pd
from rich.console import Console

from clearcast.bundle.request import TrainRequest
from clearcast.bundle.training import train
from clearcast.data.sheet import Sheet, read_sheet
from clearcast.errors import ClearcastError
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.evidence.words import figure_text
from clearcast.evaluation.study.dividing import SplitChoice, SplitKind
from clearcast.evaluation.study.folder import open_run, read_csv
from clearcast.runtime.manifest import MANIFEST


def main() -> None:
    """Train a bundle for each fold, and print the pooled metrics."""
    options = parse_arguments()
    try:
        sheet = read_sheet(options.sheet)
        requests = [fold_request(sheet, options, fold) for fold in range(1, options.folds + 1)]
        for request in requests:  # before hours of training: existing folds must have the same configuration
            open_run(request.out, request.question(), resume=True, force=False)
        for request in requests:
            if not (request.out / MANIFEST).exists():
                train(request)
    except ClearcastError as error:
        raise SystemExit(str(error)) from None
    report(options.out, options.folds)


def fold_request(sheet: Sheet, options: argparse.Namespace, fold: int) -> TrainRequest:
    """Make the training request of one fold."""
    split = SplitChoice(kind=SplitKind.GROUPED, groups=options.groups, folds=options.folds, fold=fold)
    out = options.out / f"fold-{fold}"
    return TrainRequest(
        sheet=sheet, out=out, seed=options.seed, split=split, budget=options.budget, resume=True, console=Console()
    )


def report(folder: Path, folds: int) -> None:
    """Print the metrics of all folds together, with confidence intervals over parts."""
    tables = {name: concatenate_folds(folder, folds, name) for name in ("predictions.csv", "validation.csv")}
    evidence = gather_evidence(tables["predictions.csv"], tables["validation.csv"], None, Wishes())
    print(f"{evidence['images']} images of {evidence['parts']} parts")
    for stage, figures in evidence["classification"].items():
        for name in ("accuracy", "roc_area"):
            print(f"{stage} {name}: {figure_text(figures[name])}")
    for kind, measures in evidence["restoration"]["denoised"].items():
        print(f"{kind}: " + ", ".join(f"{name} {measures[name]['value']}" for name in ("psnr", "ssim")))
    for comparison in evidence["comparisons"]:
        print(comparison["sentence"])


def concatenate_folds(folder: Path, folds: int, name: str) -> pd.DataFrame:
    """Concatenate a table of all folds, with a column for the fold."""
    paths = {fold: folder / f"fold-{fold}" / name for fold in range(1, folds + 1)}
    tables = [read_csv(path).assign(fold=fold) for fold, path in paths.items() if path.exists()]
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
