"""Pictures of a .zip, read one by one; nothing is unpacked to disk, so that an entry's name is never a path."""

import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import MAX_BYTES
from clearcast.runtime.sources.folders import is_picture
from clearcast.runtime.sources.item import Item, SourceError

SUFFIX = ".zip"
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # by others, ``zipfile`` unpacks any amount at once
_PLAIN_BYTES = 64 * 1024 * 1024  # an entry of this size may be packed as tightly as it can be
_MOST_PACKED = 100  # a larger one to this part of its size; pictures are packed already, bombs a thousandfold


def archive_items(path: Path) -> Iterator[Item]:
    """The pictures of a .zip, by suffix, sorted by name; of entries of one name the last counts, as in any unpacker.

    Raises:
        SourceError: the file is no .zip, or is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)  # closes itself when its last item is gone: they outlive this function
    except Exception as error:  # a damaged file raises many kinds
        raise SourceError(f"{path}: cannot be read as .zip ({error}); copy or pack it again") from None
    entries = {entry.filename: entry for entry in archive.infolist() if _shown(entry)}
    lock = threading.Lock()
    return (
        Item(
            name=f"{path.as_posix()}!{name}",
            key=name,
            read=partial(_read, archive, entries[name], f"{path}!{name}", lock),
        )
        for name in sorted(entries)
    )


def _shown(entry: zipfile.ZipInfo) -> bool:
    parts = entry.filename.split("/")
    hidden = any(part.startswith(".") and part != ".." for part in parts) or parts[0] == "__MACOSX"
    return not entry.is_dir() and not hidden and is_picture(entry.filename)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, lock: threading.Lock) -> bytes:
    """An entry's bytes, of which no more are unpacked than the entry claims; ``zipfile`` checks their sum."""
    _require_usual(entry, name)
    try:
        with lock:
            stream = archive.open(entry)
        try:
            data = stream.read(entry.file_size)
        finally:
            with lock:
                stream.close()
    except Exception as error:  # a damaged entry raises many kinds
        raise PictureError(PictureFault.UNREADABLE, f"{name}: cannot be unpacked ({error}); pack it again") from None
    if not data:
        raise PictureError(PictureFault.EMPTY, f"{name}: the entry is empty (0 bytes); pack the picture again")
    return data


def _require_usual(entry: zipfile.ZipInfo, name: str) -> None:
    if entry.flag_bits & 1:
        raise PictureError(PictureFault.UNSUPPORTED, f"{name}: needs a password; pack it without")
    if entry.compress_type not in _METHODS:
        raise PictureError(PictureFault.UNSUPPORTED, f"{name}: packed in an unusual way; needed is deflate, or none")
    packed = entry.file_size > max(_PLAIN_BYTES, _MOST_PACKED * entry.compress_size)
    if entry.file_size > MAX_BYTES or packed:
        raise PictureError(
            PictureFault.TOO_LARGE,
            f"{name}: {entry.compress_size:,} bytes claim to unpack to {entry.file_size:,}; at most {MAX_BYTES:,} are "
            f"read, and beyond {_PLAIN_BYTES:,} at most {_MOST_PACKED} times as many as are packed",
        )
