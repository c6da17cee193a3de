"""Metadata of a sheet's images: header, hash and thumbnail, from reading and decoding each file once."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from clearcast import imaging
from clearcast.data.paths import FileNames
from clearcast.data.sheet import Sheet
from clearcast.data.thumbnails import Thumbnail, thumbnail
from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import Channels, PictureInfo
from clearcast.progress import Progress


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """Metadata of an image file: header, hash and thumbnail, or the reason why the file cannot be used."""

    info: PictureInfo | None = None
    sha256: str = ""
    thumbnail: Thumbnail | None = field(default=None, repr=False, compare=False)
    fault: PictureFault | None = None
    message: str = ""


def read_facts(sheet: Sheet, *, progress: Progress | None = None) -> dict[str, PictureFacts]:
    """Read and decode each image of the sheet once; the keys are the paths of the rows."""
    paths = list(dict.fromkeys(path for row in sheet.rows for path in (row.noisy, row.reference) if path))
    facts: dict[str, PictureFacts] = {}
    files = FileNames(sheet.root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (path, fact) in enumerate(
            zip(paths, pool.map(_read_metadata, map(sheet.resolve, paths)), strict=True), 1
        ):
            facts[path] = replace(fact, message=fact.message + files.advice(path)) if _is_missing(fact) else fact
            if progress:
                progress(done, len(paths))
    return facts


def _is_missing(fact: PictureFacts) -> bool:
    return fact.fault is PictureFault.MISSING


def _read_metadata(path: Path) -> PictureFacts:
    try:
        data = imaging.read_bytes(path)
        info = imaging.probe(data, str(path))
        grey = imaging.decode(data, Channels.GREY, str(path))  # also verifies that the file is complete
    except PictureError as error:
        return PictureFacts(fault=error.fault, message=str(error))
    height, width = grey.shape
    info = replace(info, width=width, height=height)  # with the EXIF orientation applied
    return PictureFacts(info=info, sha256=hashlib.sha256(data).hexdigest(), thumbnail=thumbnail(grey))
