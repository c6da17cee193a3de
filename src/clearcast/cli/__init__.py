"""Command line: parse the arguments, call one function, print the result."""

import io
import logging
import sys
from importlib import import_module
from typing import Annotated

import typer

from clearcast import __version__
from clearcast.core.console import EscapedLogRecord, TerminalConsole, escape_unprintable
from clearcast.core.errors import ClearcastError

EXIT_INTERRUPTED = 130  # exit code of Typer after Ctrl-C
COMMANDS = {  # modules by command, in the order of the help
    "demo": "study",
    "check": "data",
    "study": "study",
    "train": "bundles",
    "distill": "bundles",
    "report": "study",
    "tune": "evaluate",
    "export": "bundles",
    "keygen": "bundles",
    "verify": "bundles",
    "benchmark": "benchmark",
    "predict": "predict",
    "evaluate": "evaluate",
    "compare": "evaluate",
    "watch": "watch",
    "serve": "serve",
    "feedback": "serve",
    "log": "serve",
    "disks": "data",
    "corrupt": "data",
}


def main() -> None:
    """Run the command line; an error that the user can fix is one message and exit code 1, without a traceback."""
    _escape_output()
    try:
        build_application(sys.argv[1:2])()
    except ClearcastError as error:
        _exit(str(error), 1)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:
            _exit("Stopped. What was finished is kept; a command that has --resume can continue.", EXIT_INTERRUPTED)
        raise
    except OSError as error:
        _exit(f"Operating system error: {error}", 1)


def build_application(arguments: list[str]) -> typer.Typer:
    """Build the application with the command that the arguments name; with all of them if they name none.

    Each command imports packages of its own, and pandas alone takes longer to load than an image to inspect.
    """
    app = typer.Typer(
        name="clearcast",
        help="Inspect noisy images of parts: verdict, noise type and denoised image.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(print_version)
    for name in [name for name in arguments if name in COMMANDS] or COMMANDS:
        command = getattr(import_module(f"clearcast.cli.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):  # has commands of its own
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def print_version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Inspect noisy images of parts: verdict, noise type and denoised image."""
    if show:
        print(f"clearcast {__version__}")
        raise typer.Exit


def _escape_output() -> None:
    """Escape characters that the terminal cannot print, or would interpret: a file name must not end a command."""
    logging.setLogRecordFactory(EscapedLogRecord)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _exit(message: str, code: int) -> None:
    TerminalConsole(stderr=True).print(
        escape_unprintable(message), style="red", markup=False, highlight=False, soft_wrap=True
    )
    sys.exit(code)
