"""New pictures of a folder that is watched: which they are, and when they are whole.

The results file is the memory: each row says which file was inspected, of which size and last written when. A file
without such a row is new, also under a name that was inspected before, since cameras number anew and overwrite. One
that was only touched is new too: a camera that writes the same bytes again has taken another picture.

Where size and time are those of a row, but the system says that the file was changed in some way later (its ``ctime``:
other bytes with an old time, or only other rights), its bytes are compared with the row's SHA-256.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clearcast.domain import Inspection
from clearcast.errors import PictureError
from clearcast.file_kinds import OtherFiles, file_head, listed_kinds
from clearcast.runtime.partial_files import was_continued
from clearcast.runtime.sinks import Inspected
from clearcast.runtime.sinks.done import Done
from clearcast.runtime.sources import Item, SourceError
from clearcast.runtime.sources.folders import folder_items
from clearcast.runtime.sources.item import FileState, moment

_SECOND = 1_000_000_000  # in nanoseconds
_COARSE_SETTLE = 2.5  # seconds, where times have no fractions: within one of its ticks a drive hides a second writing
_CLOCKS_DIFFER = 3600 * _SECOND  # those of a drive and of this machine, at most

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """When a new picture counts as whole.

    Attributes:
        settle: seconds for which its size and times stay as they are; then it is inspected.
        patience: seconds more for one that cannot be decoded then, since whoever writes it may have paused; after that,
            or as soon as another picture takes its place, its error is written. A file that is written again and again,
            and never settles, is inspected after so many seconds as it is.
    """

    settle: float = 0.5
    patience: float = 30.0


class _Facts(NamedTuple):
    """What the system says of a file; times in nanoseconds since 1970. No size: it says nothing."""

    size: int | None = None
    written: int = 0
    changed: int = 0

    @property
    def state(self) -> FileState | None:
        """What a row says of the file; None where the system says nothing."""
        return None if self.size is None else FileState(size=self.size, modified=moment(self.written))

    @property
    def is_coarse(self) -> bool:
        """Whether the drive's times have no fractions of a second."""
        return bool(self.changed) and not self.written % _SECOND and not self.changed % _SECOND


@dataclass(slots=True)
class _Sight:
    item: Item
    facts: _Facts
    since: float  # the facts are as they are
    first: float  # the file is waited for
    compare: bool  # first its bytes with those of the row
    failed: Inspection | None = None  # its error, while the writer is given time to finish


def watched_folder(folder: Path) -> Path:
    """The absolute path of a folder, so that pictures' names do not depend on where the program was started.

    Raises:
        SourceError: there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; needed is one in which pictures arrive")
    return folder.absolute()


def trusted_until(results: Path) -> int:
    """Until when, in nanoseconds since 1970, files that did not change are taken for those that results have rows of.

    To be asked before the results are opened. A file that changed later is compared byte for byte, once.
    """
    try:
        return results.stat().st_mtime_ns - _CLOCKS_DIFFER
    except OSError:
        return 0


class Arrivals:
    """The new pictures of a folder: those that are not ``known`` as they are now.

    Args:
        folder: is listed.
        known: what was inspected before.
        waiting: when a picture counts as whole.
        clock: gives seconds that only grow.
        trusted: see ``trusted_until``.
        tell: called with what a person should know of the folder.
    """

    def __init__(
        self,
        folder: Path,
        known: Inspected,
        waiting: Waiting = Waiting(),
        clock: Callable[[], float] = time.monotonic,
        *,
        trusted: int = 0,
        tell: Tell = lambda _: None,
    ) -> None:
        self._folder = folder
        self._known = known
        self._rule = waiting
        self._clock = clock
        self._trusted = trusted
        self._tell = tell
        self._sights: dict[str, _Sight] = {}
        self._unchanged = Done()  # files with a row, as they were when that was made sure
        self._restless: set[str] = set()
        self._lost: list[Inspection] = []
        self._heads = _Heads()
        self._kinds = _Kinds(tell)

    @property
    def waited_for(self) -> int:
        """How many pictures are there that have no row yet."""
        return len(self._sights)

    def look(self) -> list[Item]:
        """The pictures that should be whole by now; first those whose names had others, which may lose them again."""
        now = self._clock()
        others = OtherFiles()
        found = folder_items(self._folder, others=others, heads=self._heads)
        before, self._sights = self._sights, {}
        for item in found:
            if sight := self._see(item, before.pop(item.name, None), now):
                self._sights[item.name] = sight
        for gone in before.values():
            self._lose(gone)
        self._heads.forget()
        self._kinds.tell_new(others)
        due = [sight.item for sight in list(self._sights.values()) if self._is_due(sight, now)]
        return sorted(due, key=lambda item: item.name not in self._known)

    def take(self, inspection: Inspection) -> bool:
        """Whether an inspection is final; it is not if the picture cannot be decoded and may still be being written."""
        sight = self._sights[inspection.path]
        state = _state_of(inspection)
        is_whole = not inspection.error or inspection.pixels is not None
        if not is_whole and not (sight.failed and state == sight.facts.state):
            sight.failed = inspection
            return False
        self._known.add(inspection.path, state, inspection.sha256)
        if state == sight.facts.state:  # if not, another was there by then; the next look says whether it still is
            self._unchanged.add(_key(sight.item.name, sight.facts))
        del self._sights[inspection.path]
        return True

    def take_lost(self) -> list[Inspection]:
        """The errors, final now, of pictures that were overwritten or removed while their writer was waited for."""
        lost, self._lost = self._lost, []
        return lost

    def _lose(self, sight: _Sight) -> None:
        if sight.failed:
            self._known.add(sight.failed.path, _state_of(sight.failed), sight.failed.sha256)
            self._lost.append(sight.failed)

    def _see(self, item: Item, before: _Sight | None, now: float) -> _Sight | None:
        facts = _facts_now(item.name)
        if before and before.facts == facts:
            return before
        if before and before.failed and not (facts and was_continued(before.failed, item, facts.state)):
            self._lose(before)
        if facts is None:  # renamed or moved since the folder was listed
            return None
        key = _key(item.name, facts)
        if key in self._unchanged:
            return None
        has_row = self._has_row(item.name, facts)
        if has_row and max(facts.written, facts.changed) <= self._trusted:
            self._unchanged.add(key)
            return None
        first = before.first if before and not before.failed else now
        return _Sight(item, facts, now, first, compare=has_row)

    def _has_row(self, name: str, facts: _Facts) -> bool:
        """Whether there is a row of a file of this name that had its size and time, or of which nobody knows them."""
        state = facts.state
        if state is None or self._known.is_stateless(name):
            return name in self._known
        return self._known.has_state(name, state)

    def _is_due(self, sight: _Sight, now: float) -> bool:
        settle = max(self._rule.settle, _COARSE_SETTLE) if sight.facts.is_coarse else self._rule.settle
        due = now - sight.since >= settle + (self._rule.patience if sight.failed else 0)
        if not due and not self._is_restless(sight, now):
            return False
        if sight.compare and self._has_known_bytes(sight):
            self._unchanged.add(_key(sight.item.name, sight.facts))
            del self._sights[sight.item.name]
            return False
        return True

    def _is_restless(self, sight: _Sight, now: float) -> bool:
        name = sight.item.name
        if sight.failed or now - sight.first < self._rule.patience:
            return False
        if name not in self._restless:
            self._restless.add(name)
            self._tell(
                f"{name}: is written again and again before it can be inspected, so that pictures of it are missed; "
                "let the camera give each picture a name of its own"
            )
        return True

    def _has_known_bytes(self, sight: _Sight) -> bool:
        if sight.facts.size is None:
            return True  # of a name that has a row, and no file that could be read
        try:
            data = sight.item.read()
        except PictureError:
            return False
        return isinstance(data, bytes) and self._known.has_content(sight.item.name, hashlib.sha256(data).hexdigest())


class _Heads:
    """First bytes of files, remembered while these stay as they are, so that not every look opens them."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[_Facts, bytes]] = {}
        self._asked: dict[str, tuple[_Facts, bytes]] = {}

    def __call__(self, path: str) -> bytes:
        facts, before = _facts(path), self._before.get(path)
        self._asked[path] = before if before and before[0] == facts else (facts, file_head(path))
        return self._asked[path][1]

    def forget(self) -> None:
        """Forget files that were not asked for since this was called the last time."""
        self._before, self._asked = self._asked, {}


class _Kinds:
    """Tells of files of other kinds when they appear, and not at each look."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._before: set[str] = set()

    def tell_new(self, others: OtherFiles) -> None:
        """Tell of kinds that are new; those that are gone at the next look, such as unfinished copies, never."""
        lasting = set(others.counts) & self._before - self._told
        self._before = set(others.counts)
        if lasting:
            self._told |= lasting
            counts = Counter({kind: others.counts[kind] for kind in lasting})
            self._tell(f"Files of other kinds are left out: {listed_kinds(counts)}")


def _key(name: str, facts: _Facts) -> str:
    return f"{name}\0{facts.size}\0{facts.written}\0{facts.changed}"


def _state_of(inspection: Inspection) -> FileState | None:
    size, modified = inspection.size, inspection.modified
    return None if size is None or modified is None else FileState(size=size, modified=modified)


def _facts_now(path: str) -> _Facts | None:
    """What the system says of a file; None if it is gone."""
    try:
        return _facts(path)
    except FileNotFoundError:
        return None


def _facts(path: str) -> _Facts:
    """What the system says of a file.

    Raises:
        FileNotFoundError: there is no such name any more.
    """
    try:
        facts = os.stat(path)  # noqa: PTH116 - many at a time
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        return _Facts()
    except OSError:  # reading it will say why
        return _Facts()
    return _Facts(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
