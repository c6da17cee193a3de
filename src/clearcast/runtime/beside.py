"""Pictures that are written beside the results: restored ones and heat maps, named by what they were made from."""

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path, PurePosixPath

from clearcast import imaging
from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.files import replace_file
from clearcast.runtime.heat import draw_heat
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
    """Writes the pictures of inspections, from several threads, none in the place of another."""

    def __init__(self, beside: Beside) -> None:
        self.unwritten = Unwritten()
        self._beside = beside
        self._lock = threading.Lock()
        self._busy: set[Path] = set()

    def __call__(self, inspection: Inspection, key: str) -> Inspection:
        """Write what is wanted of an inspection, and give it back without its pictures.

        One that cannot be written, such as a picture that is too long for JPEG, is counted in ``unwritten``; the
        inspection stays what it is.

        Args:
            inspection: with the pictures that it was asked for, if it has no error.
            key: of its item; its folders and its stem name the pictures.

        Raises:
            OutputError: nothing can be written there any more, such as on a full disk.
        """
        restored, evidence = inspection.restored, inspection.evidence
        if restored is not None and self._beside.denoised:
            with self.unwritten.noting(inspection.path):
                data = imaging.encode(restored, self._beside.suffix)
                self._write(self._beside.denoised, key, self._beside.suffix, data)
        shown = inspection.picture if restored is None else restored
        if shown is not None and evidence is not None and self._beside.heatmaps:
            with self.unwritten.noting(inspection.path):
                drawn = imaging.shrink_to_fit(draw_heat(shown, evidence), _HEAT_SUFFIX)
                self._write(self._beside.heatmaps, key, _HEAT_SUFFIX, imaging.encode(drawn, _HEAT_SUFFIX))
        return replace(inspection, restored=None, evidence=None, picture=None)

    def _write(self, folder: Path, key: str, suffix: str, data: bytes) -> None:
        """The same bytes as before an interruption are left as they are."""
        with self._lock:
            path = next(path for path in _names(folder, key, suffix) if self._is_free(path, data))
            self._busy.add(path)
        try:
            if not path.exists():
                with replace_file(path) as temporary:
                    temporary.write_bytes(data)
        finally:
            with self._lock:
                self._busy.discard(path)

    def _is_free(self, path: Path, data: bytes) -> bool:
        return path not in self._busy and (not path.exists() or path.read_bytes() == data)


def _names(folder: Path, key: str, suffix: str) -> Iterator[Path]:
    """The stem, then the whole name, then numbered: ``a.jpg`` and ``a.png`` give ``a.png`` and ``a.png.png``."""
    parts = [part for part in PurePosixPath(_plain(key)).parts if part not in {"/", ".."}]
    name = PurePosixPath(parts[-1])
    stem = name.stem if name.suffix.lower() in imaging.SUFFIXES else name.name
    within = folder.joinpath(*parts[:-1])
    yield within / f"{stem}{suffix}"
    yield within / f"{name}{suffix}"
    for number in count(2):
        yield within / f"{name}-{number}{suffix}"


def _plain(key: str, *, windows: bool = os.name == "nt") -> str:
    r"""A key without what Windows gives a meaning, such as the drive of a path from stdin, or a time's colons.

    >>> _plain("C:/parts/a:b.png", windows=True), _plain("a:b.png", windows=False)
    ('C_/parts/a_b.png', 'a:b.png')
    """
    return re.sub(r'[<>:"|?*\\\x00-\x1f]', "_", key) if windows else key
