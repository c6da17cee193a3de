"""One picture to inspect, and what is wrong with a source that gives none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

from clearcast.errors import ClearcastError, PictureError, PictureFault
from clearcast.imaging import Picture, read_bytes


class SourceError(ClearcastError):
    """A source is missing, of an unknown kind, or gives no picture."""


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
    """

    name: str
    key: str
    read: Callable[[], bytes | Picture] = field(repr=False)


def file_item(path: Path, key: str) -> Item:
    """The item of a picture file."""
    return Item(name=path.as_posix(), key=key, read=partial(read_bytes, path))


def bad_item(name: str, key: str, reason: str) -> Item:
    """An item that cannot be read: what a source found wrong becomes a row of the results, and stops nothing."""
    return Item(name=name, key=key, read=partial(_refuse, f"{name}: {reason}"))


def _refuse(message: str) -> NoReturn:
    raise PictureError(PictureFault.UNREADABLE, message)
