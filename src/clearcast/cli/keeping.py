"""Commands ``log ...``: maintenance of a station's log."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.output import console, packages, say
from clearcast.progress import progress_bar

log = typer.Typer(help="Maintain a station's log.", no_args_is_help=True)


@log.callback()
def _log() -> None:
    """Maintain a station's log."""


@log.command()
def backup(
    data: Annotated[str, typer.Argument(help="A station's folder or its log.sqlite.", metavar="DATA")],
    out: Annotated[Path, typer.Argument(help="The backup, a new file.", metavar="OUT")],
) -> None:
    """Back up a station's log, also while the station runs; copy the folder of images afterwards."""
    with packages("station"):
        from clearcast.station.log.backup import back_up_log
    with progress_bar(console, "Pages") as progress:
        back_up_log(data, out, progress)
    say(
        f"Backup: {out}; its integrity is verified. To restore it, stop the station, move log.sqlite, log.sqlite-wal "
        f"and log.sqlite-shm away, and copy {out.name} there as log.sqlite."
    )
