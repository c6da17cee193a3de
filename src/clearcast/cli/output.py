"""What commands print, and what they say where a package is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.errors import MissingDependencyError
from clearcast.terminal import TerminalConsole, printable

console = TerminalConsole()


def say(message: str) -> None:
    """Print a line as it is: a path may hold what looks like markup, or what a terminal would obey."""
    console.print(printable(message), markup=False, highlight=False, soft_wrap=True)


def remind_to_sign(source: Path, out: Path) -> None:
    """Say so if a bundle was made from a signed one: it is another, and not signed."""
    from clearcast.runtime.package import read_signature, reader_of

    if read_signature(reader_of(source)):
        say(f"{source} is signed, and {out} is not: sign it with 'clearcast export {out} SIGNED --sign KEY'")


@contextmanager
def packages(extra: str) -> Iterator[None]:
    """Turn a missing package of an extra into the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this needs the package {error.name}, which is not installed; install it with: "
            f"pip install 'clearcast[{extra}]'"
        ) from None
