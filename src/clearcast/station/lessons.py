"""Sheet rows for training from images with feedback, and their image files."""

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from clearcast import imaging
from clearcast.data.sheet import UNKNOWN
from clearcast.domain import Label, NoiseType
from clearcast.errors import PictureError
from clearcast.imaging import Channels
from clearcast.station.naming import safe_stem
from clearcast.station.records import Entry, Feedback, Says
from clearcast.station.shelf import Shelf

_LABELS = {Says.OK: Label.OK, Says.DEFECT: Label.DEFECT}
_SUFFIXES = {"PNG": ".png", "BMP": ".bmp", "TIFF": ".tiff", "WEBP": ".webp"}  # all other formats are JPEG


class Reason(StrEnum):
    """Why an image is left out."""

    BAD = "the feedback is 'bad image'"
    GONE = "it was deleted by the station's retention limits"
    UNREADABLE = "it cannot be decoded"
    UNKNOWN = "its noise type is unknown"
    LISTED = "the sheet already lists it with this label"


@dataclass(frozen=True, kw_only=True)
class Word:
    """The latest feedback on an image, and the newest inspection of the image that has feedback."""

    entry: Entry
    feedback: Feedback

    @property
    def label(self) -> Label | None:
        """The label given; None for a bad image."""
        return _LABELS.get(self.feedback.says)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A row of a sheet; ``group`` is "" if unknown."""

    reference: str
    noise_type: NoiseType
    noisy: str
    label: Label
    group: str = ""


@dataclass(kw_only=True)
class Learned:
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
    left_out: Counter[Reason] = field(default_factory=Counter)


class Teacher:
    """Makes sheet rows and writes their images into a folder.

    Args:
        shelf: source of the images.
        folder: created when the first image is written; paths in rows are relative to its parent folder.
    """

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self.summary = Learned()
        self._shelf = shelf
        self._folder = folder

    def export_row(self, latest: Word) -> Lesson | None:
        """Return the row of an image; None if it is left out, which is counted.

        Raises:
            ShelfAway: the images cannot be read.
            OSError: the images cannot be written.
        """
        row = self._make_row(latest)
        if isinstance(row, Reason):
            self.summary.left_out[row] += 1
            return None
        self._count(latest, row.label)
        return row

    def correct_row(self, known: Lesson, path: Path, latest: Word) -> Lesson:
        """Return a row of the continued sheet with the label of the feedback; its image is at ``path``.

        An image whose label changes is copied, since the words of its old path may name the old label.
        """
        if latest.label is None or latest.label is known.label:
            self.summary.left_out[Reason.LISTED if latest.label else Reason.BAD] += 1
            return known
        stem = safe_stem(path.name, latest.label, latest.entry.sha256)
        noisy = self._write(f"noisy/{stem}{path.suffix.lower()}", path.read_bytes())
        self._count(latest, latest.label)
        self.summary.corrected += 1
        reference = noisy if known.reference == known.noisy else known.reference
        return replace(known, noisy=noisy, reference=reference, label=latest.label)

    def _make_row(self, latest: Word) -> Lesson | Reason:
        entry, label = latest.entry, latest.label
        if label is None:
            return Reason.BAD
        data = self._shelf.noisy(entry.sha256)
        if data is None:
            return Reason.GONE
        suffix = _suffix(data)
        if suffix is None:
            return Reason.UNREADABLE
        if entry.noise_type is None:
            return Reason.UNKNOWN
        stem = safe_stem(entry.name, label, entry.sha256)
        noisy = self._write(f"noisy/{stem}{suffix}", data)
        reference = noisy if entry.noise_type is NoiseType.NONE else UNKNOWN
        return Lesson(reference=reference, noise_type=entry.noise_type, noisy=noisy, label=label)

    def _count(self, latest: Word, label: Label) -> None:
        verdict = latest.entry.verdict
        self.summary.labels[label] += 1
        self.summary.contradicting += verdict is not None and verdict.value in set(Label) - {label}

    def _write(self, name: str, data: bytes) -> str:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path.relative_to(self._folder.parent).as_posix()


def _suffix(data: bytes) -> str | None:
    """Return the file suffix of the image's actual format; None if it cannot be decoded."""
    try:
        imaging.decode(data, Channels.GREY)
        return _SUFFIXES.get(imaging.probe(data).format, ".jpg")
    except PictureError:
        return None
