"""Items of a source (images to inspect, not read yet), their file states, shards, and the error of a source."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import ClearcastError, PictureError, PictureFault
from clearcast.core.imaging import read_image_bytes
from clearcast.types import Inspection


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
class SourceItem:
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
    read: Callable[[], bytes | ImageArray] = field(repr=False)
    state: Callable[[], FileState | None] = field(default=_no_state, repr=False, compare=False)


def make_file_item(path: Path, key: str) -> SourceItem:
    """Make the item of an image file."""
    return SourceItem(
        name=path.as_posix(), key=key, read=partial(read_image_bytes, path), state=partial(read_file_state, path)
    )


def read_file_state(path: Path) -> FileState | None:
    """Get the state of a file; None if it is not available."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL byte in the path
        return None
    return FileState(size=stat.st_size, modified=format_nanoseconds(stat.st_mtime_ns))


def format_nanoseconds(nanoseconds: int) -> str:
    """Format a time since 1970 as ISO 8601 with nanoseconds, UTC.

    >>> format_nanoseconds(1_000_000_000_000_000_001)
    '2001-09-09T01:46:40.000000001Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (ValueError, OverflowError, OSError):  # a file of the year 10000
        return f"{nanoseconds} ns"


def make_unreadable_item(
    name: str, key: str, reason: str, state: Callable[[], FileState | None] = _no_state
) -> SourceItem:
    """Make an item whose ``read`` raises, so that an error of a source becomes a row of the results."""
    return SourceItem(name=name, key=key, read=partial(_raise, f"{name}: {reason}"), state=state)


def _raise(message: str) -> NoReturn:
    raise PictureError(PictureFault.UNREADABLE, message)


@dataclass(frozen=True)
class Shard:
    """Share ``number`` (from 1) of ``total``: each image belongs to exactly one.

    The assignment depends only on a hash of the item's key. So the shards of all machines cover the source exactly,
    even if mount points or the order of files differ, or while images are added. (With a round robin, one more file on
    one machine would shift all that follow.) The sizes of shards differ by chance, by about their square root. Names
    are normalised to Unicode's composed form, since some systems decompose them.

    Paths from stdin or a Python sequence count as written: give relative paths if mount points differ.
    """

    number: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise SourceError(
                f"shard {self.number}/{self.total}: expected NUMBER/TOTAL with NUMBER from 1 to TOTAL, such as 3/16"
            )

    def holds(self, item: SourceItem) -> bool:
        """Return whether an item belongs to this shard."""
        key = unicodedata.normalize("NFC", item.key).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return int.from_bytes(digest) % self.total == self.number - 1


def parse_shard(text: str) -> Shard:
    """Parse a shard such as ``3/16``.

    Raises:
        SourceError: not two whole numbers, or the first is not between 1 and the second.

    >>> parse_shard("3/16")
    Shard(number=3, total=16)
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    if match is None:
        raise SourceError(f"shard {text!r}: expected NUMBER/TOTAL with NUMBER from 1 to TOTAL, such as 3/16")
    return Shard(int(match[1]), int(match[2]))


def is_same_image_continued(failed: Inspection, item: SourceItem, state: FileState | None) -> bool:
    """Return whether a changed file is still the same image that failed, not another one.

    It is if it only grew, or if it could not be read and only its permissions changed.

    Args:
        failed: the inspection of the earlier file, with an error.
        item: the file.
        state: its current state; None if not available.
    """
    if state is None or failed.size is None:
        return False
    if failed.sha256 is None and state == FileState(size=failed.size, modified=failed.modified or ""):
        return True
    if state.size <= failed.size:
        return False
    return failed.size == 0 or _begins_with(item, failed.size, failed.sha256)


def _begins_with(item: SourceItem, size: int, sha256: str | None) -> bool:
    try:
        data = item.read()
    except PictureError:
        return False
    return isinstance(data, bytes) and hashlib.sha256(data[:size]).hexdigest() == sha256
