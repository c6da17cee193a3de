"""Image outputs of an inspection: denoised images and heat maps, their file names, and the errors of writing them."""

import errno
import hashlib
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import OutputError, PictureError
from clearcast.core.files import has_image_suffix, replace_file
from clearcast.inference.sources.folders import is_pattern, pattern_enters
from clearcast.types import Inspection

_HEATMAP_SUFFIX = ".jpg"
_MIN_HEAT, _MAX_HEAT = 1.0, 4.0  # log-odds above the image's mean at which the colour begins, and is full
_MAX_OPACITY = 0.6  # of the full colour
_ROWS_AT_A_TIME = 256  # rows coloured at a time, so that large images need little memory
_MAX_NAME_BYTES = 255  # of UTF-8 in a name, on nearly all file systems
_HASH_DIGITS = 10
_NO_SUFFIX = ".file"
_FORBIDDEN = re.compile(
    r"""
      [<>:"|?*\\\x00-\x1f\x7f\ud800-\udfff]                     # characters that Windows forbids, and surrogates
    | %(?=[0-9a-f]{2})                                          # what would look like an escaped character
    | [.\ ]\Z                                                   # endings that Windows drops
    | ^(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)).      # devices of Windows
    | ^\.                                                       # hidden names, and the folders . and ..
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SINGLE_FILE_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})  # names that a file system rejects


@dataclass(frozen=True, kw_only=True)
class ImageOutputs:
    """Folders of image outputs; None: not written.

    Attributes:
        denoised: folder of the denoised images.
        suffix: of the denoised images, such as ``.png``.
        heatmaps: folder of the heat maps: JPEGs drawn over the denoised images or, if there are none, over the noisy
            images.
    """

    denoised: Path | None = None
    suffix: str = ".png"
    heatmaps: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders that are set."""
        return [folder for folder in (self.denoised, self.heatmaps) if folder]

    def require_free(self, source: Path, *, resume: bool) -> None:
        """Check that outputs neither overwrite files nor are inspected as inputs.

        Args:
            source: of the images; it need not be a folder, and may be a pattern.
            resume: whether the folders may contain outputs of earlier runs.

        Raises:
            OutputError: a folder lies within the source, is given twice, or is not empty.
        """
        if self.denoised and self.heatmaps and self.denoised.resolve() == self.heatmaps.resolve():
            raise OutputError(f"{self.denoised}: given for denoised images and for heat maps; choose two folders")
        for folder in self.folders:
            if _is_inside(folder, source):
                raise OutputError(f"{folder} lies within {source}, which is inspected; choose a folder outside")
            if folder.exists() and not folder.is_dir():
                raise OutputError(f"{folder}: not a folder; choose a folder for the images")
            if not resume and folder.exists() and any(folder.iterdir()):
                raise OutputError(f"{folder} is not empty; choose another folder, or continue a run with --resume")


def _is_inside(folder: Path, source: Path) -> bool:
    if is_pattern(str(source)) and not source.exists():
        return pattern_enters(source, folder)
    return folder.resolve().is_relative_to(source.resolve())


class ImageOutputWriter:
    """Writer of image outputs, named by ``image_output_path``; thread-safe."""

    def __init__(self, outputs: ImageOutputs) -> None:
        self.failures = _WriteFailures()
        self._outputs = outputs
        self._folds_names = cache(_make_folder)

    def __call__(self, inspection: Inspection, key: str) -> Inspection:
        """Write the outputs of an inspection; returns it with the paths of its images instead of the arrays.

        An image that cannot be written, such as one too large for JPEG, is counted in ``failures``; the verdict stays.

        Args:
            inspection: with the requested images, unless it has an error.
            key: of its item; it determines the names of the images.

        Raises:
            OutputError: nothing can be written there any more, such as on a full disk.
        """
        return replace(
            inspection,
            restored=None,
            evidence=None,
            picture=None,
            denoised=self._write_denoised(inspection, key),
            heatmap=self._write_heat_map(inspection, key),
        )

    def _write_denoised(self, inspection: Inspection, key: str) -> str | None:
        folder, denoised = self._outputs.denoised, inspection.restored
        if folder is None or denoised is None:
            return None
        with self.failures.counting(inspection.path):
            data = imaging.encode_image(denoised, self._outputs.suffix)
            return self._write(folder, self._outputs.suffix, inspection, key, data)
        return None

    def _write_heat_map(self, inspection: Inspection, key: str) -> str | None:
        folder, evidence = self._outputs.heatmaps, inspection.evidence
        background = inspection.picture if inspection.restored is None else inspection.restored
        if folder is None or evidence is None or background is None:
            return None
        with self.failures.counting(inspection.path):
            heat_map = imaging.shrink_to_fit(draw_heat_map(background, evidence), _HEATMAP_SUFFIX)
            data = imaging.encode_image(heat_map, _HEATMAP_SUFFIX)
            return self._write(folder, _HEATMAP_SUFFIX, inspection, key, data)
        return None

    def _write(self, folder: Path, suffix: str, inspection: Inspection, key: str, data: bytes) -> str:
        """Write an image, replacing that of an earlier run; returns its path, with the folder."""
        is_file = inspection.sha256 is not None
        path = folder / image_output_path(key, suffix, is_file=is_file, folds=self._folds_names(folder))
        with replace_file(path) as temporary:
            temporary.write_bytes(data)
        return path.as_posix()


def _make_folder(folder: Path) -> bool:
    """Create a folder; returns whether it ignores case in names."""
    folder.mkdir(parents=True, exist_ok=True)
    return ignores_name_case(folder)


class _WriteFailures:
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


def image_output_path(key: str, suffix: str, *, is_file: bool = True, folds: bool = False) -> PurePosixPath:
    """Path of the image output for an item, relative to the output folder.

    Args:
        key: of the item, with forward slashes.
        suffix: of the new image, such as ``.png``.
        is_file: whether the item is a file, not a frame of a video.
        folds: whether the folder ignores case in names, see ``ignores_name_case``.

    >>> [str(image_output_path(key, ".png")) for key in ("b/a.png", "b/a.jpg", "../a", "/c:.png", "A.png")]
    ['b/a.png', 'b/a.jpg.png', '%2e%2e/a.file.png', '%2f/c%3a.png', 'A.png']
    >>> str(image_output_path("#000001", ".png", is_file=False)), str(image_output_path("A.png", ".png", folds=True))
    ('#000001.png', 'A~28e6ae4e94.png')
    """
    *folders, name = key.split("/")
    stem = _stem_for(name, suffix) if is_file else name
    parts = [_folder_name(folder, folds=folds) for folder in folders]
    return PurePosixPath(*parts, _unique_name(_escape(stem), suffix, name, folds=folds))


def ignores_name_case(folder: Path) -> bool:
    """Whether a folder ignores case in names, as usual on Windows and macOS.

    Raises:
        OSError: the folder is not writable.
    """
    with NamedTemporaryFile(dir=folder, prefix=".CLEARCAST-") as file:
        path = Path(file.name)
        return path.with_name(path.name.swapcase()).exists()


def _stem_for(name: str, suffix: str) -> str:
    """Name of a new image, without its suffix."""
    stem = name.removesuffix(suffix)
    if stem and stem != name and not has_image_suffix(stem) and not stem.lower().endswith(_NO_SUFFIX):
        return stem
    return name if has_image_suffix(name) else name + _NO_SUFFIX


def _folder_name(name: str, *, folds: bool) -> str:
    """Name of a folder, which must differ from those of images."""
    escaped = _escape(name)
    if has_image_suffix(escaped):
        stem, _, rest = escaped.rpartition(".")
        escaped = f"{stem}%2e{rest}"
    return _unique_name(escaped, "", name, folds=folds)


def _escape(name: str) -> str:
    return _FORBIDDEN.sub(lambda match: _percent_encode(match[0]), name) or _percent_encode("/")


def _percent_encode(character: str) -> str:
    try:
        data = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate of UTF-16
        data = character.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02x}" for byte in data)


def _unique_name(stem: str, suffix: str, name: str, *, folds: bool) -> str:
    """Join stem and suffix, with a hash of the name between them if it is needed to keep names distinct."""
    data = stem.encode()
    if len(data) + len(suffix) <= _MAX_NAME_BYTES and not (folds and stem != _fold_case(stem)):
        return stem + suffix
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    cut = data[: _MAX_NAME_BYTES - len(suffix) - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{cut}~{digest}{suffix}"


def _fold_case(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def scale_evidence(evidence: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return the evidence relative to its mean, scaled to 0..1 and resized: float32 (height, width).

    Args:
        evidence: float32 (h, w), log-odds of defect by position.
        height, width: of the image in pixels.
    """
    heat = np.clip((evidence - evidence.mean() - _MIN_HEAT) / (_MAX_HEAT - _MIN_HEAT), 0, 1)
    return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def draw_heat_map(image: ImageArray, evidence: NDArray[np.float32]) -> ImageArray:
    """Return the image in grey with the heat map in red to yellow: uint8 (height, width, 3) in RGB order.

    Args:
        image: uint8 (height, width) or (height, width, 3).
        evidence: float32 (h, w), log-odds of defect by position.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    heat = scale_evidence(evidence, *grey.shape[:2])
    drawn = np.empty((*grey.shape, 3), np.uint8)
    for top in range(0, grey.shape[0], _ROWS_AT_A_TIME):
        rows = slice(top, top + _ROWS_AT_A_TIME)
        drawn[rows] = _blend(grey[rows], heat[rows])
    return drawn


def _blend(grey: ImageArray, heat: NDArray[np.float32]) -> NDArray[np.float32]:
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_AUTUMN)[..., ::-1]  # OpenCV's are BGR
    opacity = _MAX_OPACITY * heat[..., None]
    return np.asarray(np.rint((1 - opacity) * grey[..., None] + opacity * colours), np.float32)
