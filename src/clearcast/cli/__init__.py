"""The command line: parse, call one function, print."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from clearcast import __version__
from clearcast.cli.benchmarking import benchmark
from clearcast.cli.checking import check
from clearcast.cli.making import corrupt, disks
from clearcast.cli.studying import demo, report, study
from clearcast.cli.training import train
from clearcast.errors import ClearcastError

INTERRUPTED = 130  # how Typer ends the program after Ctrl-C

app = typer.Typer(
    name="clearcast",
    help="Inspect parts from noisy pictures: ok or defect, which noise, and the clean picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, check, study, train, report, benchmark, disks, corrupt):
    app.command()(command)


def main() -> None:
    """Run the command line; what is the user's to mend is one message and exit code 1, never a traceback."""
    try:
        app()
    except ClearcastError as error:
        _stop(str(error), 1)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _stop(
                "Stopped. What was finished is kept; where the command has --resume, it goes on from there.",
                INTERRUPTED,
            )
        raise
    except OSError as error:
        _stop(f"The system refused: {error}", 1)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Inspect parts from noisy pictures: ok or defect, which noise, and the clean picture."""
    if show:
        print(f"clearcast {__version__}")
        raise typer.Exit


def _stop(message: str, code: int) -> None:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
