"""Images of a .zip, read one by one; nothing is unpacked to disk, so an entry's name is never used as a path."""

import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clearcast.core.errors import PictureError, PictureFault
from clearcast.core.files import SIGNATURE_BYTES, OtherFileCounts, is_ignored_name, is_image_file
from clearcast.core.imaging import MAX_IMAGE_BYTES
from clearcast.inference.sources.item import FileState, SourceError, SourceItem

ARCHIVE_SUFFIX = ".zip"
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # with others, ``zipfile`` unpacks any amount at once
_UNCHECKED_BYTES = 64 * 1024 * 1024  # up to this size an entry may have any compression ratio
_MAX_RATIO = 100  # of a larger entry; images are compressed already, zip bombs a thousandfold


def archive_items(path: Path, others: OtherFileCounts | None = None) -> Iterator[SourceItem]:
    """List the images of a .zip, sorted by name; of several entries with one name the last counts, as for any unpacker.

    Images are recognised as in folders, see ``core.files``; entries of other types are counted in ``others``.

    Raises:
        SourceError: the file is not a .zip, or is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)  # closed with its last item: items outlive this function
    except Exception as error:  # a damaged file raises many types of error
        raise SourceError(f"{path}: cannot read as .zip ({error}); copy or zip it again") from None
    entries = {entry.filename: entry for entry in archive.infolist() if _is_visible(entry)}
    return _items(path, archive, entries, OtherFileCounts() if others is None else others)


def _items(
    path: Path, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], others: OtherFileCounts
) -> Iterator[SourceItem]:
    lock = threading.Lock()
    for name in sorted(entries):
        if is_image_file(name, partial(_read_head, archive, entries[name], lock)):
            yield SourceItem(
                name=f"{path.as_posix()}!{name}",
                key=name,
                read=partial(_read, archive, entries[name], f"{path}!{name}", lock),
                state=partial(_state, entries[name]),
            )
        else:
            others.add(name)


def _is_visible(entry: zipfile.ZipInfo) -> bool:
    parts = (part for part in entry.filename.split("/") if part not in {".", ".."})
    return not entry.is_dir() and not any(is_ignored_name(part) for part in parts)


def _state(entry: zipfile.ZipInfo) -> FileState:
    """Size and time as listed in the archive, which has no time zone."""
    year, month, day, hour, minute, second = entry.date_time
    return FileState(size=entry.file_size, modified=f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")


def _read_head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    """Read the first bytes of an entry; b"" if it is encrypted or uses an unsupported method."""
    if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
        return b""
    with lock, archive.open(entry) as stream:
        return stream.read(SIGNATURE_BYTES)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, lock: threading.Lock) -> bytes:
    """Read an entry, unpacking at most its declared size; ``zipfile`` verifies the checksum."""
    _require_readable(entry, name)
    try:
        with lock:
            stream = archive.open(entry)
        try:
            data = stream.read(entry.file_size)
        finally:
            with lock:
                stream.close()
    except Exception as error:  # a damaged entry raises many types of error
        raise PictureError(PictureFault.UNREADABLE, f"{name}: cannot unpack ({error}); zip it again") from None
    if not data:
        raise PictureError(PictureFault.EMPTY, f"{name}: the entry is empty (0 bytes); zip the image again")
    return data


def _require_readable(entry: zipfile.ZipInfo, name: str) -> None:
    if entry.flag_bits & 1:
        raise PictureError(PictureFault.UNSUPPORTED, f"{name}: needs a password; zip it without one")
    if entry.compress_type not in _METHODS:
        reason = f"unsupported compression method {entry.compress_type}; zip it again with deflate or none"
        raise PictureError(PictureFault.UNSUPPORTED, f"{name}: {reason}")
    is_bomb = entry.file_size > max(_UNCHECKED_BYTES, _MAX_RATIO * entry.compress_size)
    if entry.file_size > MAX_IMAGE_BYTES or is_bomb:
        raise PictureError(
            PictureFault.TOO_LARGE,
            f"{name}: {entry.compress_size:,} bytes would unpack to {entry.file_size:,}; allowed are "
            f"{MAX_IMAGE_BYTES:,}, and above {_UNCHECKED_BYTES:,} at most {_MAX_RATIO} times the compressed size",
        )
