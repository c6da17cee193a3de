"""Errors that are the user's to mend. Each message says what came, what was needed and what to do.

A fault of our own is an ``assert`` or a plain exception and shows its traceback; these never do.
"""


class ClearcastError(Exception):
    """Base of all errors that the command line prints as one message, without a traceback."""


class PictureError(ClearcastError):
    """One picture cannot be used: missing, unreadable, truncated, too large, or of a kind whose scale is not known."""


class SheetError(ClearcastError):
    """A sheet cannot be read, lacks a column, or holds rows that cannot be used."""


class RecipeError(ClearcastError):
    """A recipe has an unknown key or a value that is not allowed."""


class OutputError(ClearcastError):
    """An output folder holds something that would be overwritten, or cannot be written."""


class MissingDependencyError(ClearcastError):
    """An optional package or file is needed for what was asked, and is not there."""
