"""The one error of a log that cannot be reached or written just now."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from clearcast.errors import ClearcastError

_OURS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)  # faults of this code, not of the database


class LogAway(ClearcastError):  # noqa: N818 - a state that passes, named as the station tells it
    """The log's database cannot be reached or written just now, also where its disk is full: try again."""


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Turn what a database says when it is away into ``LogAway``; ``place`` names it, without a password."""
    try:
        yield
    except _OURS:
        raise
    except (exc.DBAPIError, exc.TimeoutError) as error:
        why = " ".join(str(error.orig if isinstance(error, exc.DBAPIError) else error).split()).rstrip(".")
        raise LogAway(
            f"The log {place} cannot be reached or written: {why}. Nothing was logged by this; see "
            "that the database runs, may be written and has room on its disk, then try again."
        ) from error
