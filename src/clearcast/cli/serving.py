"""The command that serves an inspection station. It never needs torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import TrustedKeys, trust_of
from clearcast.cli.output import packages, say

_GB = 1_000_000_000


def serve(
    bundle: Annotated[Path, typer.Argument(help="A bundle: its folder, or its zip.", metavar="BUNDLE")],
    db: Annotated[
        str | None,
        typer.Option(help="The log's database, such as postgresql://USER@HOST/NAME.", show_default="a file in --data"),
    ] = None,
    data: Annotated[Path, typer.Option(help="The folder of log and pictures.")] = Path("clearcast-station"),
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0: on every network of this machine, with --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where to listen; 0: any that is free.", min=0, max=65535)] = 8000,
    shadow: Annotated[
        Path | None, typer.Option(help="A second bundle; its verdicts are logged too and decide nothing.")
    ] = None,
    station: Annotated[str, typer.Option(help="This station's name in the log.", show_default="none")] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(help="Who may look, and who may inspect; made where it is not there.", show_default="none"),
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(help="Pictures older than that go; the log stays.", min=0, show_default="for ever")
    ] = None,
    keep_gb: Annotated[
        float | None, typer.Option(help="The oldest pictures go beyond that.", min=0, show_default="any size")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="So many pictures at a time, each on a core.", min=1, show_default="one a core"),
    ] = None,
    trust: TrustedKeys = None,
) -> None:
    """Serve an inspection station: a page, a REST API, and a log of every inspection; until Ctrl-C."""
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
