"""Values as every database takes them."""

import math


def plain(text: str) -> str:
    r"""The text with a replacement character where a database could not keep one: NUL, and halves of a pair.

    >>> plain("part\x00.jpg")
    'part�.jpg'
    """
    return text.replace("\x00", "�").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def fold(text: str) -> str:
    """The text without the case of its letters, to look for pieces in it.

    >>> fold("Straße.JPG")
    'strasse.jpg'
    """
    return plain(text).casefold()


def finite(value: float | None) -> float | None:
    """The value, or None where it is no number: one such would spoil all means that it is part of.

    >>> finite(float("nan")) is None
    True
    """
    return value if value is not None and math.isfinite(value) else None
