"""Safe file names for images whose label is known."""

import re
from pathlib import PurePosixPath

from clearcast.data.words import labels_in_path
from clearcast.domain import Label

_MAX_STEM = 40  # characters kept of the original stem
_HASH_DIGITS = 12


def safe_stem(name: str, label: Label, sha256: str) -> str:
    """Return a file stem: the label, the readable words of the name, and digits of the hash.

    Without a label column, a sheet's labels are taken from the words of the paths. So words of other labels are left
    out, and the hash is written in decimal digits: hexadecimal ones may spell a label.

    Args:
        name: the sender's name of the image; any text.
        label: the image's label.
        sha256: hash of the image, in hexadecimal.

    >>> safe_stem("../cast_def_0_100.jpeg", Label.OK, "00" * 31 + "2a"), safe_stem("é/=1+1 - Kopie.png", Label.OK, "ff")
    ('ok_cast_0_100_000000000042', 'ok_1_1_Kopie_000000000255')
    """
    digits = f"{int(sha256, 16) % 10**_HASH_DIGITS:0{_HASH_DIGITS}}"
    stem = PurePosixPath(name.replace("\\", "/")).stem
    words = [word for word in re.split(r"[\W_]+", stem) if word and not labels_in_path(word)]
    kept = "_".join(words)[:_MAX_STEM].strip("_")
    whole = "_".join(filter(None, (label.value, kept, digits)))
    return whole if labels_in_path(whole) == {label} else f"{label.value}_{digits}"


def plain_name(text: str) -> str:
    """Return the letters, digits, hyphens and underscores of a text, so that no spreadsheet takes it for a formula.

    >>> plain_name("=Labels 2"), plain_name("...")
    ('Labels_2', 'feedback')
    """
    return re.sub(r"[^\w-]+", "_", text).strip("_-") or "feedback"
