"""Atomic file replacement and file permissions."""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_NAME = 255  # bytes; the limit of nearly all file systems
_logger = logging.getLogger(__name__)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path beside ``path``, and move it to ``path`` on success.

    An interruption leaves the old file. The temporary path has the same suffix, since many writers choose their format
    by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(path: Path) -> str:
    """Return a hidden name; a hash replaces the stem if the name would be too long for a file system."""
    ending = f".{os.getpid()}{path.suffix}"
    if len(os.fsencode(f".{path.stem}{ending}")) <= _LONGEST_NAME:
        return f".{path.stem}{ending}"
    return f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}"


def make_private(path: Path) -> None:
    """Restrict a world-readable file or folder to its owner, and log a warning.

    Permissions of a file that only its group can read are left as they are: they were set on purpose.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & stat.S_IRWXO or os.name == "nt":
        return
    try:
        path.chmod(mode & stat.S_IRWXU)
    except OSError as error:
        _logger.warning("%s: readable by every user of this machine; cannot change the permissions (%s)", path, error)
    else:
        _logger.warning("%s: was readable by every user of this machine; restricted it to its owner", path)
