"""Files in the folders of a sheet's images that the sheet does not list."""

from collections.abc import Iterator
from functools import partial

from clearcast.data.sheet import Sheet
from clearcast.file_kinds import OtherFiles, file_head, files_of, is_picture


def unlisted_files(sheet: Sheet) -> Iterator[str]:
    """Report images that the sheet does not list, and files of other kinds, in the folders of its images.

    Sub-folders are not searched. The sheet itself is not counted.
    """
    listed = {sheet.resolve(path) for row in sheet.rows for path in (row.noisy, row.reference) if path}
    others = OtherFiles()
    for folder in sorted({path.parent for path in listed}):
        unlisted = 0
        for name in files_of(folder):
            path = folder / name
            if path in listed or path == sheet.path.absolute():
                continue
            if is_picture(name, partial(file_head, path)):
                unlisted += 1
            else:
                others.add(name)
        if unlisted:
            images = "1 image is" if unlisted == 1 else f"{unlisted:,} images are"
            yield f"{images} in {folder}, but not in the sheet"
    if others.counts:
        yield f"In the folders of the sheet's images, {others.sentence}"
