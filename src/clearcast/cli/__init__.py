"""The command line: parse, call one function, print."""

import io
import logging
import sys
from importlib import import_module
from typing import Annotated

import typer

from clearcast import __version__
from clearcast.errors import ClearcastError
from clearcast.terminal import PrintableRecord, TerminalConsole, printable

INTERRUPTED = 130  # how Typer ends the program after Ctrl-C
COMMANDS = {  # in the order of the help, each with its module in this package
    "demo": "studying",
    "check": "checking",
    "study": "studying",
    "train": "training",
    "distill": "distilling",
    "report": "studying",
    "tune": "tuning",
    "export": "exporting",
    "keygen": "exporting",
    "verify": "exporting",
    "benchmark": "benchmarking",
    "predict": "inspecting",
    "evaluate": "evaluating",
    "compare": "comparing",
    "watch": "watching",
    "serve": "serving",
    "feedback": "returning",
    "log": "keeping",
    "disks": "making",
    "corrupt": "making",
}


def main() -> None:
    """Run the command line; what is the user's to mend is one message and exit code 1, never a traceback."""
    _print_any_character()
    try:
        command_line(sys.argv[1:2])()
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


def command_line(asked: list[str]) -> typer.Typer:
    """The command that is asked for; all of them, for help and for a word that is none.

    What one command needs, others would load in vain: pandas alone takes longer than a picture.
    """
    app = typer.Typer(
        name="clearcast",
        help="Inspect parts from noisy pictures: ok or defect, which noise, and the clean picture.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(version)
    for name in [name for name in asked if name in COMMANDS] or COMMANDS:
        command = getattr(import_module(f"clearcast.cli.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):  # a group of commands
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def version(show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Inspect parts from noisy pictures: ok or defect, which noise, and the clean picture."""
    if show:
        print(f"clearcast {__version__}")
        raise typer.Exit


def _print_any_character() -> None:
    """A name that the terminal lacks characters for, or would obey, is printed with escapes, and ends no command."""
    logging.setLogRecordFactory(PrintableRecord)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _stop(message: str, code: int) -> None:
    TerminalConsole(stderr=True).print(printable(message), style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
