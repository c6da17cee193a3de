"""Lock of a results file, so that only one process writes it; it is held on a separate file that is never replaced.

The operating system holds the lock, and releases it whenever the process ends. The mere existence of a lock file, such
as after a killed process, blocks nobody.
"""

import os
import socket
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path

from clearcast.errors import OutputError

_FREE, _HELD, _UNKNOWN = "free", "held", "unknown"
_LOCKED_BYTE = 1 << 20  # on Windows nobody can read locked bytes; the text before it stays readable


class ResultsLock:
    """Exclusive lock on a results file, from construction to ``release``.

    Attributes:
        warning: message for the user if the drive does not support locks, else "".

    Raises:
        OutputError: another process holds the lock.
        OSError: the lock file cannot be written.
    """

    def __init__(self, results: Path) -> None:
        target = results.resolve()
        self._path = target.with_name(f".{target.name}.lock")
        self.warning = ""
        while True:
            self._file = FileIO(self._path, "a+")
            state = _try_lock(self._file)
            if state == _HELD:
                owner = _read_owner(self._file)
                self._file.close()
                raise OutputError(f"{results}: {owner} is writing it; wait until it ends, or choose another file")
            if _is_at(self._file, self._path):
                break
            self._file.close()  # the previous owner removed it between our opening and our locking
        if state == _UNKNOWN:
            self.warning = (
                f"{results}: this drive does not support locks; make sure that no other process writes the file at the "
                "same time"
            )
        self._file.truncate(0)
        self._file.write(f"{os.getpid()} {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Release the lock; no effect if called again."""
        if self._file.closed:
            return
        with suppress(OSError):  # Windows cannot remove an open file
            self._path.unlink()
        self._file.close()
        if sys.platform == "win32":
            with suppress(OSError):  # another process may have it by now
                self._path.unlink()


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether an open file still has that path; if not, a third process may have locked a new one."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_owner(file: FileIO) -> str:
    """Describe the process that wrote the lock file."""
    try:
        file.seek(0)
        number, host = file.read(300).decode().split()
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"another process ({int(number)}{where})"
    except (OSError, ValueError):  # not written yet
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: FileIO) -> str:
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return _HELD
        except OSError:
            return _UNKNOWN
        return _FREE

else:
    import fcntl

    def _try_lock(file: FileIO) -> str:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _HELD
        except OSError:  # some network drives do not support locks
            return _UNKNOWN
        return _FREE
