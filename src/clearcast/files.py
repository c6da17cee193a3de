"""Write files so that an interruption leaves either the old one or the whole new one."""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_NAME = 255  # bytes, on nearly all file systems
_logger = logging.getLogger(__name__)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what was written there takes its place at the end, or is removed.

    The temporary path keeps the suffix, since many writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(path: Path) -> str:
    """A hidden name; a hash stands for the stem where the name would be longer than file systems take."""
    ending = f".{os.getpid()}{path.suffix}"
    if len(os.fsencode(f".{path.stem}{ending}")) <= _LONGEST_NAME:
        return f".{path.stem}{ending}"
    return f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}"


def make_private(path: Path) -> None:
    """Take a file or folder that everybody on this machine can read away from all but its owner, and log that.

    What only a group can read was given to it on purpose, and stays so.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & stat.S_IRWXO or os.name == "nt":
        return
    try:
        path.chmod(mode & stat.S_IRWXU)
    except OSError as error:
        _logger.warning("%s: everybody on this machine can read it, and that cannot be changed (%s)", path, error)
    else:
        _logger.warning("%s: everybody on this machine could read it; from now on only its owner can", path)
