"""Retention: deletion of images beyond a limit of age or size, oldest first, and the layout of the image store.

Files and folders with other names than those of the layout are stray files: they are left alone and reported.
"""

import contextlib
import errno
import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

ORIGINAL_FILE: Final = "noisy"  # the original bytes; the file's time is when they were last received
THUMBNAIL_FILE: Final = "thumbnail.jpg"
INCOMING_FOLDER: Final = "incoming"  # folder of files being written
TEMPORARY_PREFIX: Final = "tmp"  # prefix of the names in it

_SHARD_PATTERN = re.compile(r"[0-9a-f]{2}")
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
_FILE_PATTERN = re.compile(rf"{ORIGINAL_FILE}|{re.escape(THUMBNAIL_FILE)}|[0-9a-f]{{16}}\.(?:jpg|npy)")

_BATCH_SIZE = 500  # images whose feedback is looked up together
_IMAGE_DTYPE = np.dtype([("at", np.int64), ("size", np.int64), ("sha256", "V32")])  # compact: there may be millions
_TEMPORARY_AGE = 3600  # seconds after which a partially written file is abandoned
_MAX_NAMES = 20  # names reported; a folder somebody put there may hold a million files
_OTHER_NAMES = "other names"
_FOREIGN = "of another name or kind"
_logger = logging.getLogger(__name__)


def is_shard_name(name: str) -> bool:
    """Return whether a name is that of a shard: the folder of images whose SHA-256 begins with it."""
    return _SHARD_PATTERN.fullmatch(name) is not None


def _is_image_folder_name(name: str, shard: str) -> bool:
    """Return whether a name is that of an image's folder within a shard."""
    return SHA256_PATTERN.fullmatch(name) is not None and name.startswith(shard)


def _is_image_file_name(name: str) -> bool:
    """Return whether a name is that of a file in an image's folder."""
    return _FILE_PATTERN.fullmatch(name) is not None


class StrayFiles:
    """Counts stray files and folders by name during a retention run.

    Args:
        reported: names that were reported before; ``report`` adds those of this run.
    """

    def __init__(self, reported: set[str]) -> None:
        self._reported = reported
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, path: Path, reason: str) -> None:
        """Count a stray path."""
        name = path.name if path.name in self._counts or len(self._counts) < _MAX_NAMES else _OTHER_NAMES
        self._counts[name] += 1
        self._first.setdefault(name, f"{path} ({reason})")

    def report(self) -> None:
        """Log the names that were not reported before, in one line."""
        new = [name for name in self._counts if name not in self._reported]
        if not new:
            return
        self._reported.update(new)
        listed = "; ".join(f"{self._counts[name]} x {name}, such as {self._first[name]}" for name in new)
        _logger.warning(
            "The image store contains files that are not the station's own; they are left alone and not counted: %s",
            listed,
        )


@dataclass(frozen=True, kw_only=True)
class RetentionPolicy:
    """Retention limits.

    Attributes:
        days: images last received longer ago are deleted; None: no limit of age.
        size: total bytes to keep; the oldest images beyond are deleted; None: no limit of size.
        needed: returns those of the given SHA-256 hashes that must be kept.
    """

    days: float | None
    size: int | None
    needed: Callable[[Sequence[str]], set[str]]


def delete_expired_images(folder: Path, policy: RetentionPolicy, lock: threading.Lock, strays: StrayFiles) -> int:
    """Delete images beyond the retention limits, oldest first.

    Args:
        folder: the image store's folder; see ``image_store``.
        policy: the retention limits.
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
    cutoff = 0 if policy.days is None else time.time_ns() - int(policy.days * 86_400e9)
    excess = 0 if policy.size is None else int(images["size"].sum()) - policy.size
    deleted = 0
    for start in range(0, len(images), _BATCH_SIZE):
        batch = images[start : start + _BATCH_SIZE]
        if batch["at"][0] >= cutoff and excess <= 0:
            break
        names = [sha256.tobytes().hex() for sha256 in batch["sha256"]]
        keep = policy.needed(names)
        for name, at, size in zip(names, batch["at"].tolist(), batch["size"].tolist(), strict=True):
            expired = name not in keep and (at < cutoff or excess > 0)
            if expired and _remove(folder / name[:2] / name, at, lock, strays):
                excess -= size
                deleted += 1
    return deleted


def remove_stale_temporaries(folder: Path, strays: StrayFiles) -> None:
    """Remove partially written files that a crash or power failure left in the folder of incoming files."""
    with _skip_errors(folder, strays), os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry)
            with _skip_errors(path, strays):
                if not (entry.name.startswith(TEMPORARY_PREFIX) and entry.is_file(follow_symlinks=False)):
                    strays.add(path, _FOREIGN)
                elif time.time() - entry.stat(follow_symlinks=False).st_mtime > _TEMPORARY_AGE:
                    path.unlink()


@contextlib.contextmanager
def _skip_errors(path: Path, strays: StrayFiles) -> Iterator[None]:
    """Skip a path on OS errors and count it as stray; ignore one that no longer exists."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EROFS:  # the same for all images
            raise
        strays.add(path, error.strerror or type(error).__name__)


def _shards(folder: Path, strays: StrayFiles) -> list[Path]:
    with os.scandir(folder) as entries:
        found = {
            entry.name: _is_folder(entry) and is_shard_name(entry.name)
            for entry in entries
            if entry.name != INCOMING_FOLDER
        }
    for name in sorted(name for name, own in found.items() if not own):
        strays.add(folder / name, _FOREIGN)
    return [folder / name for name, own in sorted(found.items()) if own]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _list_images(shard: Path, strays: StrayFiles) -> NDArray[np.void]:
    """List the images of a shard: time last received, in nanoseconds since 1970; total bytes; SHA-256."""
    rows: list[tuple[int, int, bytes]] = []
    with _skip_errors(shard, strays), os.scandir(shard) as entries:
        for entry in entries:
            path = Path(entry)
            with _skip_errors(path, strays):
                if not (_is_image_folder_name(entry.name, shard.name) and _is_folder(entry)):
                    strays.add(path, _FOREIGN)
                elif row := _image_row(entry, strays):
                    rows.append(row)
    return np.array(rows, _IMAGE_DTYPE)


def _image_row(folder: os.DirEntry[str], strays: StrayFiles) -> tuple[int, int, bytes] | None:
    """Return an image's row for ``_list_images``; None if the folder holds only stray files."""
    own, others = _files(Path(folder))
    for name in others:
        strays.add(Path(folder) / name, _FOREIGN)
    if others and not own:
        return None
    stats = {name: entry.stat(follow_symlinks=False) for name, entry in own.items()}
    at = stats.get(ORIGINAL_FILE, folder.stat(follow_symlinks=False)).st_mtime_ns
    return at, sum(each.st_size for each in stats.values()), bytes.fromhex(folder.name)


def _files(folder: Path) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
    """List the files of an image's folder by name, and the names of stray files."""
    own, others = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_image_file_name(entry.name) and entry.is_file(follow_symlinks=False):
                own[entry.name] = entry
            else:
                others.append(entry.name)
    return own, others


def _remove(folder: Path, at: int, lock: threading.Lock, strays: StrayFiles) -> bool:
    """Delete all files of an image, unless it was received again since it was listed."""
    with lock, _skip_errors(folder, strays):
        own, _ = _files(folder)
        noisy = own.pop(ORIGINAL_FILE, None)
        if noisy and noisy.stat(follow_symlinks=False).st_mtime_ns != at:
            return False
        for entry in (*own.values(), *([noisy] if noisy else [])):  # the original goes last
            Path(entry).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # stray files stay in it
            folder.rmdir()
        return True
    return False
