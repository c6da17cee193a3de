"""What a sheet's picture files are, each read once and whole."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from clearcast import imaging
from clearcast.data.paths import FileNames
from clearcast.data.sheet import Sheet
from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import Channels, PictureInfo
from clearcast.progress import Progress


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What was learned about one picture file by reading it whole: its header and hash, or why it cannot be used."""

    info: PictureInfo | None = None
    sha256: str = ""
    fault: PictureFault | None = None
    message: str = ""


def read_facts(sheet: Sheet, *, progress: Progress | None = None) -> dict[str, PictureFacts]:
    """Read each picture that the sheet names once and whole; the keys are the rows' paths."""
    paths = list(dict.fromkeys(path for row in sheet.rows for path in (row.noisy, row.reference) if path))
    facts: dict[str, PictureFacts] = {}
    files = FileNames(sheet.root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (path, fact) in enumerate(zip(paths, pool.map(_examine, map(sheet.resolve, paths)), strict=True), 1):
            facts[path] = replace(fact, message=fact.message + files.advice(path)) if _is_missing(fact) else fact
            if progress:
                progress(done, len(paths))
    return facts


def _is_missing(fact: PictureFacts) -> bool:
    return fact.fault is PictureFault.MISSING


def _examine(path: Path) -> PictureFacts:
    try:
        data = imaging.read_bytes(path)
        info = imaging.probe(data, str(path))
        height, width = imaging.decode(data, Channels.GREY, str(path)).shape  # tells whether a file is whole, too
    except PictureError as error:
        return PictureFacts(fault=error.fault, message=str(error))
    info = replace(info, width=width, height=height)  # as seen, with a camera's orientation applied
    return PictureFacts(info=info, sha256=hashlib.sha256(data).hexdigest())
