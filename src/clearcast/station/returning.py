"""The way back: what people said of pictures, as a sheet to learn from, with the pictures in a folder beside it.

What a station cannot know is the picture without noise: one that the bundle says has none is its own reference, of the
others it is unknown. What the bundle restored is no truth.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from clearcast import imaging
from clearcast.data.sheet import UNKNOWN, Columns, Row, Sheet
from clearcast.errors import OutputError, PictureError, SheetError
from clearcast.progress import Progress
from clearcast.station.lessons import Learned, Lesson, Teacher, Word
from clearcast.station.log import Log, open_log
from clearcast.station.naming import plain_name
from clearcast.station.records import Record, Wanted
from clearcast.station.shelf import Shelf

LABEL = "Label"
_GROUP = "Group"
_LOG, _PICTURES = "log.sqlite", "pictures"


def open_station(place: str, pictures: Path | None = None) -> tuple[Log, Shelf]:
    """Open what a station left, or is still writing.

    Args:
        place: a station's folder, its log as a file of SQLite, or the URL of a database.
        pictures: the folder of its pictures; None: as the log says, or beside it.

    Raises:
        OutputError: there is no log, or the folder of the pictures is not there.
        LogAway: the log cannot be reached just now.
    """
    path = Path(place)
    if "://" not in place and path.is_dir():
        path /= _LOG
    if "://" not in place and not path.is_file():
        raise OutputError(
            f"{path}: no such log; needed is a station's folder with its {_LOG}, such a file, or a database's URL"
        )
    beside = None if "://" in place else path.parent / _PICTURES
    log = open_log(place if "://" in place else path, pictures=pictures or beside)
    folders = [pictures] if pictures else [log.pictures, beside]
    found = next((folder for folder in folders if folder and folder.is_dir()), None)
    if found is None:
        log.close()
        raise OutputError(
            f"{' or '.join(map(str, filter(None, folders))) or place}: the station's pictures are not there; name "
            "their folder with --pictures"
        )
    return log, Shelf(found)


def last_words(records: Iterable[Record]) -> dict[str, Word]:
    """What was said last of each picture, by its SHA-256: of several inspections of one, the latest feedback counts.

    Args:
        records: the newest first, each with feedback.
    """
    words: dict[str, Word] = {}
    for record in records:
        last = Word(entry=record.entry, feedback=record.feedback[-1])
        known = words.setdefault(record.entry.sha256, last)
        if last.feedback.at > known.feedback.at:
            words[record.entry.sha256] = replace(known, feedback=last.feedback)
    return words


def bring_back(
    log: Log,
    shelf: Shelf,
    out: Path,
    *,
    beside: Sheet | None = None,
    progress: Progress | None = None,
) -> Learned:
    """Write a sheet and a folder with its pictures, or nothing.

    Args:
        log: has the feedback.
        shelf: has the pictures.
        out: the sheet, .xlsx; neither it nor its folder may be there.
        beside: a sheet in the same folder that the new one continues: with its rows first, and their labels corrected.
        progress: called with (done, all) pictures.

    Raises:
        OutputError: the sheet or the folder is there, they cannot be written, or there is nothing to learn.
        SheetError: ``beside`` is in another folder, or has rows that cannot be used.
        LogAway, ShelfAway: the log or the pictures cannot be read.
    """
    pictures = out.parent / f"{plain_name(out.stem)}-pictures"
    _require_new(out, pictures)
    known = _continued(beside, out) if beside else []
    words = last_words(log.export(Wanted(feedback=True)))
    teacher = Teacher(shelf, pictures)
    try:
        done_with: set[str] = set()
        lessons = [_corrected(each, out.parent, words, teacher, done_with) for each in known]
        words = {digest: word for digest, word in words.items() if digest not in done_with}
        for done, word in enumerate(words.values(), start=1):
            lesson = teacher.lesson(word)
            lessons += [lesson] if lesson else []
            if progress:
                progress(done, len(words))
        _require_lessons(teacher.learned)
        _write(out, lessons)
    except BaseException as error:
        shutil.rmtree(pictures, ignore_errors=True)
        if isinstance(error, OSError):
            raise OutputError(f"{out}: cannot be written ({error}); free or choose another place") from None
        raise
    return teacher.learned


def _require_new(out: Path, pictures: Path) -> None:
    if out.suffix.lower() != ".xlsx":
        raise OutputError(f"{out}: needed is a name that ends in .xlsx, such as Labels.xlsx")
    for path in (out, pictures):
        if path.exists():
            raise OutputError(f"{path} is there, and nothing is overwritten; name another sheet with --out")


def _continued(sheet: Sheet, out: Path) -> list[Lesson]:
    """The rows of a sheet that the new one continues."""
    if sheet.root.resolve() != out.parent.resolve():
        raise SheetError(
            f"{sheet.path}: names its pictures from {sheet.root}, and so must the sheet that continues it; name one in "
            "that folder with --out"
        )
    if bad := [row for row in sheet.rows if row.problems]:
        raise SheetError(
            f"{sheet.path}: {len(bad)} rows cannot be used; the first is row {bad[0].number}: {bad[0].problems[0]}; "
            "mend them first, see 'clearcast check'"
        )
    return list(map(_lesson_of, sheet.rows))


def _lesson_of(row: Row) -> Lesson:
    assert row.label, "a row without a label has a problem"
    assert row.noise_type, "so has one without a noise type"
    return Lesson(
        reference=row.reference or UNKNOWN, noise_type=row.noise_type, noisy=row.noisy, label=row.label, group=row.group
    )


def _corrected(known: Lesson, root: Path, words: Mapping[str, Word], teacher: Teacher, done_with: set[str]) -> Lesson:
    """A row of the sheet that is continued, by what people said of its picture, which is done with then."""
    path = root / known.noisy
    try:
        found = sha256(imaging.read_bytes(path)).hexdigest()
    except PictureError:  # it is for "check" to say so
        return known
    if found not in words:
        return known
    done_with.add(found)
    return teacher.corrected(known, path, words[found])


def _require_lessons(learned: Learned) -> None:
    if not learned.labels:
        told = "; ".join(f"{count}: {reason}" for reason, count in learned.left_out.items())
        raise OutputError(
            f"there is no picture to learn from ({told or 'nobody has said anything of any'}); nothing was written"
        )


def _write(out: Path, lessons: Sequence[Lesson]) -> None:
    """In the layout of the report, with labels in a column of their own, and groups where there are any."""
    from clearcast.data.workbook import write_workbook  # openpyxl is loaded only where a sheet is written

    names = Columns()
    columns = {
        names.reference: [each.reference for each in lessons],
        names.noise_type: [each.noise_type.value for each in lessons],
        names.noisy: [each.noisy for each in lessons],
        LABEL: [each.label.value for each in lessons],
    }
    if any(each.group for each in lessons):
        columns[_GROUP] = [each.group for each in lessons]
    write_workbook(out, "Labels", columns)
