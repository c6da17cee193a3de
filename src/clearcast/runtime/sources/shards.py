"""Shares of a source for machines that do not talk to each other."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from clearcast.runtime.sources.item import Item, SourceError


@dataclass(frozen=True)
class Shard:
    """Share ``number`` (from 1) of ``total``: each picture belongs to exactly one.

    Which one follows from a hash of the item's key alone. So the shares of all machines make the whole, also where the
    folder is mounted at another place, where it lists its files in another order, and while pictures are added; with
    turns (every sixteenth picture), one file more on one machine would shift all that follow, and some pictures would
    be in two shares and others in none. The price: shares are not of one size, but differ by chance, by about the
    square root of their size. Names are compared in Unicode's composed form, since some systems decompose them.

    Paths from stdin or a Python sequence count as they are written: give relative ones where machines differ in mounts.
    """

    number: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise SourceError(
                f"shard {self.number}/{self.total}: needed is NUMBER/TOTAL with a NUMBER of 1 to TOTAL, such as 3/16"
            )

    def holds(self, item: Item) -> bool:
        """Whether an item belongs to this share."""
        key = unicodedata.normalize("NFC", item.key).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return int.from_bytes(digest) % self.total == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read a shard such as ``3/16``.

    Raises:
        SourceError: not two whole numbers, or the first is not among 1 to the second.

    >>> parse_shard("3/16")
    Shard(number=3, total=16)
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    if match is None:
        raise SourceError(f"shard {text!r}: needed is NUMBER/TOTAL with a NUMBER of 1 to TOTAL, such as 3/16")
    return Shard(int(match[1]), int(match[2]))
