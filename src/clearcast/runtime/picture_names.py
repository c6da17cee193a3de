r"""Names of image outputs: they depend only on the input's key.

So they are independent of order, threads, shards and resuming, and no two keys share a name. A key's folders are kept.
``a.png`` stays ``a.png``; if the suffix changes, the new one is appended to the whole name (``a.jpg.png``), so that the
outputs of ``a.jpg`` and ``a.png`` differ; a file without an image suffix also gets ``.file``. Characters that some
system does not allow are written as ``%`` and two hexadecimal digits per byte, and names that are too long are cut and
end in a hash.
"""

import hashlib
import re
import unicodedata
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from clearcast.file_kinds import has_picture_suffix

_MAX_BYTES = 255  # of UTF-8 in a name, on nearly all file systems
_HASH_DIGITS = 10
_NO_SUFFIX = ".file"
_FORBIDDEN = re.compile(
    r"""
      [<>:"|?*\\\x00-\x1f\x7f\ud800-\udfff]                     # characters that Windows forbids, and surrogates
    | %(?=[0-9a-f]{2})                                          # what would look like an escaped character
    | [.\ ]\Z                                                   # endings that Windows drops
    | ^(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)).      # devices of Windows
    | ^\.                                                       # hidden names, and the folders . and ..
    """,
    re.VERBOSE | re.IGNORECASE,
)


def picture_name(key: str, suffix: str, *, is_file: bool = True, folds: bool = False) -> PurePosixPath:
    """Path of the image output for an item, relative to the output folder.

    Args:
        key: of the item, with forward slashes.
        suffix: of the new image, such as ``.png``.
        is_file: whether the item is a file, not a frame of a video.
        folds: whether the folder ignores case in names, see ``folds_names``.

    >>> [str(picture_name(key, ".png")) for key in ("b/a.png", "b/a.jpg", "../a", "/c:.png", "A.png")]
    ['b/a.png', 'b/a.jpg.png', '%2e%2e/a.file.png', '%2f/c%3a.png', 'A.png']
    >>> str(picture_name("#000001", ".png", is_file=False)), str(picture_name("A.png", ".png", folds=True))
    ('#000001.png', 'A~28e6ae4e94.png')
    """
    *folders, name = key.split("/")
    stem = _stem_for(name, suffix) if is_file else name
    parts = [_folder_name(folder, folds=folds) for folder in folders]
    return PurePosixPath(*parts, _unique_name(_escape(stem), suffix, name, folds=folds))


def folds_names(folder: Path) -> bool:
    """Whether a folder ignores case in names, as usual on Windows and macOS.

    Raises:
        OSError: the folder is not writable.
    """
    with NamedTemporaryFile(dir=folder, prefix=".CLEARCAST-") as file:
        path = Path(file.name)
        return path.with_name(path.name.swapcase()).exists()


def _stem_for(name: str, suffix: str) -> str:
    """Name of a new image, without its suffix."""
    stem = name.removesuffix(suffix)
    if stem and stem != name and not has_picture_suffix(stem) and not stem.lower().endswith(_NO_SUFFIX):
        return stem
    return name if has_picture_suffix(name) else name + _NO_SUFFIX


def _folder_name(name: str, *, folds: bool) -> str:
    """Name of a folder, which must differ from those of images."""
    escaped = _escape(name)
    if has_picture_suffix(escaped):
        stem, _, rest = escaped.rpartition(".")
        escaped = f"{stem}%2e{rest}"
    return _unique_name(escaped, "", name, folds=folds)


def _escape(name: str) -> str:
    return _FORBIDDEN.sub(lambda match: _percent_encode(match[0]), name) or _percent_encode("/")


def _percent_encode(character: str) -> str:
    try:
        data = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate of UTF-16
        data = character.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02x}" for byte in data)


def _unique_name(stem: str, suffix: str, name: str, *, folds: bool) -> str:
    """Join stem and suffix, with a hash of the name between them if it is needed to keep names distinct."""
    data = stem.encode()
    if len(data) + len(suffix) <= _MAX_BYTES and not (folds and stem != _fold_case(stem)):
        return stem + suffix
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    cut = data[: _MAX_BYTES - len(suffix) - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{cut}~{digest}{suffix}"


def _fold_case(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
