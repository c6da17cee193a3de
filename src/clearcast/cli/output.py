"""Output of commands: the console, lines, warnings, and the message about a missing package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.errors import MissingDependencyError
from clearcast.terminal import TerminalConsole, printable

console = TerminalConsole()


def say(message: str) -> None:
    """Print a line unchanged: a path may contain markup or terminal control characters."""
    console.print(printable(message), markup=False, highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print a warning, in yellow."""
    console.print(f"Beware: {message}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def remind_to_sign(source: Path, out: Path) -> None:
    """Remind the user that a bundle made from a signed one is not signed."""
    from clearcast.runtime.package import read_signature, reader_of

    if read_signature(reader_of(source)):
        say(f"{source} is signed, but {out} is not; sign it with 'clearcast export {out} SIGNED --sign KEY'")


@contextmanager
def packages(extra: str) -> Iterator[None]:
    """If a package of an extra is missing, give the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this needs the package {error.name}, which is not installed; install it with: "
            f"pip install 'clearcast[{extra}]'"
        ) from None
