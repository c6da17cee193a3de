"""Detection of files that were still being written when they could not be decoded."""

import hashlib

from clearcast.domain import Inspection
from clearcast.errors import PictureError
from clearcast.runtime.sources import Item
from clearcast.runtime.sources.item import FileState


def was_continued(failed: Inspection, item: Item, state: FileState | None) -> bool:
    """Whether a changed file is still the same image that failed, not another one.

    It is if it only grew, or if it could not be read and only its permissions changed.

    Args:
        failed: the inspection of the earlier file, with an error.
        item: the file.
        state: its current state; None if not available.
    """
    if state is None or failed.size is None:
        return False
    if failed.sha256 is None and state == FileState(size=failed.size, modified=failed.modified or ""):
        return True
    if state.size <= failed.size:
        return False
    return failed.size == 0 or _begins_with(item, failed.size, failed.sha256)


def _begins_with(item: Item, size: int, sha256: str | None) -> bool:
    try:
        data = item.read()
    except PictureError:
        return False
    return isinstance(data, bytes) and hashlib.sha256(data[:size]).hexdigest() == sha256
