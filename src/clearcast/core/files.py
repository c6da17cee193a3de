"""Files: atomic replacement, permissions, escaping of names, and recognition of image files.

An image file is recognised by its suffix or its signature (first bytes). Hidden files and those of operating systems
are ignored.
"""

import hashlib
import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"})
SIGNATURE_BYTES = 16  # length of the longest signature

_LONGEST_NAME = 255  # bytes; the limit of nearly all file systems
_ESCAPES = re.compile(r"\\u(005c|d[89a-f][0-9a-f]{2})")
_UNSAFE = re.compile(r"\\(?=u005c|ud[89a-f][0-9a-f]{2})|[\ud800-\udfff]")

_IGNORED_NAMES = frozenset(
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
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|II\*\x00|MM\x00\*|RIFF....WEBP|BM....\x00\x00\x00\x00", re.DOTALL
)
_UNFINISHED = frozenset(
    {".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".upload", ".lock"}
)
_MOTION_JPEG = frozenset({".mjpeg", ".mjpg"})  # videos with the signature of JPEG
_SHOWN_SUFFIX = re.compile(r"\.[^\s.]{1,15}")
_SHOWN_KINDS = 10

_logger = logging.getLogger(__name__)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path beside ``path``, and move it to ``path`` on success.

    An interruption leaves the old file. The temporary path has the same suffix, since many writers choose their format
    by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(path: Path) -> str:
    """Return a hidden name; a hash replaces the stem if the name would be too long for a file system."""
    ending = f".{os.getpid()}{path.suffix}"
    if len(os.fsencode(f".{path.stem}{ending}")) <= _LONGEST_NAME:
        return f".{path.stem}{ending}"
    return f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}"


def restrict_to_owner(path: Path) -> None:
    """Restrict a world-readable file or folder to its owner, and log a warning.

    Permissions of a file that only its group can read are left as they are: they were set on purpose.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & stat.S_IRWXO or os.name == "nt":
        return
    try:
        path.chmod(mode & stat.S_IRWXU)
    except OSError as error:
        _logger.warning("%s: readable by every user of this machine; cannot change the permissions (%s)", path, error)
    else:
        _logger.warning("%s: was readable by every user of this machine; restricted it to its owner", path)


def escape_name(name: str) -> str:
    r"""Escape a file name to text without surrogates; ``unescape_name`` is the inverse.

    >>> print(escape_name("bad\udcff.jpg"), escape_name(r"bad\udcff.jpg"), escape_name(r"a\b.jpg"))
    bad\udcff.jpg bad\u005cudcff.jpg a\b.jpg
    """
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", name)


def unescape_name(text: str) -> str:
    r"""Restore the file name that ``escape_name`` escaped.

    >>> unescape_name(r"bad\u005cudcff.jpg") == r"bad\udcff.jpg"
    True
    """
    return _ESCAPES.sub(lambda match: chr(int(match[1], 16)), text)


def is_ignored_name(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by an operating system, by its name.

    >>> is_ignored_name("Thumbs.db"), is_ignored_name("._part.jpg"), is_ignored_name("part.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _IGNORED_NAMES


def has_image_suffix(name: str) -> bool:
    """Whether a file name has the suffix of an image.

    >>> has_image_suffix("a.JFIF"), has_image_suffix("a.heic")
    (True, False)
    """
    return get_suffix(name) in IMAGE_SUFFIXES


def get_suffix(name: str) -> str:
    """Return the last suffix of a file name in lower case; "" if it has none.

    >>> get_suffix("a.tar.GZ"), get_suffix("part")
    ('.gz', '')
    """
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - fast, since it runs for each file of a folder


def is_image_file(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is an image, by its suffix or, unless the suffix marks an unfinished file, by its first bytes.

    Args:
        name: the file name.
        head: returns the first ``SIGNATURE_BYTES`` bytes; may raise any exception if the file cannot be read.
    """
    suffix = get_suffix(name)
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in _UNFINISHED | _MOTION_JPEG:
        return False
    try:
        first_bytes = head()
    except Exception:  # zips and object stores raise many types; an unreadable file is not an image
        return False
    return first_bytes.startswith(_JPEG) if suffix else _SIGNATURES.match(first_bytes) is not None


def read_first_bytes(path: str | Path) -> bytes:
    """Read the first bytes of a regular file; return b"" for anything else, such as a pipe, which could block.

    Raises:
        OSError: the file cannot be read.
    """
    if not Path(path).is_file():
        return b""
    with Path(path).open("rb", buffering=0) as file:
        return file.read(SIGNATURE_BYTES)


class OtherFileCounts:
    """Counts of the files that a source leaves out, by suffix (such as ``.heic``, or ``no suffix``)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a file."""
        suffix = get_suffix(name)
        self.counts[suffix if _SHOWN_SUFFIX.fullmatch(suffix) else "no suffix"] += 1

    @property
    def sentence(self) -> str:
        """Summary for messages; "" if there are none.

        >>> others = OtherFileCounts()
        >>> for name in ("a.heic", "b.TXT", "c.txt", "d"):
        ...     others.add(name)
        >>> others.sentence
        '4 files of other kinds were left out: .heic 1, .txt 2, no suffix 1'
        """
        if not self.counts:
            return ""
        count = self.counts.total()
        files = "1 file of another kind was" if count == 1 else f"{count:,} files of other kinds were"
        return f"{files} left out: {format_file_kinds(self.counts)}"


def format_file_kinds(counts: Counter[str]) -> str:
    """List file kinds with their counts, sorted by name; of many kinds only the most frequent."""
    shown = sorted(kind for kind, _ in counts.most_common(_SHOWN_KINDS))
    shown.sort(key="no suffix".__eq__)
    more = len(counts) - len(shown)
    return ", ".join(f"{kind} {counts[kind]:,}" for kind in shown) + (f" and {more} more kinds" if more else "")


def find_image_files(folder: Path, others: OtherFileCounts | None = None) -> list[Path]:
    """List all images below a folder, sorted by path, and count other files in ``others``.

    Links to folders are not followed.
    """
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_ignored_name(name)]
        for name in filter(_is_not_ignored, names):
            path = Path(parent, name)
            if not path.is_file():
                continue
            if is_image_file(name, partial(read_first_bytes, path)):
                found.append(path)
            elif others is not None:
                others.add(name)
    return sorted(found)


def list_files(folder: Path) -> Iterator[str]:
    """Iterate over the names of the files in a folder, sorted; see ``is_ignored_name``. Ignore an unreadable folder."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entry.name for entry in entries if _is_not_ignored(entry.name) and entry.is_file())
    except OSError:
        return


def _is_not_ignored(name: str) -> bool:
    return not is_ignored_name(name)
