"""Pictures beside the results that could not be written; they never cost a verdict."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clearcast.errors import OutputError, PictureError

_OF_ONE_FILE = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})  # a name that the file system does not take


class Unwritten:
    """Counts pictures that could not be written. Safe to use from several threads.

    Attributes:
        count: how many.
        reason: why the first could not.
    """

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""
        self._lock = threading.Lock()

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Count a picture that cannot be written within the block, if that concerns this one alone.

        Args:
            name: of the picture that is inspected.

        Raises:
            OutputError: it concerns all that follow, such as a full disk: going on would leave gaps that nothing fills
                later, since a picture whose row is written is not inspected again.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _OF_ONE_FILE:
                raise OutputError(
                    f"pictures cannot be written beside the results ({error}); make room or choose another folder, and "
                    "go on with --resume"
                ) from error
            self._note(f"{name}: {error.strerror}")
        except (PictureError, MemoryError) as error:
            self._note(f"{name}: {error or 'too little memory'}")

    def _note(self, reason: str) -> None:
        with self._lock:
            self.count += 1
            self.reason = self.reason or reason
