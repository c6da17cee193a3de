"""One process at a time writes a results file: a lock in a file of its own, which nothing replaces.

The system holds the lock, not the file's existence: it ends with the process, however that ends, and a lock file that
a killed process left behind refuses nobody.
"""

import os
import socket
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path

from clearcast.errors import OutputError

_FREE, _HELD, _UNKNOWN = "free", "held", "unknown"
_LOCKED_BYTE = 1 << 20  # on Windows nobody can read what is locked; the text before it stays readable


class ResultsLock:
    """The right to write a results file, from construction to ``release``.

    Attributes:
        warning: what to tell the user where the drive knows no locks; "" where it does.

    Raises:
        OutputError: another process has it.
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
                raise OutputError(f"{results}: {owner} is writing it; wait for its end, or choose another file")
            if _is_at(self._file, self._path):
                break
            self._file.close()  # the process before removed it between our opening and our locking
        if state == _UNKNOWN:
            self.warning = (
                f"{results}: this drive knows no locks, so nothing keeps two processes from writing the file at once; "
                "make sure that only one does"
            )
        self._file.truncate(0)
        self._file.write(f"{os.getpid()} {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Let others write the file; called again, it does nothing."""
        if self._file.closed:
            return
        with suppress(OSError):  # Windows removes no open file
            self._path.unlink()
        self._file.close()
        if sys.platform == "win32":
            with suppress(OSError):  # another process may have it by now
                self._path.unlink()


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether an open file is still the one of that name; if not, a third process may have locked another."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_owner(file: FileIO) -> str:
    """Who wrote the lock file, in words."""
    try:
        file.seek(0)
        number, host = file.read(300).decode().split()
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"another process ({int(number)}{where})"
    except (OSError, ValueError):  # it has just begun
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
        except OSError:  # some network drives know no locks
            return _UNKNOWN
        return _FREE
