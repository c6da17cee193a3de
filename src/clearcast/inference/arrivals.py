"""Arrival detection: finds new images in a watched folder, and waits until they are complete.

The results file tells which files were inspected, by name, size and modification time. A file without a matching row is
new, also under a known name, since cameras restart their numbering and overwrite files. A file that was only touched is
new too: a camera that writes the same bytes again has taken another image.

If size and modification time match a row, but the ``ctime`` is later (other bytes with an old time, or only other
permissions), the file's bytes are compared with the row's SHA-256.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clearcast.core.errors import PictureError
from clearcast.core.files import OtherFileCounts, format_file_kinds, read_first_bytes
from clearcast.inference.sinks import InspectedIndex
from clearcast.inference.sinks.inspected import NameSet
from clearcast.inference.sources import SourceError, SourceItem
from clearcast.inference.sources.folders import folder_items
from clearcast.inference.sources.item import FileState, format_nanoseconds, is_same_image_continued
from clearcast.types import Inspection

_SECOND = 1_000_000_000  # in nanoseconds
_COARSE_SETTLE = 2.5  # seconds, if a drive's times have no fractions, so that a second write may leave them unchanged
_MAX_CLOCK_SKEW = 3600 * _SECOND  # between a drive and this machine

MessageFunction = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class CompletionRule:
    """Rule for when a new image counts as complete.

    Attributes:
        settle: seconds without a change of size and times; then it is inspected.
        patience: further seconds if it cannot be decoded then, since its writer may have paused; after that, or as soon
            as another image replaces it, its error is written. A file that never settles, because it is rewritten again
            and again, is inspected after this time as it is.
    """

    settle: float = 0.5
    patience: float = 30.0


class _Stat(NamedTuple):
    """Size and times of a file, in nanoseconds since 1970; no size if they are not available."""

    size: int | None = None
    written: int = 0
    changed: int = 0

    @property
    def state(self) -> FileState | None:
        """The file state as in a row; None if it is not available."""
        return None if self.size is None else FileState(size=self.size, modified=format_nanoseconds(self.written))

    @property
    def is_coarse(self) -> bool:
        """Whether the drive's times have no fractions of a second."""
        return bool(self.changed) and not self.written % _SECOND and not self.changed % _SECOND


@dataclass(slots=True)
class _PendingFile:
    """File without a final row."""

    item: SourceItem
    stat: _Stat
    unchanged_since: float
    first_seen: float
    compare: bool  # whether to compare its bytes with those of its row first
    failed: Inspection | None = None  # its error, while the writer has time to finish


def resolve_watched_folder(folder: Path) -> Path:
    """Make the path of a folder absolute, so that images' names do not depend on the working directory.

    Raises:
        SourceError: there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; expected the folder in which images arrive")
    return folder.absolute()


def trusted_file_time(results: Path) -> int:
    """Time, in nanoseconds since 1970, up to which file times are trusted to identify the files of a results file.

    Call it before opening the results. The content of a file that changed later is compared once.
    """
    try:
        return results.stat().st_mtime_ns - _MAX_CLOCK_SKEW
    except OSError:
        return 0


class ArrivalDetector:
    """Detector of new images in a folder.

    Args:
        folder: the watched folder.
        inspected: index of the files inspected before.
        rule: rule for when an image counts as complete.
        clock: monotonic clock in seconds.
        trusted: see ``trusted_file_time``.
        report: called with messages for the user.
    """

    def __init__(
        self,
        folder: Path,
        inspected: InspectedIndex,
        rule: CompletionRule = CompletionRule(),
        clock: Callable[[], float] = time.monotonic,
        *,
        trusted: int = 0,
        report: MessageFunction = lambda _: None,
    ) -> None:
        self._folder = folder
        self._inspected = inspected
        self._rule = rule
        self._clock = clock
        self._trusted = trusted
        self._report = report
        self._pending: dict[str, _PendingFile] = {}
        self._unchanged = NameSet()  # files with a row, by name and stat when that was verified
        self._unsettled: set[str] = set()  # names that were reported as rewritten again and again
        self._lost: list[Inspection] = []
        self._first_bytes = _FirstBytesCache()
        self._other_types = _OtherTypesNotice(report)

    @property
    def pending(self) -> int:
        """Number of images without a final row."""
        return len(self._pending)

    def poll(self) -> list[SourceItem]:
        """List the images that should be complete by now; reused names come first, as they may be overwritten again."""
        now = self._clock()
        others = OtherFileCounts()
        items = folder_items(self._folder, others=others, read_head=self._first_bytes)
        before, self._pending = self._pending, {}
        for item in items:
            if file := self._update(item, before.pop(item.name, None), now):
                self._pending[item.name] = file
        for removed in before.values():
            self._lose(removed)
        self._first_bytes.evict()
        self._other_types.update(others)
        due = [file.item for file in list(self._pending.values()) if self._is_due(file, now)]
        return sorted(due, key=lambda item: item.name not in self._inspected)

    def accept(self, inspection: Inspection) -> bool:
        """Accept an inspection as final; returns False if the image cannot be decoded, but may still be incomplete."""
        file = self._pending[inspection.path]
        state = _state_of(inspection)
        is_complete = not inspection.error or inspection.pixels is not None
        if not is_complete and not (file.failed and state == file.stat.state):
            file.failed = inspection
            return False
        self._inspected.add(inspection.path, state, inspection.sha256)
        if state == file.stat.state:  # otherwise the file was replaced; the next poll checks it again
            self._unchanged.add(_state_key(file.item.name, file.stat))
        del self._pending[inspection.path]
        return True

    def pop_lost(self) -> list[Inspection]:
        """Return the errors of images that were overwritten or removed before they were complete; they are final."""
        lost, self._lost = self._lost, []
        return lost

    def _lose(self, file: _PendingFile) -> None:
        """Keep the error of an image that was overwritten or removed, if it had one."""
        if file.failed:
            self._inspected.add(file.failed.path, _state_of(file.failed), file.failed.sha256)
            self._lost.append(file.failed)

    def _update(self, item: SourceItem, before: _PendingFile | None, now: float) -> _PendingFile | None:
        """Compare a listed file with the previous poll and the results; None if it is not pending."""
        stat = _try_stat(item.name)
        if before and before.stat == stat:
            return before
        if before and before.failed and not (stat and is_same_image_continued(before.failed, item, stat.state)):
            self._lose(before)
        if stat is None:  # renamed or moved since the folder was listed
            return None
        key = _state_key(item.name, stat)
        if key in self._unchanged:
            return None
        has_row = self._has_row(item.name, stat)
        if has_row and max(stat.written, stat.changed) <= self._trusted:
            self._unchanged.add(key)
            return None
        first_seen = before.first_seen if before and not before.failed else now
        return _PendingFile(item, stat, now, first_seen, compare=has_row)

    def _has_row(self, name: str, stat: _Stat) -> bool:
        """Whether there is a row of this name with this size and time, or without any."""
        state = stat.state
        if state is None or self._inspected.is_stateless(name):
            return name in self._inspected
        return self._inspected.has_state(name, state)

    def _is_due(self, file: _PendingFile, now: float) -> bool:
        settle = max(self._rule.settle, _COARSE_SETTLE) if file.stat.is_coarse else self._rule.settle
        due = now - file.unchanged_since >= settle + (self._rule.patience if file.failed else 0)
        if not due and not self._never_settles(file, now):
            return False
        if file.compare and self._has_inspected_bytes(file):
            self._unchanged.add(_state_key(file.item.name, file.stat))
            del self._pending[file.item.name]
            return False
        return True

    def _never_settles(self, file: _PendingFile, now: float) -> bool:
        name = file.item.name
        if file.failed or now - file.first_seen < self._rule.patience:
            return False
        if name not in self._unsettled:
            self._unsettled.add(name)
            self._report(
                f"{name}: is overwritten repeatedly before it can be inspected, so images are missed; configure the "
                "camera to use a new name for each image"
            )
        return True

    def _has_inspected_bytes(self, file: _PendingFile) -> bool:
        if file.stat.size is None:
            return True  # the name has a row, and the file cannot be read
        try:
            data = file.item.read()
        except PictureError:
            return False
        return isinstance(data, bytes) and self._inspected.has_content(file.item.name, hashlib.sha256(data).hexdigest())


class _FirstBytesCache:
    """Cache of the first bytes of unchanged files, so that not every poll opens them."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[_Stat, bytes]] = {}
        self._used: dict[str, tuple[_Stat, bytes]] = {}

    def __call__(self, path: str) -> bytes:
        stat, before = _stat(path), self._before.get(path)
        self._used[path] = before if before and before[0] == stat else (stat, read_first_bytes(path))
        return self._used[path][1]

    def evict(self) -> None:
        """Remove files that were not used since the last call."""
        self._before, self._used = self._used, {}


class _OtherTypesNotice:
    """Notice of files of other types, given when they appear and not at each poll."""

    def __init__(self, report: MessageFunction) -> None:
        self._report = report
        self._reported: set[str] = set()
        self._before: set[str] = set()

    def update(self, others: OtherFileCounts) -> None:
        """Report new types; those that are gone at the next poll, such as incomplete copies, are not reported."""
        lasting = set(others.counts) & self._before - self._reported
        self._before = set(others.counts)
        if lasting:
            self._reported |= lasting
            counts = Counter({kind: others.counts[kind] for kind in lasting})
            self._report(f"Files of other kinds are left out: {format_file_kinds(counts)}")


def _state_key(name: str, stat: _Stat) -> str:
    return f"{name}\0{stat.size}\0{stat.written}\0{stat.changed}"


def _state_of(inspection: Inspection) -> FileState | None:
    size, modified = inspection.size, inspection.modified
    return None if size is None or modified is None else FileState(size=size, modified=modified)


def _try_stat(path: str) -> _Stat | None:
    """Get size and times of a file; None if it is gone."""
    try:
        return _stat(path)
    except FileNotFoundError:
        return None


def _stat(path: str) -> _Stat:
    """Get size and times of a file.

    Raises:
        FileNotFoundError: there is no such name any more.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116 - many at a time
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        return _Stat()
    except OSError:  # reading it will report the reason
        return _Stat()
    return _Stat(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
