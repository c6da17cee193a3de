"""Feedback export: a sheet for training from the station's feedback, with the images in a folder beside it.

A station has no reference images: an image with noise type "none" is its own reference, the reference of others is
unknown. Denoised images are never used as references.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.errors import OutputError, PictureError, SheetError
from clearcast.data.sheet import UNKNOWN_REFERENCE, Sheet, SheetColumns, SheetRow
from clearcast.station.feedback_rows import (
    FeedbackExporter,
    FeedbackRow,
    FeedbackSummary,
    LatestFeedback,
    spreadsheet_safe_name,
)
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.log.backup import LOG_FILE
from clearcast.station.records import InspectionFilter, InspectionRecord

LABEL_COLUMN = "Label"
_GROUP = "Group"
_IMAGE_FOLDER = "pictures"


def open_station_data(place: str, image_folder: Path | None = None) -> tuple[InspectionLog, ImageStore]:
    """Open the log and image store of a station, running or not.

    Args:
        place: the station's folder, its SQLite log file, or a database URL.
        image_folder: folder of the images; None: as recorded in the log, or beside it.

    Raises:
        OutputError: there is no log or no folder of images.
        LogUnavailable: the log is unavailable.
    """
    path = Path(place)
    if "://" not in place and path.is_dir():
        path /= LOG_FILE
    if "://" not in place and not path.is_file():
        raise OutputError(
            f"{path}: no such log; expected a station's folder with its {LOG_FILE}, such a file, or a database URL"
        )
    beside = None if "://" in place else path.parent / _IMAGE_FOLDER
    log = open_log(place if "://" in place else path, image_folder=image_folder or beside)
    folders = [image_folder] if image_folder else [log.image_folder, beside]
    found = next((folder for folder in folders if folder and folder.is_dir()), None)
    if found is None:
        log.close()
        raise OutputError(
            f"{' or '.join(map(str, filter(None, folders))) or place}: the station's images were not found; give "
            "their folder with --pictures"
        )
    return log, ImageStore(found)


def latest_feedback(records: Iterable[InspectionRecord]) -> dict[str, LatestFeedback]:
    """Return the latest feedback on each image, by SHA-256, over all inspections of the image.

    Args:
        records: newest first, each with feedback.
    """
    latest: dict[str, LatestFeedback] = {}
    for record in records:
        current = LatestFeedback(entry=record.entry, feedback=record.feedback[-1])
        known = latest.setdefault(record.entry.sha256, current)
        if current.feedback.at > known.feedback.at:
            latest[record.entry.sha256] = replace(known, feedback=current.feedback)
    return latest


def export_feedback(
    log: InspectionLog,
    image_store: ImageStore,
    out: Path,
    *,
    beside: Sheet | None = None,
    progress: ProgressCallback | None = None,
) -> FeedbackSummary:
    """Write a sheet and the folder of its images, or nothing.

    Args:
        log: source of the feedback.
        image_store: source of the images.
        out: the new sheet, .xlsx; neither it nor its image folder may exist.
        beside: a sheet in the same folder that the new one continues: its rows come first, with corrected labels.
        progress: called with (done, all) images.

    Raises:
        OutputError: the sheet or the folder exists or cannot be written, or there is nothing to export.
        SheetError: ``beside`` is in another folder, or has invalid rows.
        LogUnavailable, StoreUnavailable: the log or the images cannot be read.
    """
    image_folder = out.parent / f"{spreadsheet_safe_name(out.stem)}-pictures"
    _require_new(out, image_folder)
    known = _rows_to_continue(beside, out) if beside else []
    latest = latest_feedback(log.export(InspectionFilter(feedback=True)))
    exporter = FeedbackExporter(image_store, image_folder)
    try:
        handled: set[str] = set()
        rows = [_correct_row(each, out.parent, latest, exporter, handled) for each in known]
        remaining = [each for digest, each in latest.items() if digest not in handled]
        for done, each in enumerate(remaining, start=1):
            row = exporter.export_row(each)
            rows += [row] if row else []
            if progress:
                progress(done, len(remaining))
        _require_rows(exporter.summary)
        _write_sheet(out, rows)
    except BaseException as error:
        shutil.rmtree(image_folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise OutputError(f"{out}: cannot be written ({error}); choose another folder") from None
        raise
    return exporter.summary


def _require_new(out: Path, image_folder: Path) -> None:
    if out.suffix.lower() != ".xlsx":
        raise OutputError(f"{out}: expected a name that ends in .xlsx, such as Labels.xlsx")
    for path in (out, image_folder):
        if path.exists():
            raise OutputError(f"{path} exists and will not be overwritten; choose another sheet with --out")


def _rows_to_continue(sheet: Sheet, out: Path) -> list[FeedbackRow]:
    """Return the rows of the sheet that the new one continues."""
    if sheet.root.resolve() != out.parent.resolve():
        raise SheetError(
            f"{sheet.path}: its image paths are relative to {sheet.root}, so the sheet that continues it "
            "must be in that folder; choose one there with --out"
        )
    if bad := [row for row in sheet.rows if row.problems]:
        raise SheetError(
            f"{sheet.path}: {len(bad)} rows are invalid; the first is row {bad[0].number}: {bad[0].problems[0]}; "
            "fix them first, see 'clearcast check'"
        )
    return list(map(_from_sheet_row, sheet.rows))


def _from_sheet_row(row: SheetRow) -> FeedbackRow:
    assert row.label, "rows without a label were refused"
    assert row.noise_type, "rows without a noise type were refused"
    return FeedbackRow(
        reference=row.reference or UNKNOWN_REFERENCE,
        noise_type=row.noise_type,
        noisy=row.noisy,
        label=row.label,
        group=row.group,
    )


def _correct_row(
    known: FeedbackRow, root: Path, latest: Mapping[str, LatestFeedback], exporter: FeedbackExporter, handled: set[str]
) -> FeedbackRow:
    """Return a row of the continued sheet with the label of its feedback, if any, and mark its image as handled."""
    path = root / known.noisy
    try:
        found = sha256(imaging.read_image_bytes(path)).hexdigest()
    except PictureError:  # 'clearcast check' reports it
        return known
    if found not in latest:
        return known
    handled.add(found)
    return exporter.correct_row(known, path, latest[found])


def _require_rows(summary: FeedbackSummary) -> None:
    if not summary.labels:
        reasons = "; ".join(f"{count}: {reason}" for reason, count in summary.left_out.items())
        raise OutputError(f"there is no image to export ({reasons or 'no image has feedback'}); nothing was written")


def _write_sheet(out: Path, rows: Sequence[FeedbackRow]) -> None:
    """Write the sheet in the report's layout, with a label column, and a group column if any row has a group."""
    from clearcast.core.spreadsheets import write_text_workbook  # loads openpyxl

    names = SheetColumns()
    columns = {
        names.reference: [each.reference for each in rows],
        names.noise_type: [each.noise_type.value for each in rows],
        names.noisy: [each.noisy for each in rows],
        LABEL_COLUMN: [each.label.value for each in rows],
    }
    if any(each.group for each in rows):
        columns[_GROUP] = [each.group for each in rows]
    write_text_workbook(out, "Labels", columns)
