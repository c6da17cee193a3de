"""Errors that the user can correct. Each message states what came, what was expected and what to do.

The command line prints them without a traceback. A bug is an ``assert`` or a plain exception and shows its traceback.
"""

from enum import StrEnum


class ClearcastError(Exception):
    """Base class of all errors that the command line prints as one message, without a traceback."""


def first_error_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or the name of its class if it has none.

    >>> first_error_line(ValueError("too small\nat file.cc:12")), first_error_line(MemoryError())
    ('too small', 'MemoryError')
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__


class PictureFault(StrEnum):
    """Reason why an image cannot be used."""

    MISSING = "missing"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too large"
    NO_CONTENT = "no content"


class PictureError(ClearcastError):
    """An image cannot be used; ``fault`` is the reason."""

    def __init__(self, fault: PictureFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class SheetError(ClearcastError):
    """A sheet cannot be read, lacks a column, or has rows that cannot be used."""


class RecipeError(ClearcastError):
    """A recipe has an unknown key or a value that is not allowed."""


class OutputError(ClearcastError):
    """An output cannot be written, or would overwrite existing files."""


class ModelOutputError(ClearcastError):
    """A network or graph returned an invalid output: not finite, out of range, or of the wrong shape or type."""


class MissingDependencyError(ClearcastError):
    """An optional package or file that the request requires is missing."""
