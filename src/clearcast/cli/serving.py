"""Command ``serve``; it never needs torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import BundlePath, Threads, TrustedKeys, trust_of
from clearcast.cli.output import packages, say

_GB = 1_000_000_000


def serve(
    bundle: BundlePath,
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
    threads: Threads = None,
    trust: TrustedKeys = None,
) -> None:
    """Serve an inspection station, with a web page, a REST API and a log of all inspections, until Ctrl-C."""
    with packages("station"):
        from clearcast.station.api.hosting import Hosting, host_station
        from clearcast.station.api.station import Retention

    keep = Retention(days=keep_days, bytes=None if keep_gb is None else round(keep_gb * _GB))
    host_station(
        Hosting(
            bundle=bundle,
            db=db,
            data=data,
            host=host,
            port=port,
            shadow=shadow,
            trust=trust_of(trust),
            name=station,
            token_file=token_file,
            keep=keep,
            threads=threads,
        ),
        say,
    )
