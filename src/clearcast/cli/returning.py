"""Command ``feedback``: a labelled sheet from the feedback on a station's verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.output import console, packages, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options_but_root
from clearcast.evaluation.evidence.words import counted
from clearcast.progress import progress_bar

if TYPE_CHECKING:
    from clearcast.station.lessons import Learned


@with_sheet_options_but_root
def feedback(
    db: Annotated[
        str, typer.Argument(help="A station's folder, its log.sqlite, or the URL of its database.", metavar="DB")
    ],
    out: Annotated[Path, typer.Option(help="The sheet, .xlsx; its images are written to a folder beside it.")],
    beside: Annotated[
        Path | None,
        typer.Option("--with", help="A sheet in the same folder whose rows are kept, with corrected labels."),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="The station's folder of images.", show_default="as in the log")
    ] = None,
    *,
    options: SheetOptions,
) -> None:
    """Export the feedback on a station's verdicts as a sheet with images to train on, in the columns of --with."""
    with packages("station"):
        from clearcast.station.returning import LABEL, bring_back, open_station
    known = options.read(beside) if beside else None
    log, shelf = open_station(db, pictures)
    with progress_bar(console, "Copying images") as progress:
        learned = bring_back(log, shelf, out, beside=known, progress=progress)
    log.close()
    _print_counts(learned)
    say(f"Sheet: {out}; next: clearcast check {out} --label-column {LABEL}")


def _print_counts(learned: "Learned") -> None:
    labels = ", ".join(f"{count} {label}" for label, count in sorted(learned.labels.items()))
    images = counted(learned.labels.total(), "image")
    say(f"{images} with feedback: {labels}; {learned.contradicting} with another verdict.")
    if learned.corrected:
        say(f"{learned.corrected} of them are rows of the sheet of --with; their labels are corrected.")
    for reason, count in learned.left_out.items():
        say(f"Left out: {count}, since {reason}.")
