"""Names of the files and folders of a station's pictures; whatever has another name is not the station's own."""

import re
from typing import Final

NOISY: Final = "noisy"  # the bytes as they came; the file's time is when they came last
THUMBNAIL: Final = "thumbnail.jpg"
INCOMING: Final = "incoming"  # the folder of files that are being written
HALF_WRITTEN: Final = "tmp"  # begins the names in it

SHARD = re.compile(r"[0-9a-f]{2}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(rf"{NOISY}|{re.escape(THUMBNAIL)}|[0-9a-f]{{16}}\.(?:jpg|npy)")


def is_shard(name: str) -> bool:
    """Whether it names a folder of pictures whose SHA-256 begins so."""
    return SHARD.fullmatch(name) is not None


def is_picture(name: str, shard: str) -> bool:
    """Whether it names the folder of a picture, within the shard's folder."""
    return SHA256.fullmatch(name) is not None and name.startswith(shard)


def is_file(name: str) -> bool:
    """Whether it names a file of a picture."""
    return _FILE.fullmatch(name) is not None
