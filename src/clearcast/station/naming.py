"""Names of files for pictures that people named, and whose label is known."""

import re
from pathlib import PurePosixPath

from clearcast.data.words import labels_in_path
from clearcast.domain import Label

_LONGEST = 40  # characters of the stem
_DIGITS = 12  # of the hash


def safe_stem(name: str, label: Label, sha256: str) -> str:
    """A stem that begins with the label, keeps what a person reads in the old one, and ends in digits of the hash.

    Where a sheet has no column of labels they are told by the words of paths. So no other label's word is kept, and the
    hash is written in decimal digits: hexadecimal ones may spell one.

    Args:
        name: what a sender calls the picture; anything.
        label: what it shows.
        sha256: of the picture, in hexadecimal.

    >>> safe_stem("../cast_def_0_100.jpeg", Label.OK, "00" * 31 + "2a"), safe_stem("é/=1+1 - Kopie.png", Label.OK, "ff")
    ('ok_cast_0_100_000000000042', 'ok_1_1_Kopie_000000000255')
    """
    digits = f"{int(sha256, 16) % 10**_DIGITS:0{_DIGITS}}"
    stem = PurePosixPath(name.replace("\\", "/")).stem
    words = [word for word in re.split(r"[\W_]+", stem) if word and not labels_in_path(word)]
    kept = "_".join(words)[:_LONGEST].strip("_")
    whole = "_".join(filter(None, (label.value, kept, digits)))
    return whole if labels_in_path(whole) == {label} else f"{label.value}_{digits}"


def plain_name(text: str) -> str:
    """Letters, digits, hyphens and underscores of a text, so that no spreadsheet takes it for a formula.

    >>> plain_name("=Labels 2"), plain_name("...")
    ('Labels_2', 'feedback')
    """
    return re.sub(r"[^\w-]+", "_", text).strip("_-") or "feedback"
