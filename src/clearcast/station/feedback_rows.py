"""Rows and image files of a feedback export, with file names that are safe and agree with the label."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import PictureError
from clearcast.data.sheet import UNKNOWN_REFERENCE
from clearcast.data.vocabulary import find_labels_in_path
from clearcast.noise.registry import NoiseType
from clearcast.station.image_store import ImageStore
from clearcast.station.records import Feedback, FeedbackLabel, InspectionEntry
from clearcast.types import Label

_MAX_STEM = 40  # characters kept of the original stem
_HASH_DIGITS = 12
_LABELS = {FeedbackLabel.OK: Label.OK, FeedbackLabel.DEFECT: Label.DEFECT}
_SUFFIXES = {"PNG": ".png", "BMP": ".bmp", "TIFF": ".tiff", "WEBP": ".webp"}  # all other formats are JPEG


class LeftOutReason(StrEnum):
    """Why an image is left out."""

    BAD = "the feedback is 'bad image'"
    GONE = "it was deleted by the station's retention limits"
    UNREADABLE = "it cannot be decoded"
    UNKNOWN = "its noise type is unknown"
    LISTED = "the sheet already lists it with this label"


@dataclass(frozen=True, kw_only=True)
class LatestFeedback:
    """The latest feedback on an image, and the newest inspection of the image that has feedback."""

    entry: InspectionEntry
    feedback: Feedback

    @property
    def label(self) -> Label | None:
        """The label given; None for a bad image."""
        return _LABELS.get(self.feedback.says)


@dataclass(frozen=True, kw_only=True)
class FeedbackRow:
    """A row of a sheet; ``group`` is "" if unknown."""

    reference: str
    noise_type: NoiseType
    noisy: str
    label: Label
    group: str = ""


@dataclass(kw_only=True)
class FeedbackSummary:
    """Summary of an export: numbers of images.

    Attributes:
        labels: exported images by label.
        contradicting: exported images whose label contradicts the verdict.
        corrected: rows of the continued sheet whose label has changed.
        left_out: images left out, by reason.
    """

    labels: Counter[Label] = field(default_factory=Counter)
    contradicting: int = 0
    corrected: int = 0
    left_out: Counter[LeftOutReason] = field(default_factory=Counter)


class FeedbackExporter:
    """Makes sheet rows and writes their images into a folder.

    Args:
        image_store: source of the images.
        folder: created when the first image is written; paths in rows are relative to its parent folder.
    """

    def __init__(self, image_store: ImageStore, folder: Path) -> None:
        self.summary = FeedbackSummary()
        self._image_store = image_store
        self._folder = folder

    def export_row(self, latest: LatestFeedback) -> FeedbackRow | None:
        """Return the row of an image; None if it is left out, which is counted.

        Raises:
            StoreUnavailable: the images cannot be read.
            OSError: the images cannot be written.
        """
        row = self._make_row(latest)
        if isinstance(row, LeftOutReason):
            self.summary.left_out[row] += 1
            return None
        self._count(latest, row.label)
        return row

    def correct_row(self, known: FeedbackRow, path: Path, latest: LatestFeedback) -> FeedbackRow:
        """Return a row of the continued sheet with the label of the feedback; its image is at ``path``.

        An image whose label changes is copied, since the words of its old path may name the old label.
        """
        if latest.label is None or latest.label is known.label:
            self.summary.left_out[LeftOutReason.LISTED if latest.label else LeftOutReason.BAD] += 1
            return known
        stem = labelled_file_stem(path.name, latest.label, latest.entry.sha256)
        noisy = self._write(f"noisy/{stem}{path.suffix.lower()}", path.read_bytes())
        self._count(latest, latest.label)
        self.summary.corrected += 1
        reference = noisy if known.reference == known.noisy else known.reference
        return replace(known, noisy=noisy, reference=reference, label=latest.label)

    def _make_row(self, latest: LatestFeedback) -> FeedbackRow | LeftOutReason:
        entry, label = latest.entry, latest.label
        if label is None:
            return LeftOutReason.BAD
        data = self._image_store.noisy(entry.sha256)
        if data is None:
            return LeftOutReason.GONE
        suffix = _suffix(data)
        if suffix is None:
            return LeftOutReason.UNREADABLE
        if entry.noise_type is None:
            return LeftOutReason.UNKNOWN
        stem = labelled_file_stem(entry.name, label, entry.sha256)
        noisy = self._write(f"noisy/{stem}{suffix}", data)
        reference = noisy if entry.noise_type is NoiseType.NONE else UNKNOWN_REFERENCE
        return FeedbackRow(reference=reference, noise_type=entry.noise_type, noisy=noisy, label=label)

    def _count(self, latest: LatestFeedback, label: Label) -> None:
        verdict = latest.entry.verdict
        self.summary.labels[label] += 1
        self.summary.contradicting += verdict is not None and verdict.value in set(Label) - {label}

    def _write(self, name: str, data: bytes) -> str:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path.relative_to(self._folder.parent).as_posix()


def labelled_file_stem(name: str, label: Label, sha256: str) -> str:
    """Return a file stem: the label, the readable words of the name, and digits of the hash.

    Without a label column, a sheet's labels are taken from the words of the paths. So words of other labels are left
    out, and the hash is written in decimal digits: hexadecimal ones may spell a label.

    Args:
        name: the sender's name of the image; any text.
        label: the image's label.
        sha256: hash of the image, in hexadecimal.

    >>> labelled_file_stem("../cast_def_0_100.jpeg", Label.OK, "00" * 31 + "2a")
    'ok_cast_0_100_000000000042'
    >>> labelled_file_stem("é/=1+1 - Kopie.png", Label.OK, "ff")
    'ok_1_1_Kopie_000000000255'
    """
    digits = f"{int(sha256, 16) % 10**_HASH_DIGITS:0{_HASH_DIGITS}}"
    stem = PurePosixPath(name.replace("\\", "/")).stem
    words = [word for word in re.split(r"[\W_]+", stem) if word and not find_labels_in_path(word)]
    kept = "_".join(words)[:_MAX_STEM].strip("_")
    whole = "_".join(filter(None, (label.value, kept, digits)))
    return whole if find_labels_in_path(whole) == {label} else f"{label.value}_{digits}"


def spreadsheet_safe_name(text: str) -> str:
    """Return the letters, digits, hyphens and underscores of a text, so that no spreadsheet takes it for a formula.

    >>> spreadsheet_safe_name("=Labels 2"), spreadsheet_safe_name("...")
    ('Labels_2', 'feedback')
    """
    return re.sub(r"[^\w-]+", "_", text).strip("_-") or "feedback"


def _suffix(data: bytes) -> str | None:
    """Return the file suffix of the image's actual format; None if it cannot be decoded."""
    try:
        imaging.decode_image(data, Channels.GREY)
        return _SUFFIXES.get(imaging.probe_image(data).format, ".jpg")
    except PictureError:
        return None
