"""Retention: deletes old images from the image store.

Only files and folders with the station's own names and kinds are considered (``layout``), and symbolic links are never
followed. Files that cannot be read or removed are skipped: one stray file must not stop retention.
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

_BATCH_SIZE = 500  # images whose feedback is looked up together
_IMAGE_DTYPE = np.dtype([("at", np.int64), ("size", np.int64), ("sha256", "V32")])  # compact: there may be millions
_FOREIGN = "of another name or kind"
_TEMPORARY_AGE = 3600  # seconds after which a partially written file is abandoned


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Retention limits.

    Attributes:
        days: images last received longer ago are deleted; None: no limit of age.
        size: total bytes to keep; the oldest images beyond are deleted; None: no limit of size.
        needed: returns those of the given SHA-256 hashes that must be kept.
    """

    days: float | None
    size: int | None
    needed: Callable[[Sequence[str]], set[str]]


def sweep(folder: Path, rule: Retention, lock: threading.Lock, strays: Strays) -> int:
    """Delete images beyond the retention limits, oldest first.

    Args:
        folder: the image store's folder; see ``shelf``.
        rule: the retention limits.
        lock: held while an image is deleted.
        strays: counts files that are not the station's own, or cannot be read or removed.

    Returns:
        the number of deleted images.

    Raises:
        OSError: the folder cannot be read, or its disk is read-only.
    """
    images = np.concatenate(
        [np.zeros(0, _IMAGE_DTYPE), *(_list_images(path, strays) for path in _shards(folder, strays))]
    )
    images = images[np.argsort(images["at"])]
    cutoff = 0 if rule.days is None else time.time_ns() - int(rule.days * 86_400e9)
    excess = 0 if rule.size is None else int(images["size"].sum()) - rule.size
    deleted = 0
    for start in range(0, len(images), _BATCH_SIZE):
        batch = images[start : start + _BATCH_SIZE]
        if batch["at"][0] >= cutoff and excess <= 0:
            break
        names = [sha256.tobytes().hex() for sha256 in batch["sha256"]]
        keep = rule.needed(names)
        for name, at, size in zip(names, batch["at"].tolist(), batch["size"].tolist(), strict=True):
            expired = name not in keep and (at < cutoff or excess > 0)
            if expired and _remove(folder / name[:2] / name, at, lock, strays):
                excess -= size
                deleted += 1
    return deleted


def forget_half_written(folder: Path, strays: Strays) -> None:
    """Remove partially written files that a crash or power failure left in the folder of incoming files."""
    with _skip_errors(folder, strays), os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry)
            with _skip_errors(path, strays):
                if not (entry.name.startswith(HALF_WRITTEN) and entry.is_file(follow_symlinks=False)):
                    strays.add(path, _FOREIGN)
                elif time.time() - entry.stat(follow_symlinks=False).st_mtime > _TEMPORARY_AGE:
                    path.unlink()


@contextlib.contextmanager
def _skip_errors(path: Path, strays: Strays) -> Iterator[None]:
    """Skip a path on OS errors and count it as stray; ignore one that no longer exists."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EROFS:  # the same for all images
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


def _list_images(shard: Path, strays: Strays) -> NDArray[np.void]:
    """List the images of a shard: time last received, in nanoseconds since 1970; total bytes; SHA-256."""
    rows: list[tuple[int, int, bytes]] = []
    with _skip_errors(shard, strays), os.scandir(shard) as entries:
        for entry in entries:
            path = Path(entry)
            with _skip_errors(path, strays):
                if not (is_picture(entry.name, shard.name) and _is_folder(entry)):
                    strays.add(path, _FOREIGN)
                elif row := _image_row(entry, strays):
                    rows.append(row)
    return np.array(rows, _IMAGE_DTYPE)


def _image_row(folder: os.DirEntry[str], strays: Strays) -> tuple[int, int, bytes] | None:
    """Return an image's row for ``_list_images``; None if the folder holds only stray files."""
    own, others = _files(Path(folder))
    for name in others:
        strays.add(Path(folder) / name, _FOREIGN)
    if others and not own:
        return None
    facts = {name: entry.stat(follow_symlinks=False) for name, entry in own.items()}
    at = facts.get(NOISY, folder.stat(follow_symlinks=False)).st_mtime_ns
    return at, sum(each.st_size for each in facts.values()), bytes.fromhex(folder.name)


def _files(folder: Path) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
    """List the files of an image's folder by name, and the names of stray files."""
    own, others = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_file(entry.name) and entry.is_file(follow_symlinks=False):
                own[entry.name] = entry
            else:
                others.append(entry.name)
    return own, others


def _remove(folder: Path, at: int, lock: threading.Lock, strays: Strays) -> bool:
    """Delete all files of an image, unless it was received again since it was listed."""
    with lock, _skip_errors(folder, strays):
        own, _ = _files(folder)
        noisy = own.pop(NOISY, None)
        if noisy and noisy.stat(follow_symlinks=False).st_mtime_ns != at:
            return False
        for entry in (*own.values(), *([noisy] if noisy else [])):  # the original goes last
            Path(entry).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # stray files stay in it
            folder.rmdir()
        return True
    return False
