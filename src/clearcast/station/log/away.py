"""Error of an unavailable log, and the translation of database errors to it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from clearcast.errors import ClearcastError

_BUGS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)  # bugs of this code, not failures of the database


class LogAway(ClearcastError):  # noqa: N818 - named by the state
    """The log's database cannot be reached or written at the moment, for instance since its disk is full: try again."""


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Translate errors of an unavailable database to ``LogAway``; ``place`` names it, without a password."""
    try:
        yield
    except _BUGS:
        raise
    except (exc.DBAPIError, exc.TimeoutError) as error:
        reason = " ".join(str(error.orig if isinstance(error, exc.DBAPIError) else error).split()).rstrip(".")
        raise LogAway(
            f"The log {place} cannot be reached or written: {reason}. Nothing was logged; check "
            "that the database runs, is writable and has free disk space, then try again."
        ) from error
