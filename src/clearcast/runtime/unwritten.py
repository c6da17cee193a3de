"""Counter of image outputs that could not be written; they do not affect the verdicts."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clearcast.errors import OutputError, PictureError

_SINGLE_FILE_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})  # names that a file system rejects


class Unwritten:
    """Counter of images that could not be written; thread-safe.

    Attributes:
        count: number of images.
        reason: why the first could not be written.
    """

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""
        self._lock = threading.Lock()

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Count an image that cannot be written within the block, if the error affects only this one.

        Args:
            name: of the inspected image.

        Raises:
            OutputError: the error affects all following images, such as a full disk. Continuing would leave permanent
                gaps, since an image with a row is not inspected again.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _SINGLE_FILE_ERRORS:
                raise OutputError(
                    f"cannot write images beside the results ({error}); free some space or choose another folder, then "
                    "continue with --resume"
                ) from error
            self._add(f"{name}: {error.strerror}")
        except (PictureError, MemoryError) as error:
            self._add(f"{name}: {error or 'not enough memory'}")

    def _add(self, reason: str) -> None:
        with self._lock:
            self.count += 1
            self.reason = self.reason or reason
