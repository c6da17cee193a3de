"""Item: one image to inspect, not read yet; and the error of a source without images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from clearcast.errors import ClearcastError, PictureError, PictureFault
from clearcast.imaging import Picture, read_bytes


class SourceError(ClearcastError):
    """A source is missing, of an unknown type, or contains no image."""


@dataclass(frozen=True, kw_only=True)
class FileState:
    """Size and modification time of a file, to detect whether it has changed since its inspection.

    Attributes:
        size: in bytes.
        modified: time of the last write, UTC, as ``2026-11-28T06:49:30.123456789Z``.
    """

    size: int
    modified: str

    def __str__(self) -> str:
        return f"{self.size} {self.modified}"


def _no_state() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image of a source, not read yet.

    Attributes:
        name: unique name in the results: the file's path as the source gives it, with forward slashes;
            ``parts.zip!a/b.jpg``, ``belt.mp4#000123``.
        key: the name relative to the source, without a mount point: the same on all machines. Shards depend on it.
        read: returns the file's bytes or, for a video or an array, the image (uint8; (height, width, 3) in RGB order or
            (height, width)). Thread-safe; raises PictureError.
        state: returns the file's current state; None if there is no file, or it is unknown. Thread-safe.
    """

    name: str
    key: str
    read: Callable[[], bytes | Picture] = field(repr=False)
    state: Callable[[], FileState | None] = field(default=_no_state, repr=False, compare=False)


def file_item(path: Path, key: str) -> Item:
    """Make the item of an image file."""
    return Item(name=path.as_posix(), key=key, read=partial(read_bytes, path), state=partial(file_state, path))


def file_state(path: Path) -> FileState | None:
    """Get the state of a file; None if it is not available."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL byte in the path
        return None
    return FileState(size=stat.st_size, modified=moment(stat.st_mtime_ns))


def moment(nanoseconds: int) -> str:
    """Format a time since 1970 as ISO 8601 with nanoseconds, UTC.

    >>> moment(1_000_000_000_000_000_001)
    '2001-09-09T01:46:40.000000001Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (ValueError, OverflowError, OSError):  # a file of the year 10000
        return f"{nanoseconds} ns"


def bad_item(name: str, key: str, reason: str, state: Callable[[], FileState | None] = _no_state) -> Item:
    """Make an item whose ``read`` raises, so that an error of a source becomes a row of the results."""
    return Item(name=name, key=key, read=partial(_raise, f"{name}: {reason}"), state=state)


def _raise(message: str) -> NoReturn:
    raise PictureError(PictureFault.UNREADABLE, message)
