"""File and folder names of the image store; any other name is a stray file."""

import re
from typing import Final

NOISY: Final = "noisy"  # the original bytes; the file's time is when they were last received
THUMBNAIL: Final = "thumbnail.jpg"
INCOMING: Final = "incoming"  # folder of files being written
HALF_WRITTEN: Final = "tmp"  # prefix of the names in it

SHARD = re.compile(r"[0-9a-f]{2}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(rf"{NOISY}|{re.escape(THUMBNAIL)}|[0-9a-f]{{16}}\.(?:jpg|npy)")


def is_shard(name: str) -> bool:
    """Return whether a name is that of a shard: the folder of images whose SHA-256 begins with it."""
    return SHARD.fullmatch(name) is not None


def is_picture(name: str, shard: str) -> bool:
    """Return whether a name is that of an image's folder within a shard."""
    return SHA256.fullmatch(name) is not None and name.startswith(shard)


def is_file(name: str) -> bool:
    """Return whether a name is that of a file in an image's folder."""
    return _FILE.fullmatch(name) is not None
