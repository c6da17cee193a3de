"""Pictures of a .zip, read one by one; nothing is unpacked to disk, so that an entry's name is never a path."""

import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clearcast.errors import PictureError, PictureFault
from clearcast.file_kinds import HEAD_BYTES, OtherFiles, is_litter, is_picture
from clearcast.imaging import MAX_BYTES
from clearcast.runtime.sources.item import FileState, Item, SourceError

SUFFIX = ".zip"
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # by others, ``zipfile`` unpacks any amount at once
_PLAIN_BYTES = 64 * 1024 * 1024  # an entry of this size may be packed as tightly as it can be
_MOST_PACKED = 100  # a larger one to this part of its size; pictures are packed already, bombs a thousandfold


def archive_items(path: Path, others: OtherFiles | None = None) -> Iterator[Item]:
    """The pictures of a .zip, sorted by name; of entries of one name the last counts, as in any unpacker.

    Pictures are told as in folders, see ``file_kinds``; entries of other kinds are counted in ``others``.

    Raises:
        SourceError: the file is no .zip, or is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)  # closes itself when its last item is gone: they outlive this function
    except Exception as error:  # a damaged file raises many kinds
        raise SourceError(f"{path}: cannot be read as .zip ({error}); copy or pack it again") from None
    entries = {entry.filename: entry for entry in archive.infolist() if _is_shown(entry)}
    return _items(path, archive, entries, OtherFiles() if others is None else others)


def _items(
    path: Path, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], others: OtherFiles
) -> Iterator[Item]:
    lock = threading.Lock()
    for name in sorted(entries):
        if is_picture(name, partial(_head, archive, entries[name], lock)):
            yield Item(
                name=f"{path.as_posix()}!{name}",
                key=name,
                read=partial(_read, archive, entries[name], f"{path}!{name}", lock),
                state=partial(_state, entries[name]),
            )
        else:
            others.add(name)


def _is_shown(entry: zipfile.ZipInfo) -> bool:
    parts = (part for part in entry.filename.split("/") if part not in {".", ".."})
    return not entry.is_dir() and not any(is_litter(part) for part in parts)


def _state(entry: zipfile.ZipInfo) -> FileState:
    """Size and time as the archive lists them; it has no time zone."""
    year, month, day, hour, minute, second = entry.date_time
    return FileState(size=entry.file_size, modified=f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")


def _head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    """The first bytes of an entry; none of one that is never read."""
    if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
        return b""
    with lock, archive.open(entry) as stream:
        return stream.read(HEAD_BYTES)


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
