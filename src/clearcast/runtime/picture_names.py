r"""Names of pictures that are written beside the results: they follow from the input's key alone.

So they are the same in any order, thread, share of the work and continuation, and no two keys have one name. A key's
folders are kept. ``a.png`` stays ``a.png``; where the suffix changes, the new one is added to the whole name
(``a.jpg.png``), so that the pictures of ``a.jpg`` and ``a.png`` stay apart; a file without a picture's suffix gets
``.file`` too. What some system refuses in a name is written as ``%`` and two hexadecimal digits for each of its bytes,
and what is too long is cut, and ends in a hash.
"""

import hashlib
import re
import unicodedata
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from clearcast.file_kinds import has_picture_suffix

_LONGEST = 255  # bytes of UTF-8 in a name, on nearly all file systems
_HASH_DIGITS = 10
_NO_SUFFIX = ".file"
_REFUSED = re.compile(
    r"""
      [<>:"|?*\\\x00-\x1f\x7f\ud800-\udfff]                     # characters that Windows refuses, or that are none
    | %(?=[0-9a-f]{2})                                          # what would look like one that is written so
    | [.\ ]\Z                                                   # ends that Windows drops
    | ^(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)).      # devices of Windows
    | ^\.                                                       # hidden names, and the folders . and ..
    """,
    re.VERBOSE | re.IGNORECASE,
)


def picture_name(key: str, suffix: str, *, is_file: bool = True, folds: bool = False) -> PurePosixPath:
    """The path of a picture that is made from an item, relative to the folder of such pictures.

    Args:
        key: of the item, with forward slashes.
        suffix: of the new picture, such as ``.png``.
        is_file: whether the item is a file, and no frame of a video.
        folds: whether names that differ in capitals alone are one name there, see ``folds_names``.

    >>> [str(picture_name(key, ".png")) for key in ("b/a.png", "b/a.jpg", "../a", "/c:.png", "A.png")]
    ['b/a.png', 'b/a.jpg.png', '%2e%2e/a.file.png', '%2f/c%3a.png', 'A.png']
    >>> str(picture_name("#000001", ".png", is_file=False)), str(picture_name("A.png", ".png", folds=True))
    ('#000001.png', 'A~28e6ae4e94.png')
    """
    *folders, name = key.split("/")
    stem = _with_suffix(name, suffix) if is_file else name
    parts = [_folder(folder, folds=folds) for folder in folders]
    return PurePosixPath(*parts, _short(_allowed(stem), suffix, name, folds=folds))


def folds_names(folder: Path) -> bool:
    """Whether a folder takes names for one that differ in capitals alone, as usual on Windows and macOS.

    Raises:
        OSError: nothing can be written there.
    """
    with NamedTemporaryFile(dir=folder, prefix=".CLEARCAST-") as file:
        path = Path(file.name)
        return path.with_name(path.name.swapcase()).exists()


def _with_suffix(name: str, suffix: str) -> str:
    """The name of a new picture, without its suffix."""
    stem = name.removesuffix(suffix)
    if stem and stem != name and not has_picture_suffix(stem) and not stem.lower().endswith(_NO_SUFFIX):
        return stem
    return name if has_picture_suffix(name) else name + _NO_SUFFIX


def _folder(name: str, *, folds: bool) -> str:
    """The name of a folder, which must not be that of a picture."""
    allowed = _allowed(name)
    if has_picture_suffix(allowed):
        stem, _, rest = allowed.rpartition(".")
        allowed = f"{stem}%2e{rest}"
    return _short(allowed, "", name, folds=folds)


def _allowed(name: str) -> str:
    return _REFUSED.sub(lambda match: _written(match[0]), name) or _written("/")


def _written(character: str) -> str:
    try:
        data = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character of UTF-16
        data = character.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02x}" for byte in data)


def _short(stem: str, suffix: str, name: str, *, folds: bool) -> str:
    """Stem and suffix; between them a hash of the name where that alone keeps two names apart."""
    data = stem.encode()
    if len(data) + len(suffix) <= _LONGEST and not (folds and stem != _folded(stem)):
        return stem + suffix
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    cut = data[: _LONGEST - len(suffix) - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{cut}~{digest}{suffix}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
