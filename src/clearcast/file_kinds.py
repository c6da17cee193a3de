"""Classification of the files in a folder: images, litter, and other files. All commands use the same rule.

*Litter* is what operating systems leave in folders: hidden files, thumbnails, recycle bins. It is skipped silently. A
file is an *image* by its suffix. Otherwise its first bytes decide: of a file without a suffix any image signature
counts, of a file with another suffix only that of JPEG (raw files of cameras begin as TIFF does, and hold a thumbnail).
Motion JPEG is a video. All *files of other kinds* are left out and counted, so that a command can report them.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
)
HEAD_BYTES = 16  # length of the longest signature

_LITTER = frozenset(
    {
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "thumbs.db",
        "desktop.ini",
        ".ds_store",
    }
)
_JPEG = b"\xff\xd8\xff"
_MAGIC = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|II\*\x00|MM\x00\*|RIFF....WEBP|BM....\x00\x00\x00\x00", re.DOTALL)
_UNFINISHED = frozenset(
    {".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".upload", ".lock"}
)
_MOTION_JPEG = frozenset({".mjpeg", ".mjpg"})  # videos with the signature of JPEG
_SHOWN_SUFFIX = re.compile(r"\.[^\s.]{1,15}")
_SHOWN_KINDS = 10


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by an operating system, by its name.

    >>> is_litter("Thumbs.db"), is_litter("._part.jpg"), is_litter("part.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _LITTER


def has_picture_suffix(name: str) -> bool:
    """Whether a file name has the suffix of an image.

    >>> has_picture_suffix("a.JFIF"), has_picture_suffix("a.heic")
    (True, False)
    """
    return suffix_of(name) in PICTURE_SUFFIXES


def suffix_of(name: str) -> str:
    """Return the last suffix of a file name in lower case; "" if it has none.

    >>> suffix_of("a.tar.GZ"), suffix_of("part")
    ('.gz', '')
    """
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - fast, since it runs for each file of a folder


def is_picture(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is an image, by its suffix or, unless the suffix marks an unfinished file, by its first bytes.

    Args:
        name: the file name.
        head: returns the first ``HEAD_BYTES`` bytes; may raise any exception if the file cannot be read.
    """
    suffix = suffix_of(name)
    if suffix in PICTURE_SUFFIXES:
        return True
    if suffix in _UNFINISHED | _MOTION_JPEG:
        return False
    try:
        first_bytes = head()
    except Exception:  # zips and object stores raise many types; an unreadable file is not an image
        return False
    return first_bytes.startswith(_JPEG) if suffix else _MAGIC.match(first_bytes) is not None


def file_head(path: str | Path) -> bytes:
    """Read the first bytes of a regular file; return b"" for anything else, such as a pipe, which could block.

    Raises:
        OSError: the file cannot be read.
    """
    if not Path(path).is_file():
        return b""
    with Path(path).open("rb", buffering=0) as file:
        return file.read(HEAD_BYTES)


class OtherFiles:
    """Counts of the files that a source leaves out, by suffix (such as ``.heic``, or ``no suffix``)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a file."""
        suffix = suffix_of(name)
        self.counts[suffix if _SHOWN_SUFFIX.fullmatch(suffix) else "no suffix"] += 1

    @property
    def sentence(self) -> str:
        """Summary for messages; "" if there are none.

        >>> others = OtherFiles()
        >>> for name in ("a.heic", "b.TXT", "c.txt", "d"):
        ...     others.add(name)
        >>> others.sentence
        '4 files of other kinds were left out: .heic 1, .txt 2, no suffix 1'
        """
        if not self.counts:
            return ""
        count = self.counts.total()
        files = "1 file of another kind was" if count == 1 else f"{count:,} files of other kinds were"
        return f"{files} left out: {listed_kinds(self.counts)}"


def listed_kinds(counts: Counter[str]) -> str:
    """List file kinds with their counts, sorted by name; of many kinds only the most frequent."""
    shown = sorted(kind for kind, _ in counts.most_common(_SHOWN_KINDS))
    shown.sort(key="no suffix".__eq__)
    more = len(counts) - len(shown)
    return ", ".join(f"{kind} {counts[kind]:,}" for kind in shown) + (f" and {more} more kinds" if more else "")


def find_pictures(folder: Path, others: OtherFiles | None = None) -> list[Path]:
    """List all images below a folder, sorted by path, and count other files. Links to folders are not followed."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_litter(name)]
        for name in filter(_is_not_litter, names):
            path = Path(parent, name)
            if not path.is_file():
                continue
            if is_picture(name, partial(file_head, path)):
                found.append(path)
            elif others is not None:
                others.add(name)
    return sorted(found)


def files_of(folder: Path) -> Iterator[str]:
    """Iterate over the names of the files in a folder without litter, sorted; empty if the folder cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entry.name for entry in entries if _is_not_litter(entry.name) and entry.is_file())
    except OSError:
        return


def _is_not_litter(name: str) -> bool:
    return not is_litter(name)
