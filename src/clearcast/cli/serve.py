"""Commands of the inspection station: ``serve``, ``feedback`` and ``log backup``; they never import torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import (
    BundleArgument,
    SheetOptions,
    ThreadsOption,
    TrustOption,
    read_trust_option,
    with_sheet_options_but_root,
)
from clearcast.cli.output import console, print_line, require_extra
from clearcast.core.console import show_progress
from clearcast.core.numbers import format_count

if TYPE_CHECKING:
    from clearcast.station.feedback_rows import FeedbackSummary

_GB = 1_000_000_000


def serve(
    bundle: BundleArgument,
    db: Annotated[
        str | None,
        typer.Option(
            help="The database of the log, such as postgresql://USER@HOST/NAME.", show_default="a file in --data"
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="The folder of the log and the images.")] = Path("clearcast-station"),
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 (all networks of this machine) requires --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    shadow: Annotated[Path | None, typer.Option(help="A second bundle, whose verdicts are only logged.")] = None,
    station: Annotated[str, typer.Option(help="The station's name in the log.", show_default="none")] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File of the tokens to view and to inspect; created if it does not exist.", show_default="none"
        ),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(help="Delete images that are older; the log is kept.", min=0, show_default="for ever"),
    ] = None,
    keep_gb: Annotated[
        float | None, typer.Option(help="Delete the oldest images beyond this size.", min=0, show_default="any size")
    ] = None,
    threads: ThreadsOption = None,
    trust: TrustOption = None,
) -> None:
    """Serve an inspection station, with a web page, a REST API and a log of all inspections, until Ctrl-C."""
    with require_extra("station"):
        from clearcast.station.api.server import ServerSettings, run_station
        from clearcast.station.api.settings import RetentionLimits

    keep = RetentionLimits(days=keep_days, bytes=None if keep_gb is None else round(keep_gb * _GB))
    run_station(
        ServerSettings(
            bundle=bundle,
            db=db,
            data=data,
            host=host,
            port=port,
            shadow=shadow,
            trust=read_trust_option(trust),
            name=station,
            token_file=token_file,
            keep=keep,
            threads=threads,
        ),
        print_line,
    )


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
    with require_extra("station"):
        from clearcast.station.feedback_export import LABEL_COLUMN, export_feedback, open_station_data
    known = options.read(beside) if beside else None
    log, image_store = open_station_data(db, pictures)
    with show_progress(console, "Copying images") as progress:
        summary = export_feedback(log, image_store, out, beside=known, progress=progress)
    log.close()
    _print_summary(summary)
    print_line(f"Sheet: {out}; next: clearcast check {out} --label-column {LABEL_COLUMN}")


def _print_summary(summary: "FeedbackSummary") -> None:
    labels = ", ".join(f"{count} {label}" for label, count in sorted(summary.labels.items()))
    images = format_count(summary.labels.total(), "image")
    print_line(f"{images} with feedback: {labels}; {summary.contradicting} with another verdict.")
    if summary.corrected:
        print_line(f"{summary.corrected} of them are rows of the sheet of --with; their labels are corrected.")
    for reason, count in summary.left_out.items():
        print_line(f"Left out: {count}, since {reason}.")


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
    with require_extra("station"):
        from clearcast.station.log.backup import back_up_log
    with show_progress(console, "Pages") as progress:
        back_up_log(data, out, progress)
    print_line(
        f"Backup: {out}; its integrity is verified. To restore it, stop the station, move log.sqlite, log.sqlite-wal "
        f"and log.sqlite-shm away, and copy {out.name} there as log.sqlite."
    )
