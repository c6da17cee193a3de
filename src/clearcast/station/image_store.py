"""Image store: a station's images as files below one folder, named by their content, never by a sender's text.

ab/abcdef…/noisy                  the original bytes; the folder's name is their SHA-256
ab/abcdef…/thumbnail.jpg          made on first request
ab/abcdef…/0123456789abcdef.jpg   image denoised by the bundle that the 16 digits identify
ab/abcdef…/0123456789abcdef.npy   the bundle's log-odds of defect per position, float16
incoming/                         files being written
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

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import ClearcastError
from clearcast.core.files import restrict_to_owner
from clearcast.station.image_rendering import make_thumbnail, render_heat_map, to_browser_format
from clearcast.station.retention import (
    INCOMING_FOLDER,
    ORIGINAL_FILE,
    SHA256_PATTERN,
    TEMPORARY_PREFIX,
    THUMBNAIL_FILE,
    RetentionPolicy,
    StrayFiles,
    delete_expired_images,
    remove_stale_temporaries,
)

_RENDERINGS = 2  # images rendered at a time: a large one takes hundreds of megabytes
_PRIVATE = 0o700  # of folders: images are readable by their owner only; temporary files are private by themselves
_PROBE_DATA = bytes(64 * 1024)  # enough to need data blocks on the disk, not only a directory entry


class StoreUnavailable(ClearcastError):  # noqa: N818 - named by the state
    """Images cannot be stored or read at the moment: the disk is full or read-only, or the folder is missing."""


class OnDemandDenoiser(Protocol):
    """Denoises images on demand; see ``ImageStore.denoiser``."""

    def denoises_on_demand(self, model: str) -> bool:
        """Return whether ``model`` is this bundle and it denoises on demand only."""

    def denoise(self, data: bytes) -> ImageArray | None:
        """Denoise an encoded image; None if that is impossible."""


class ImageStore:
    """Stores images below a folder, which is created if it is missing. Thread-safe.

    Attributes:
        denoiser: denoises images on demand that were not denoised for their verdict; None: no image is.

    Raises:
        StoreUnavailable: the folder cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self.denoiser: OnDemandDenoiser | None = None
        self._folder = folder
        self._rendering = threading.BoundedSemaphore(_RENDERINGS)
        self._denoising = threading.Lock()  # one at a time, and none twice
        self._lock = threading.Lock()  # no image is deleted while ``put`` finds that it exists
        self._strays_reported: set[str] = set()
        with _translate_errors():
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            restrict_to_owner(folder)

    def put(self, data: bytes) -> str:
        """Store an image's original bytes; they are flushed to the disk when this returns.

        Returns:
            their SHA-256 in hexadecimal, the key of all other methods.

        Raises:
            StoreUnavailable: the image cannot be stored.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256, ORIGINAL_FILE)
        with _translate_errors():
            with self._lock:
                exists = path.is_file() and path.stat().st_size == len(data)
                if exists:
                    os.utime(path)  # its age restarts
            if not exists:
                self._write(path, data, flush=True)
        return sha256

    def put_outputs(
        self, sha256: str, model: str, *, denoised: ImageArray | None, evidence: NDArray[np.float32] | None
    ) -> None:
        """Store a bundle's output images.

        Args:
            sha256: hash of the original, from ``put``.
            model: the bundle's name, as in inspections.
            denoised: denoised image, uint8 (height, width) or (height, width, 3) in RGB order; stored as JPEG of
                quality 95, shrunk to the largest size of JPEG; None if not made.
            evidence: float32 (h, w), log-odds of defect per position; None if the bundle gives none.

        Raises:
            StoreUnavailable: the images cannot be stored.
        """
        image_path, evidence_path = (self._path(sha256, f"{_bundle_key(model)}{suffix}") for suffix in (".jpg", ".npy"))
        with _translate_errors():
            if denoised is not None and not _has_bytes(image_path):
                self._write(image_path, _encode_jpeg(denoised))
            if evidence is not None and not _has_bytes(evidence_path):
                file = io.BytesIO()
                np.save(file, evidence.astype(np.float16), allow_pickle=False)
                self._write(evidence_path, file.getvalue())

    def noisy(self, sha256: str) -> bytes | None:
        """Return the original bytes; None if they were deleted or never received.

        Raises:
            StoreUnavailable: the folder is missing or cannot be read; also in the methods below.
        """
        return self._read(sha256, ORIGINAL_FILE)

    def denoised(self, sha256: str, model: str) -> bytes | None:
        """Return the image denoised by a bundle, as JPEG; denoise it now if the bundle does so on demand."""
        made = self._read(sha256, f"{_bundle_key(model)}.jpg")
        if made is not None or not (self.denoiser and self.denoiser.denoises_on_demand(model)):
            return made
        with self._denoising:
            made = self._read(sha256, f"{_bundle_key(model)}.jpg")  # another thread may have made it
            data = self.noisy(sha256)
            denoised = self.denoiser.denoise(data) if data and made is None else None
            if denoised is None:
                return made
            with contextlib.suppress(StoreUnavailable):  # it can be returned now and made again later
                self.put_outputs(sha256, model, denoised=denoised, evidence=None)
        return _encode_jpeg(denoised)

    def heat(self, sha256: str, model: str) -> bytes | None:
        """Return the heat map as PNG; None also if the bundle gives none.

        It is drawn over the denoised image if that is stored, else over the original.
        """
        evidence = self._read(sha256, f"{_bundle_key(model)}.npy")
        shown = self._read(sha256, f"{_bundle_key(model)}.jpg") or self.noisy(sha256)
        if shown is None or evidence is None:
            return None
        with self._rendering:
            return render_heat_map(shown, evidence)

    def thumbnail(self, sha256: str) -> bytes | None:
        """Return a thumbnail of the original as JPEG; None also if it cannot be decoded."""
        made = self._read(sha256, THUMBNAIL_FILE)
        if made is not None:
            return made
        data = self.noisy(sha256)
        if data is None:
            return None
        with self._rendering:
            made = make_thumbnail(data)
        if made is not None:
            with contextlib.suppress(OSError):  # it can be returned now and made again later
                self._write(self._path(sha256, THUMBNAIL_FILE), made)
        return made

    def viewable(self, sha256: str) -> bytes | None:
        """Return the original in a format for browsers; None also if it cannot be decoded.

        JPEG, PNG and WebP are returned unchanged, other formats as PNG.
        """
        data = self.noisy(sha256)
        if data is None:
            return None
        with self._rendering:
            return to_browser_format(data)

    def available(self, sha256: str, model: str) -> frozenset[str]:
        """Return which of "noisy", "restored" and "heat" are available for an image and a bundle.

        Raises:
            StoreUnavailable: the folder is missing or cannot be read.
        """
        files = {"noisy": ORIGINAL_FILE, "restored": f"{_bundle_key(model)}.jpg", "heat": f"{_bundle_key(model)}.npy"}
        with _translate_errors():
            available = frozenset(kind for kind, file in files.items() if _has_bytes(self._path(sha256, file)))
            if not available:
                self._folder.stat()  # as in _read
        on_demand = "noisy" in available and self.denoiser is not None and self.denoiser.denoises_on_demand(model)
        return available | {"restored"} if on_demand else available

    def apply_retention(
        self,
        *,
        keep_days: float | None,
        keep_bytes: int | None,
        needed: Callable[[Sequence[str]], set[str]],
    ) -> int:
        """Delete images and their output images beyond the retention limits, oldest first.

        Stray files, such as ``.DS_Store``, are left alone, not counted, and logged the first time.

        Args:
            keep_days: images last received longer ago are deleted; None: no limit of age.
            keep_bytes: total size to keep; the oldest images beyond are deleted; None: no limit of size.
            needed: returns those of the given SHA-256 hashes that must be kept, since they have feedback.

        Returns:
            the number of deleted images.

        Raises:
            StoreUnavailable: the folder is missing or cannot be written.
        """
        with _translate_errors():
            strays = StrayFiles(self._strays_reported)
            remove_stale_temporaries(self._incoming, strays)
            policy = RetentionPolicy(days=keep_days, size=keep_bytes, needed=needed)
            deleted = delete_expired_images(self._folder, policy, self._lock, strays)
            strays.report()
            return deleted

    def check_writable(self) -> None:
        """Check that images can be stored at the moment.

        Raises:
            StoreUnavailable: they cannot be stored.
        """
        with _translate_errors():
            self._temporary(_PROBE_DATA, flush=True).unlink()

    def _path(self, sha256: str, file: str) -> Path:
        if not SHA256_PATTERN.fullmatch(sha256):
            raise ValueError(f"{sha256!r}: expected a SHA-256 in 64 lower-case hexadecimal digits")
        return self._folder / sha256[:2] / sha256 / file

    @property
    def _incoming(self) -> Path:
        """Folder of incoming files, created if missing; the store's own folder is not: its disk may be unmounted."""
        folder = self._folder / INCOMING_FOLDER
        folder.mkdir(mode=_PRIVATE, exist_ok=True)
        return folder

    def _read(self, sha256: str, file: str) -> bytes | None:
        path = self._path(sha256, file)
        with _translate_errors():
            try:
                return path.read_bytes() or None  # empty: the power failed during the write
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):  # or a stray file is in its place
                self._folder.stat()  # if the whole folder is missing, raise: its images may come back with it
                return None

    def _write(self, path: Path, data: bytes, *, flush: bool = False) -> None:
        """Write a file atomically."""
        temporary = self._temporary(data, flush=flush)
        try:
            with self._lock:
                path.parent.parent.mkdir(mode=_PRIVATE, exist_ok=True)
                path.parent.mkdir(mode=_PRIVATE, exist_ok=True)
                temporary.replace(path)
            if flush:
                for folder in (path.parent, path.parent.parent, self._folder):
                    _flush_directory(folder)
        finally:
            temporary.unlink(missing_ok=True)

    def _temporary(self, data: bytes, *, flush: bool) -> Path:
        number, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=self._incoming)
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
def _translate_errors() -> Iterator[None]:
    """Translate OS errors to ``StoreUnavailable``, without paths: the message is public."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreUnavailable(
            f"images cannot be stored or read ({reason}); free disk space or restore the image folder"
        ) from error


def _encode_jpeg(image: ImageArray) -> bytes:
    return imaging.encode_image(imaging.shrink_to_fit(image, ".jpg"), ".jpg")


def _flush_directory(folder: Path) -> None:
    """Flush a directory's entries to the disk, without which a new file may be lost."""
    if os.name == "nt":
        return
    with contextlib.suppress(FileNotFoundError):  # deleted in the meantime
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _bundle_key(model: str) -> str:
    """Return a file name for a bundle; the bundle's own name may be invalid as one."""
    return hashlib.sha256(model.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _has_bytes(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # retention may delete it at any time
        status = path.stat()
        return stat.S_ISREG(status.st_mode) and status.st_size > 0
    return False
