"""The commands that look after a station's log."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.output import console, packages, say
from clearcast.progress import progress_bar

log = typer.Typer(help="Look after a station's log: back it up.", no_args_is_help=True)


@log.callback()
def _log() -> None:
    """Look after a station's log: back it up."""


@log.command()
def backup(
    data: Annotated[str, typer.Argument(help="A station's folder, or its log.sqlite.", metavar="DATA")],
    out: Annotated[Path, typer.Argument(help="The backup, a new file; nothing is overwritten.", metavar="OUT")],
) -> None:
    """Copy a station's log into one checked file, also while the station runs; copy the folder of pictures after it."""
    with packages("station"):
        from clearcast.station.log.backup import back_up_log
    with progress_bar(console, "Pages") as progress:
        back_up_log(data, out, progress)
    say(
        f"Backup: {out}; it was checked. To restore it, stop the station, move log.sqlite and its -wal and -shm away, "
        f"and copy {out.name} there as log.sqlite."
    )
