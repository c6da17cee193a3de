"""The command that makes a sheet of what people said of a station's verdicts."""

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
    out: Annotated[Path, typer.Option(help="The sheet, .xlsx; its pictures go into a folder beside it.")],
    beside: Annotated[
        Path | None,
        typer.Option("--with", help="A sheet in the same folder to continue: its rows, their labels corrected."),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="The station's folder of pictures.", show_default="as the log says")
    ] = None,
    *,
    options: SheetOptions,
) -> None:
    """Make a sheet of what people said of a station's verdicts, with the pictures, to train on. Columns: of --with."""
    with packages("station"):
        from clearcast.station.returning import LABEL, bring_back, open_station
    known = options.read(beside) if beside else None
    log, shelf = open_station(db, pictures)
    with progress_bar(console, "Pictures") as progress:
        learned = bring_back(log, shelf, out, beside=known, progress=progress)
    log.close()
    _tell(learned)
    say(f"Sheet: {out}; next: clearcast check {out} --label-column {LABEL}")


def _tell(learned: "Learned") -> None:
    labels = ", ".join(f"{count} {label}" for label, count in sorted(learned.labels.items()))
    came = counted(learned.labels.total(), "picture")
    say(f"{came} came back: {labels}; of {learned.contradicting} the verdict was another.")
    if learned.corrected:
        say(f"{learned.corrected} of them are rows of the sheet that this one continues, whose labels are corrected.")
    for reason, count in learned.left_out.items():
        say(f"Left out: {count}, since {reason}.")
