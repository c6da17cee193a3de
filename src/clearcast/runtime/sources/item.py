"""One picture to inspect, and what is wrong with a source that gives none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from clearcast.errors import ClearcastError, PictureError, PictureFault
from clearcast.imaging import Picture, read_bytes


class SourceError(ClearcastError):
    """A source is missing, of an unknown kind, or gives no picture."""


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What tells whether a file is still the one that was inspected.

    Attributes:
        size: in bytes.
        modified: when its bytes were last written, UTC, as ``2026-11-28T06:49:30.123456789Z``.
    """

    size: int
    modified: str

    def __str__(self) -> str:
        return f"{self.size} {self.modified}"


def _no_state() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture of a source, which is not read yet.

    Attributes:
        name: as results name it: the file's path as the source gives it, with forward slashes; ``parts.zip!a/b.jpg``,
            ``belt.mp4#000123``. No two items of a source have one name.
        key: the name without what comes before the source, such as a mount point: the same on all machines. Shards are
            dealt by it.
        read: gives the file's bytes or, of a video or an array, the picture (uint8; (height, width, 3) in RGB order or
            (height, width)). May be called in any thread; raises PictureError.
        state: gives the file's state now; None where there is no file, or nobody knows. May be called in any thread.
    """

    name: str
    key: str
    read: Callable[[], bytes | Picture] = field(repr=False)
    state: Callable[[], FileState | None] = field(default=_no_state, repr=False, compare=False)


def file_item(path: Path, key: str) -> Item:
    """The item of a picture file."""
    return Item(name=path.as_posix(), key=key, read=partial(read_bytes, path), state=partial(file_state, path))


def file_state(path: Path) -> FileState | None:
    """The state of a file; None where the system does not tell."""
    try:
        facts = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL byte in the path
        return None
    return FileState(size=facts.st_size, modified=moment(facts.st_mtime_ns))


def moment(nanoseconds: int) -> str:
    """A time since 1970 as text to the nanosecond, UTC.

    >>> moment(1_000_000_000_000_000_001)
    '2001-09-09T01:46:40.000000001Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (ValueError, OverflowError, OSError):  # a file of the year 10000
        return f"{nanoseconds} ns"


def bad_item(name: str, key: str, reason: str, state: Callable[[], FileState | None] = _no_state) -> Item:
    """An item that cannot be read: what a source found wrong becomes a row of the results, and stops nothing."""
    return Item(name=name, key=key, read=partial(_refuse, f"{name}: {reason}"), state=state)


def _refuse(message: str) -> NoReturn:
    raise PictureError(PictureFault.UNREADABLE, message)
