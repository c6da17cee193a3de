"""Image outputs: denoised images and heat maps, written beside the results and named after their inputs."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from clearcast import imaging
from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.files import replace_file
from clearcast.runtime.heat import draw_heat
from clearcast.runtime.picture_names import folds_names, picture_name
from clearcast.runtime.sources.folders import is_pattern, looks_into
from clearcast.runtime.unwritten import Unwritten

_HEAT_SUFFIX = ".jpg"


@dataclass(frozen=True, kw_only=True)
class Beside:
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
        return looks_into(source, folder)
    return folder.resolve().is_relative_to(source.resolve())


class PictureWriter:
    """Writer of image outputs, named by ``picture_names``; thread-safe."""

    def __init__(self, outputs: Beside) -> None:
        self.unwritten = Unwritten()
        self._outputs = outputs
        self._folds_names = cache(_make_folder)

    def __call__(self, inspection: Inspection, key: str) -> Inspection:
        """Write the outputs of an inspection; returns it with the paths of its images instead of the arrays.

        An image that cannot be written, such as one too large for JPEG, is counted in ``unwritten``; the verdict stays.

        Args:
            inspection: with the requested images, unless it has an error.
            key: of its item; it determines the names of the images.

        Raises:
            OutputError: nothing can be written there any more, such as on a full disk.
        """
        restored, evidence = inspection.restored, inspection.evidence
        denoised = heatmap = None
        if restored is not None and self._outputs.denoised:
            with self.unwritten.counting(inspection.path):
                data = imaging.encode(restored, self._outputs.suffix)
                denoised = self._write(self._outputs.denoised, self._outputs.suffix, inspection, key, data)
        background = inspection.picture if restored is None else restored
        if background is not None and evidence is not None and self._outputs.heatmaps:
            with self.unwritten.counting(inspection.path):
                overlay = imaging.shrink_to_fit(draw_heat(background, evidence), _HEAT_SUFFIX)
                data = imaging.encode(overlay, _HEAT_SUFFIX)
                heatmap = self._write(self._outputs.heatmaps, _HEAT_SUFFIX, inspection, key, data)
        return replace(inspection, restored=None, evidence=None, picture=None, denoised=denoised, heatmap=heatmap)

    def _write(self, folder: Path, suffix: str, inspection: Inspection, key: str, data: bytes) -> str:
        """Write an image, replacing that of an earlier run; returns its path, with the folder."""
        is_file = inspection.sha256 is not None
        path = folder / picture_name(key, suffix, is_file=is_file, folds=self._folds_names(folder))
        with replace_file(path) as temporary:
            temporary.write_bytes(data)
        return path.as_posix()


def _make_folder(folder: Path) -> bool:
    """Create a folder; returns whether it ignores case in names."""
    folder.mkdir(parents=True, exist_ok=True)
    return folds_names(folder)
