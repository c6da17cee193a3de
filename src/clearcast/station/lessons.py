"""What can be learned of one picture that people spoke of: a row of a sheet, and its pictures."""

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
_SUFFIXES = {"PNG": ".png", "BMP": ".bmp", "TIFF": ".tiff", "WEBP": ".webp"}  # all others are JPEG


class Reason(StrEnum):
    """Why a picture is left out."""

    BAD = "people called it a bad picture"
    GONE = "it is gone, by the station's limits of age and size"
    UNREADABLE = "it cannot be decoded"
    UNKNOWN = "no bundle said which noise it has"
    LISTED = "the sheet lists it with this label"


@dataclass(frozen=True, kw_only=True)
class Word:
    """A picture's newest inspection of those that people spoke of, and what they said last of any of them."""

    entry: Entry
    feedback: Feedback

    @property
    def label(self) -> Label | None:
        """None for a bad picture."""
        return _LABELS.get(self.feedback.says)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A row of a sheet; ``group`` is empty where it is not known."""

    reference: str
    noise_type: NoiseType
    noisy: str
    label: Label
    group: str = ""


@dataclass(kw_only=True)
class Learned:
    """Counts of pictures.

    Attributes:
        labels: of those that came back.
        contradicting: how many of them the bundle had judged otherwise.
        corrected: how many are rows of the sheet that is continued, with another label now.
        left_out: those that did not, by the reason.
    """

    labels: Counter[Label] = field(default_factory=Counter)
    contradicting: int = 0
    corrected: int = 0
    left_out: Counter[Reason] = field(default_factory=Counter)


class Teacher:
    """Makes rows, and writes their pictures into a folder.

    Args:
        shelf: has the pictures.
        folder: is made where a picture comes into it; paths in rows are relative to the folder that it is in.
    """

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self.learned = Learned()
        self._shelf = shelf
        self._folder = folder

    def lesson(self, word: Word) -> Lesson | None:
        """The row of a picture; None where it is left out, which is counted.

        Raises:
            ShelfAway: pictures cannot be read.
            OSError: they cannot be written.
        """
        made = self._made(word)
        if isinstance(made, Reason):
            self.learned.left_out[made] += 1
            return None
        self._count(word, made.label)
        return made

    def corrected(self, known: Lesson, path: Path, word: Word) -> Lesson:
        """A row that a sheet lists already, with the label that people gave its picture, which is at ``path``.

        A picture whose label changes gets a copy, since the words of its old path may tell the old one.
        """
        if word.label is None or word.label is known.label:
            self.learned.left_out[Reason.LISTED if word.label else Reason.BAD] += 1
            return known
        stem = safe_stem(path.name, word.label, word.entry.sha256)
        noisy = self._keep(f"noisy/{stem}{path.suffix.lower()}", path.read_bytes())
        self._count(word, word.label)
        self.learned.corrected += 1
        reference = noisy if known.reference == known.noisy else known.reference
        return replace(known, noisy=noisy, reference=reference, label=word.label)

    def _made(self, word: Word) -> Lesson | Reason:
        entry, label = word.entry, word.label
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
        noisy = self._keep(f"noisy/{stem}{suffix}", data)
        reference = noisy if entry.noise_type is NoiseType.NONE else UNKNOWN
        return Lesson(reference=reference, noise_type=entry.noise_type, noisy=noisy, label=label)

    def _count(self, word: Word, label: Label) -> None:
        said = word.entry.verdict
        self.learned.labels[label] += 1
        self.learned.contradicting += said is not None and said.value in set(Label) - {label}

    def _keep(self, name: str, data: bytes) -> str:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path.relative_to(self._folder.parent).as_posix()


def _suffix(data: bytes) -> str | None:
    """By what the picture is, whatever its name says; None where it cannot be decoded."""
    try:
        imaging.decode(data, Channels.GREY)
        return _SUFFIXES.get(imaging.probe(data).format, ".jpg")
    except PictureError:
        return None
