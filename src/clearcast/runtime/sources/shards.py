"""Shards: shares of a source for machines that do not communicate."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from clearcast.runtime.sources.item import Item, SourceError


@dataclass(frozen=True)
class Shard:
    """Share ``number`` (from 1) of ``total``: each image belongs to exactly one.

    The assignment depends only on a hash of the item's key. So the shards of all machines cover the source exactly,
    even if mount points or the order of files differ, or while images are added. (With a round robin, one more file on
    one machine would shift all that follow.) The price: the sizes of shards differ by chance, by about their square
    root. Names are normalised to Unicode's composed form, since some systems decompose them.

    Paths from stdin or a Python sequence count as written: give relative paths if mount points differ.
    """

    number: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise SourceError(
                f"shard {self.number}/{self.total}: expected NUMBER/TOTAL with NUMBER from 1 to TOTAL, such as 3/16"
            )

    def holds(self, item: Item) -> bool:
        """Whether an item belongs to this shard."""
        key = unicodedata.normalize("NFC", item.key).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return int.from_bytes(digest) % self.total == self.number - 1


def parse_shard(text: str) -> Shard:
    """Parse a shard such as ``3/16``.

    Raises:
        SourceError: not two whole numbers, or the first is not between 1 and the second.

    >>> parse_shard("3/16")
    Shard(number=3, total=16)
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    if match is None:
        raise SourceError(f"shard {text!r}: expected NUMBER/TOTAL with NUMBER from 1 to TOTAL, such as 3/16")
    return Shard(int(match[1]), int(match[2]))
