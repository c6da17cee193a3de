"""Which files of a folder are pictures, which are litter, and which are of other kinds: one rule for every command.

Litter is what systems leave in folders: hidden names, thumbnails, recycle bins. It is skipped without a word. A picture
is told by its suffix; of all others but Motion JPEG, a JPEG by its first bytes whatever its suffix says, and a file
without a suffix by its first bytes too. (Of those with another suffix no TIFF: cameras' raw files begin as one, and
hold a thumbnail.) The rest are *of other kinds*: they are left out, and counted, so that the command can say so.
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
HEAD_BYTES = 16  # as many as tell a picture

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
_MOTION_JPEG = frozenset({".mjpeg", ".mjpg"})  # videos that begin as a JPEG does
_SHOWN_SUFFIX = re.compile(r"\.[^\s.]{1,15}")
_SHOWN_KINDS = 10


def is_litter(name: str) -> bool:
    """Whether a name of a file or folder is one that systems leave behind, or hidden.

    >>> is_litter("Thumbs.db"), is_litter("._part.jpg"), is_litter("part.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _LITTER


def has_picture_suffix(name: str) -> bool:
    """Whether a file's name ends as a picture's.

    >>> has_picture_suffix("a.JFIF"), has_picture_suffix("a.heic")
    (True, False)
    """
    return suffix_of(name) in PICTURE_SUFFIXES


def suffix_of(name: str) -> str:
    """The last suffix of a name, in small letters; "" where it has none.

    >>> suffix_of("a.tar.GZ"), suffix_of("part")
    ('.gz', '')
    """
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - called for each file of a folder, again and again


def is_picture(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is a picture: by its suffix or else, unless it is still being written, by its first bytes.

    Args:
        name: of the file.
        head: gives its first ``HEAD_BYTES`` bytes; may raise anything where it cannot be read.
    """
    suffix = suffix_of(name)
    if suffix in PICTURE_SUFFIXES:
        return True
    if suffix in _UNFINISHED | _MOTION_JPEG:
        return False
    try:
        begins = head()
    except Exception:  # zips and stores raise errors of their own; what cannot be read is no picture
        return False
    return begins.startswith(_JPEG) if suffix else _MAGIC.match(begins) is not None


def file_head(path: str | Path) -> bytes:
    """The first bytes of a regular file; none of anything else, such as a pipe, which would never answer.

    Raises:
        OSError: it cannot be read.
    """
    if not Path(path).is_file():
        return b""
    with Path(path).open("rb", buffering=0) as file:
        return file.read(HEAD_BYTES)


class OtherFiles:
    """How many files of other kinds a source holds, by kind: suffixes such as ``.heic``, or ``no suffix``."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a file."""
        suffix = suffix_of(name)
        self.counts[suffix if _SHOWN_SUFFIX.fullmatch(suffix) else "no suffix"] += 1

    @property
    def sentence(self) -> str:
        """What to say of them; "" where there are none.

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
    """Kinds with their counts, by name; of very many the most frequent."""
    shown = sorted(kind for kind, _ in counts.most_common(_SHOWN_KINDS))
    shown.sort(key="no suffix".__eq__)
    more = len(counts) - len(shown)
    return ", ".join(f"{kind} {counts[kind]:,}" for kind in shown) + (f" and {more} more kinds" if more else "")


def find_pictures(folder: Path, others: OtherFiles | None = None) -> list[Path]:
    """All pictures below a folder, sorted by path; files of other kinds are counted. Linked folders are not entered."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_litter(name)]
        for name in filter(_kept, names):
            path = Path(place, name)
            if not path.is_file():
                continue
            if is_picture(name, partial(file_head, path)):
                found.append(path)
            elif others is not None:
                others.add(name)
    return sorted(found)


def files_of(folder: Path) -> Iterator[str]:
    """The names of the files in a folder, without litter, sorted; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entry.name for entry in entries if _kept(entry.name) and entry.is_file())
    except OSError:
        return


def _kept(name: str) -> bool:
    return not is_litter(name)
