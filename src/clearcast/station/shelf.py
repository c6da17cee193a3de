"""The pictures of a station, as files below one folder, named by what is in them and never by what a sender says.

ab/abcdef…/noisy                  the bytes as they came, whose SHA-256 the folder is named by
ab/abcdef…/thumbnail.jpg          made when it is first asked for
ab/abcdef…/0123456789abcdef.jpg   restored by the bundle that the sixteen digits stand for
ab/abcdef…/0123456789abcdef.npy   its log-odds of defect by place, float16
incoming/                         what is being written
"""

import contextlib
import hashlib
import io
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.errors import ClearcastError
from clearcast.files import make_private
from clearcast.imaging import Picture
from clearcast.station.layout import HALF_WRITTEN, INCOMING, NOISY, SHA256, THUMBNAIL
from clearcast.station.showing import heat_of, thumbnail_of, viewable_of
from clearcast.station.strays import Strays
from clearcast.station.sweeping import Retention, forget_half_written, sweep

_DRAWN = 2  # pictures that are drawn at a time: a large one takes hundreds of megabytes
_PRIVATE = 0o700  # of folders: pictures of parts are their owner's alone; temporary files are private by themselves
_TRIAL = bytes(64 * 1024)  # enough to need room on the disk, and not only in its list of files


class ShelfAway(ClearcastError):  # noqa: N818 - named by what is so, not by whose fault it is
    """Pictures cannot be stored or read just now: the disk is full or read-only, or the folder is gone."""


class Restores(Protocol):
    """Restores pictures when somebody wants to see them; see ``Place``."""

    def restores(self, model: str) -> bool:
        """Whether it is this bundle, and one that restores on demand."""

    def restore(self, data: bytes) -> Picture | None:
        """A picture without noise; None where that cannot be."""


class Shelf:
    """Keeps pictures below a folder, which is made where it is not there. Safe to use from several threads.

    Attributes:
        restorer: restores what nobody restored for a verdict; None: nothing does.

    Raises:
        ShelfAway: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.restorer: Restores | None = None
        self._folder = folder
        self._drawing = threading.BoundedSemaphore(_DRAWN)
        self._restoring = threading.Lock()  # one at a time, and none twice
        self._lock = threading.Lock()  # no picture is swept while it is found to be there already
        self._strays_reported: set[str] = set()
        with _told():
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            make_private(folder)

    def put(self, data: bytes) -> str:
        """Keep a picture's bytes as they came; they are on the disk when this returns.

        Returns:
            their SHA-256, in hexadecimal, by which all else is asked for.

        Raises:
            ShelfAway: it cannot be kept.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256, NOISY)
        with _told():
            with self._lock:
                there = path.is_file() and path.stat().st_size == len(data)
                if there:
                    os.utime(path)  # its age counts from now
            if not there:
                self._write(path, data, flush=True)
        return sha256

    def put_made(
        self, sha256: str, model: str, *, restored: Picture | None, evidence: NDArray[np.float32] | None
    ) -> None:
        """Keep what a bundle made of a picture.

        Args:
            sha256: the picture's, as ``put`` gave it.
            model: the bundle's name, as inspections give it.
            restored: uint8 (height, width) or (height, width, 3) in RGB order; kept as JPEG of quality 95, shrunk if it
                is longer than JPEG holds; None if it was not made.
            evidence: float32 (h, w), log-odds of defect by place; None where the bundle does not say.

        Raises:
            ShelfAway: it cannot be kept.
        """
        picture, places = (self._path(sha256, f"{_key(model)}{suffix}") for suffix in (".jpg", ".npy"))
        with _told():
            if restored is not None and not _has_bytes(picture):
                self._write(picture, _jpeg_of(restored))
            if evidence is not None and not _has_bytes(places):
                file = io.BytesIO()
                np.save(file, evidence.astype(np.float16), allow_pickle=False)
                self._write(places, file.getvalue())

    def noisy(self, sha256: str) -> bytes | None:
        """The bytes as they came; None where they are gone, or never came.

        Raises:
            ShelfAway: the folder is gone or cannot be read; so for all that follow.
        """
        return self._read(sha256, NOISY)

    def restored(self, sha256: str, model: str) -> bytes | None:
        """A JPEG of the picture as a bundle restored it, or does now, if it is one that restores on demand."""
        made = self._read(sha256, f"{_key(model)}.jpg")
        if made is not None or not (self.restorer and self.restorer.restores(model)):
            return made
        with self._restoring:
            made = self._read(sha256, f"{_key(model)}.jpg")  # somebody else may have waited for it as well
            data = self.noisy(sha256)
            restored = self.restorer.restore(data) if data and made is None else None
            if restored is None:
                return made
            with contextlib.suppress(ShelfAway):  # it can be shown, and made again
                self.put_made(sha256, model, restored=restored, evidence=None)
        return _jpeg_of(restored)

    def heat(self, sha256: str, model: str) -> bytes | None:
        """A PNG that shows where a picture speaks for a defect; None also where the bundle does not say.

        It is drawn over the restored picture if that was kept, and else over the picture as it came.
        """
        evidence = self._read(sha256, f"{_key(model)}.npy")
        shown = self._read(sha256, f"{_key(model)}.jpg") or self.noisy(sha256)
        if shown is None or evidence is None:
            return None
        with self._drawing:
            return heat_of(shown, evidence)

    def thumbnail(self, sha256: str) -> bytes | None:
        """A small JPEG of the picture as it came; None also where it cannot be decoded."""
        made = self._read(sha256, THUMBNAIL)
        if made is not None:
            return made
        data = self.noisy(sha256)
        if data is None:
            return None
        with self._drawing:
            made = thumbnail_of(data)
        if made is not None:
            with contextlib.suppress(OSError):  # it can be shown, and made again
                self._write(self._path(sha256, THUMBNAIL), made)
        return made

    def viewable(self, sha256: str) -> bytes | None:
        """The picture as it came, as browsers show it; None also where it cannot be decoded.

        A JPEG, PNG or WebP gives its own bytes, other formats a PNG.
        """
        data = self.noisy(sha256)
        if data is None:
            return None
        with self._drawing:
            return viewable_of(data)

    def kept(self, sha256: str, model: str) -> frozenset[str]:
        """Which of "noisy", "restored" and "heat" can be had of a picture and a bundle.

        Raises:
            ShelfAway: the folder is gone or cannot be read.
        """
        files = {"noisy": NOISY, "restored": f"{_key(model)}.jpg", "heat": f"{_key(model)}.npy"}
        with _told():
            kept = frozenset(kind for kind, file in files.items() if _has_bytes(self._path(sha256, file)))
            if not kept:
                self._folder.stat()  # as in _read
        on_demand = "noisy" in kept and self.restorer is not None and self.restorer.restores(model)
        return kept | {"restored"} if on_demand else kept

    def sweep(
        self,
        *,
        keep_days: float | None,
        keep_bytes: int | None,
        needed: Callable[[Sequence[str]], set[str]],
    ) -> int:
        """Remove pictures with all that was made of them, the oldest first.

        Args:
            keep_days: those that came last longer ago go; None: none goes for its age.
            keep_bytes: as many go as all files together are larger; None: none goes for its size.
            needed: gives those of some SHA-256 that must stay, since people gave feedback on them.

        What is not the station's own, such as ``.DS_Store``, is left, not counted, and logged the first time.

        Returns:
            how many pictures went.

        Raises:
            ShelfAway: the folder is gone or cannot be written.
        """
        with _told():
            strays = Strays(self._strays_reported)
            forget_half_written(self._incoming, strays)
            rule = Retention(days=keep_days, size=keep_bytes, needed=needed)
            gone = sweep(self._folder, rule, self._lock, strays)
            strays.report()
            return gone

    def writable(self) -> None:
        """Make sure that pictures can be kept just now.

        Raises:
            ShelfAway: they cannot.
        """
        with _told():
            self._temporary(_TRIAL, flush=True).unlink()

    def _path(self, sha256: str, file: str) -> Path:
        if not SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r}: needed is a SHA-256 in 64 hexadecimal digits, the letters small")
        return self._folder / sha256[:2] / sha256 / file

    @property
    def _incoming(self) -> Path:
        """Made where it is not there, but never the shelf's own folder, such as that of a disk that was lost."""
        folder = self._folder / INCOMING
        folder.mkdir(mode=_PRIVATE, exist_ok=True)
        return folder

    def _read(self, sha256: str, file: str) -> bytes | None:
        path = self._path(sha256, file)
        with _told():
            try:
                return path.read_bytes() or None  # empty: the power failed while it was written
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):  # or somebody put something in its place
                self._folder.stat()  # where the whole folder is gone, its pictures may come back with it
                return None

    def _write(self, path: Path, data: bytes, *, flush: bool = False) -> None:
        """Write a file whole or not at all."""
        temporary = self._temporary(data, flush=flush)
        try:
            with self._lock:
                path.parent.parent.mkdir(mode=_PRIVATE, exist_ok=True)
                path.parent.mkdir(mode=_PRIVATE, exist_ok=True)
                temporary.replace(path)
            if flush:
                for folder in (path.parent, path.parent.parent, self._folder):
                    _flush_names(folder)
        finally:
            temporary.unlink(missing_ok=True)

    def _temporary(self, data: bytes, *, flush: bool) -> Path:
        number, name = tempfile.mkstemp(prefix=HALF_WRITTEN, dir=self._incoming)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                if flush:
                    os.fsync(number)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the system refuses, in words; without paths, since people at the line and beyond read them."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ShelfAway(
            f"pictures cannot be stored or read ({reason}); make room, or bring back the folder of the pictures"
        ) from error


def _jpeg_of(restored: Picture) -> bytes:
    return imaging.encode(imaging.shrink_to_fit(restored, ".jpg"), ".jpg")


def _flush_names(folder: Path) -> None:
    """Put the names in a folder on the disk, without which a file may be lost that is there itself."""
    if os.name == "nt":
        return
    with contextlib.suppress(FileNotFoundError):  # swept by now
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _key(model: str) -> str:
    """Stands for a bundle in the names of files; what people call a bundle may be no name of a file."""
    return hashlib.sha256(model.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _has_bytes(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # a sweep may remove it between two looks
        facts = path.stat()
        return stat.S_ISREG(facts.st_mode) and facts.st_size > 0
    return False
