"""Retention: which pictures go when a station's folder of pictures is swept.

Only files and folders of our own names and kinds are looked at (``layout``), symbolic links are never followed, and
what cannot be read or removed is left: one stray file must not end retention for all the others.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast.station.layout import HALF_WRITTEN, INCOMING, NOISY, is_file, is_picture, is_shard
from clearcast.station.strays import Strays

_AT_ONCE = 500  # pictures whose feedback is asked for together
_KINDS = np.dtype([("at", np.int64), ("size", np.int64), ("sha256", "V32")])  # small, since there may be millions
_FOREIGN = "of another name or kind"
_FORGOTTEN = 3600  # seconds after which a file that is half written is nobody's


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Which pictures may stay.

    Attributes:
        days: those that came last longer ago go; None: none goes for its age.
        size: bytes; as many go as all files together have more; None: none goes for its size.
        needed: gives those of some SHA-256 that stay in any case.
    """

    days: float | None
    size: int | None
    needed: Callable[[Sequence[str]], set[str]]


def sweep(folder: Path, rule: Retention, lock: threading.Lock, strays: Strays) -> int:
    """Remove pictures, the oldest first, and return how many went.

    Args:
        folder: the station's pictures; see ``shelf``.
        rule: which may stay.
        lock: held while one picture is removed.
        strays: counts what is not ours, or cannot be read or removed.

    Raises:
        OSError: the folder itself cannot be read, or nothing on its disk can be removed.
    """
    pictures = np.concatenate([np.zeros(0, _KINDS), *(_listed(path, strays) for path in _shards(folder, strays))])
    pictures = pictures[np.argsort(pictures["at"])]
    before = 0 if rule.days is None else time.time_ns() - int(rule.days * 86_400e9)
    too_much = 0 if rule.size is None else int(pictures["size"].sum()) - rule.size
    gone = 0
    for start in range(0, len(pictures), _AT_ONCE):
        some = pictures[start : start + _AT_ONCE]
        if some["at"][0] >= before and too_much <= 0:
            break
        names = [sha256.tobytes().hex() for sha256 in some["sha256"]]
        stay = rule.needed(names)
        for name, at, size in zip(names, some["at"].tolist(), some["size"].tolist(), strict=True):
            goes = name not in stay and (at < before or too_much > 0)
            if goes and _remove(folder / name[:2] / name, at, lock, strays):
                too_much -= size
                gone += 1
    return gone


def forget_half_written(folder: Path, strays: Strays) -> None:
    """Remove from the folder of incoming files what was being written when the process or the power failed."""
    with _left(folder, strays), os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry)
            with _left(path, strays):
                if not (entry.name.startswith(HALF_WRITTEN) and entry.is_file(follow_symlinks=False)):
                    strays.add(path, _FOREIGN)
                elif time.time() - entry.stat(follow_symlinks=False).st_mtime > _FORGOTTEN:
                    path.unlink()


@contextlib.contextmanager
def _left(path: Path, strays: Strays) -> Iterator[None]:
    """Leave a path that the system refuses; one that is gone by now is nobody's concern."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EROFS:  # so for all pictures
            raise
        strays.add(path, error.strerror or type(error).__name__)


def _shards(folder: Path, strays: Strays) -> list[Path]:
    with os.scandir(folder) as entries:
        found = {entry.name: _is_folder(entry) and is_shard(entry.name) for entry in entries if entry.name != INCOMING}
    for name in sorted(name for name, own in found.items() if not own):
        strays.add(folder / name, _FOREIGN)
    return [folder / name for name, own in sorted(found.items()) if own]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _listed(shard: Path, strays: Strays) -> NDArray[np.void]:
    """The pictures of a folder: when each came last, in nanoseconds since 1970, its bytes in all, its SHA-256."""
    rows: list[tuple[int, int, bytes]] = []
    with _left(shard, strays), os.scandir(shard) as entries:
        for entry in entries:
            path = Path(entry)
            with _left(path, strays):
                if not (is_picture(entry.name, shard.name) and _is_folder(entry)):
                    strays.add(path, _FOREIGN)
                elif row := _picture(entry, strays):
                    rows.append(row)
    return np.array(rows, _KINDS)


def _picture(folder: os.DirEntry[str], strays: Strays) -> tuple[int, int, bytes] | None:
    """A row of ``_listed``; None where the folder holds nothing of ours, but something else."""
    own, others = _files(Path(folder))
    for name in others:
        strays.add(Path(folder) / name, _FOREIGN)
    if others and not own:
        return None
    facts = {name: entry.stat(follow_symlinks=False) for name, entry in own.items()}
    at = facts.get(NOISY, folder.stat(follow_symlinks=False)).st_mtime_ns
    return at, sum(each.st_size for each in facts.values()), bytes.fromhex(folder.name)


def _files(picture: Path) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
    """The files of a picture's folder by their names, and the names of what is not ours."""
    own, others = {}, []
    with os.scandir(picture) as entries:
        for entry in entries:
            if is_file(entry.name) and entry.is_file(follow_symlinks=False):
                own[entry.name] = entry
            else:
                others.append(entry.name)
    return own, others


def _remove(picture: Path, at: int, lock: threading.Lock, strays: Strays) -> bool:
    """Remove all files of a picture, unless it came again since it was listed."""
    with lock, _left(picture, strays):
        own, _ = _files(picture)
        noisy = own.pop(NOISY, None)
        if noisy and noisy.stat(follow_symlinks=False).st_mtime_ns != at:
            return False
        for entry in (*own.values(), *([noisy] if noisy else [])):  # the picture as it came goes last
            Path(entry).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what is not ours stays in it
            picture.rmdir()
        return True
    return False
