"""Pictures that are written beside the results: restored ones and heat maps, named by what they were made from."""

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
    """Where pictures beside the results go; None where they are not wanted.

    Attributes:
        denoised: folder of the restored pictures.
        suffix: of the restored pictures, such as ``.png``.
        heatmaps: folder of the heat maps, as JPEG, drawn over the restored pictures or, where these are not made, over
            the pictures as they came.
    """

    denoised: Path | None = None
    suffix: str = ".png"
    heatmaps: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """Those that are wanted."""
        return [folder for folder in (self.denoised, self.heatmaps) if folder]

    def require_room(self, source: Path, *, resume: bool) -> None:
        """Make sure that no picture takes the place of one that is there, nor is found as one to inspect.

        Args:
            source: that of the pictures; it need not be a folder, and may be a pattern.
            resume: whether pictures of earlier work may be there.

        Raises:
            OutputError: a folder lies within the source, is named twice, or is not empty.
        """
        if self.denoised and self.heatmaps and self.denoised.resolve() == self.heatmaps.resolve():
            raise OutputError(f"{self.denoised}: named for denoised pictures and for heat maps; give each a folder")
        for folder in self.folders:
            if _is_read(folder, source):
                raise OutputError(f"{folder} lies within {source}, whose pictures are read; name a folder outside")
            if folder.exists() and not folder.is_dir():
                raise OutputError(f"{folder}: not a folder; name one for the pictures")
            if not resume and folder.exists() and any(folder.iterdir()):
                raise OutputError(f"{folder} is not empty; name another folder, or go on with earlier work by --resume")


def _is_read(folder: Path, source: Path) -> bool:
    if is_pattern(str(source)) and not source.exists():
        return looks_into(source, folder)
    return folder.resolve().is_relative_to(source.resolve())


class PictureWriter:
    """Writes the pictures of inspections, from several threads, under the names that ``picture_names`` gives them."""

    def __init__(self, beside: Beside) -> None:
        self.unwritten = Unwritten()
        self._beside = beside
        self._folds = cache(_folds)

    def __call__(self, inspection: Inspection, key: str) -> Inspection:
        """Write what is wanted of an inspection, and give it back with the paths of its pictures in their place.

        One that cannot be written, such as a picture that is too long for JPEG, is counted in ``unwritten``; the
        inspection stays what it is.

        Args:
            inspection: with the pictures that it was asked for, if it has no error.
            key: of its item; it names the pictures.

        Raises:
            OutputError: nothing can be written there any more, such as on a full disk.
        """
        restored, evidence = inspection.restored, inspection.evidence
        denoised = heatmap = None
        if restored is not None and self._beside.denoised:
            with self.unwritten.noting(inspection.path):
                data = imaging.encode(restored, self._beside.suffix)
                denoised = self._write(self._beside.denoised, self._beside.suffix, inspection, key, data)
        shown = inspection.picture if restored is None else restored
        if shown is not None and evidence is not None and self._beside.heatmaps:
            with self.unwritten.noting(inspection.path):
                drawn = imaging.shrink_to_fit(draw_heat(shown, evidence), _HEAT_SUFFIX)
                data = imaging.encode(drawn, _HEAT_SUFFIX)
                heatmap = self._write(self._beside.heatmaps, _HEAT_SUFFIX, inspection, key, data)
        return replace(inspection, restored=None, evidence=None, picture=None, denoised=denoised, heatmap=heatmap)

    def _write(self, folder: Path, suffix: str, inspection: Inspection, key: str, data: bytes) -> str:
        """Write a picture, in place of one that earlier work made of the same item; its path, with the folder's."""
        is_file = inspection.sha256 is not None
        path = folder / picture_name(key, suffix, is_file=is_file, folds=self._folds(folder))
        with replace_file(path) as temporary:
            temporary.write_bytes(data)
        return path.as_posix()


def _folds(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return folds_names(folder)
