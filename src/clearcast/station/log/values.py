"""Values in a form that every database accepts."""

import math


def plain(text: str) -> str:
    r"""Replace characters that databases cannot store: NUL and lone surrogates.

    >>> plain("part\x00.jpg")
    'part�.jpg'
    """
    return text.replace("\x00", "�").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def fold(text: str) -> str:
    """Return the case-folded text, for searching.

    >>> fold("Straße.JPG")
    'strasse.jpg'
    """
    return plain(text).casefold()


def finite(value: float | None) -> float | None:
    """Return a finite value, else None: NaN or infinity would invalidate every mean.

    >>> finite(float("nan")) is None
    True
    """
    return value if value is not None and math.isfinite(value) else None
