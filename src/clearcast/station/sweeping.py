"""Which pictures go when a station's shelf is swept."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

NOISY: Final = "noisy"  # the file of a picture's bytes as they came; its time is when they came last

_AT_ONCE = 500  # pictures whose feedback is asked for together
_KINDS = np.dtype([("at", np.int64), ("size", np.int64), ("sha256", "V32")])  # small, since there may be millions
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


def sweep(folder: Path, rule: Retention, lock: threading.Lock) -> int:
    """Remove pictures, the oldest first, and return how many went.

    Args:
        folder: the shelf's; see there.
        rule: which may stay.
        lock: held while one picture is removed.
    """
    shelves = sorted(path for path in folder.iterdir() if len(path.name) == 2)
    pictures = np.concatenate([np.zeros(0, _KINDS), *(_listed(path) for path in shelves)])
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
            if goes and _remove(folder / name[:2] / name, at, lock):
                too_much -= size
                gone += 1
    return gone


def forget_half_written(folder: Path) -> None:
    """Remove what was being written when the process or the power failed."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it is whole by now, and has its name
            if time.time() - path.stat().st_mtime > _FORGOTTEN:
                path.unlink()


def _listed(folder: Path) -> NDArray[np.void]:
    """The pictures of a folder: when each came last, in nanoseconds since 1970, its bytes in all, its SHA-256."""
    rows = []
    with os.scandir(folder) as pictures:
        for picture in pictures:
            with os.scandir(picture) as files:
                facts = {file.name: file.stat() for file in files}
            at = facts.get(NOISY, picture.stat()).st_mtime_ns
            rows.append((at, sum(each.st_size for each in facts.values()), bytes.fromhex(picture.name)))
    return np.array(rows, _KINDS)


def _remove(picture: Path, at: int, lock: threading.Lock) -> bool:
    """Remove all files of a picture, unless it came again since it was listed."""
    with lock:
        noisy = picture / NOISY
        if noisy.exists() and noisy.stat().st_mtime_ns != at:
            return False
        for path in (*(path for path in picture.iterdir() if path != noisy), noisy):
            path.unlink(missing_ok=True)
        picture.rmdir()
    return True
