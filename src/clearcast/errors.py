"""Errors that are the user's to mend. Each message says what came, what was needed and what to do.

A fault of our own is an ``assert`` or a plain exception and shows its traceback; these never do.
"""

from enum import StrEnum


class ClearcastError(Exception):
    """Base of all errors that the command line prints as one message, without a traceback."""


def first_line(error: BaseException) -> str:
    r"""What an error of any library says, in one line.

    >>> first_line(ValueError("too small\nat file.cc:12")), first_line(MemoryError())
    ('too small', 'MemoryError')
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__


class PictureFault(StrEnum):
    """What is wrong with a picture."""

    MISSING = "missing"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too large"
    NO_CONTENT = "no content"


class PictureError(ClearcastError):
    """One picture cannot be used, for the reason that ``fault`` names."""

    def __init__(self, fault: PictureFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class SheetError(ClearcastError):
    """A sheet cannot be read, lacks a column, or holds rows that cannot be used."""


class RecipeError(ClearcastError):
    """A recipe has an unknown key or a value that is not allowed."""


class OutputError(ClearcastError):
    """An output folder holds something that would be overwritten, or cannot be written."""


class ModelOutputError(ClearcastError):
    """A network or a graph gave what cannot be: not finite, outside its range, or of another shape or type."""


class MissingDependencyError(ClearcastError):
    """An optional package or file is needed for what was asked, and is not there."""
