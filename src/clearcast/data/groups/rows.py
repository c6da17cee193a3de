"""The groups of a sheet's rows: found in its pictures, and written down."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from clearcast.data.check_rows import Finding, Severity
from clearcast.data.facts import PictureFacts
from clearcast.data.groups.find import find_groups
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label
from clearcast.files import replace_file
from clearcast.progress import Progress

_COLUMNS = ("path", "group")


def group_rows(sheet: Sheet, facts: dict[str, PictureFacts], *, progress: Progress | None = None) -> tuple[str, ...]:
    """The group of each row, by its reference picture where that can be read, since no noise hides what it shows.

    Rows with one picture, or with byte-identical ones, are of one group anyway. A row without any readable picture is a
    group of its own.

    Args:
        sheet: the sheet; its rows may have problems.
        facts: what was learned about its pictures.
        progress: called with (done, all) while pictures are read; comparing them comes after.
    """
    seen = [_best_picture(row, facts) for row in sheet.rows]
    first = {facts[path].sha256: path for path in reversed(seen) if path}
    paths = sorted(first.values())
    groups = find_groups([sheet.resolve(path) for path in paths], progress=progress).groups
    group_of = dict(zip(paths, groups, strict=True))
    names: dict[int | str, str] = {}
    keys = [
        group_of[first[facts[path].sha256]] if path else f"row {row.number}"
        for row, path in zip(sheet.rows, seen, strict=True)
    ]
    return tuple(names.setdefault(key, f"part-{len(names) + 1:05}") for key in keys)


def write_groups(sheet: Sheet, groups: tuple[str, ...], path: Path) -> None:
    """Write ``path,group``: every picture of the sheet, noisy and reference, with the group of its row."""
    listed = {
        picture: group for row, group in zip(sheet.rows, groups, strict=True) for picture in (row.reference, row.noisy)
    }
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows((picture, group) for picture, group in listed.items() if picture)


def label_doubts(rows: Sequence[Row], groups: Sequence[str]) -> list[Finding]:
    """A warning for each row whose label most other pictures of its part contradict."""
    labels: dict[str, Counter[Label]] = defaultdict(Counter)
    for row, group in zip(rows, groups, strict=True):
        if row.label:
            labels[group][row.label] += 1
    doubts = []
    for row, group in zip(rows, groups, strict=True):
        others = sum(count for label, count in labels[group].items() if label != row.label)
        if row.label and others and others >= labels[group][row.label]:
            message = f"labelled {row.label}, but {others} other pictures of the same part ({group}) are not"
            doubts.append(
                Finding(
                    severity=Severity.WARNING,
                    kind="likely label error",
                    message=message,
                    row=row.number,
                    path=row.noisy,
                )
            )
    return doubts


def _best_picture(row: Row, facts: dict[str, PictureFacts]) -> str:
    readable = (path for path in (row.reference, row.noisy) if path in facts and facts[path].info)
    return next(readable, "")
