"""Train/validation/test split: one for all stages, saved and reusable, with leakage detection."""

import csv
import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearcast.cells import protect_cell, restore_cell
from clearcast.data.sheet import Row
from clearcast.domain import Subset
from clearcast.errors import SheetError
from clearcast.files import replace_file


@dataclass(frozen=True, kw_only=True)
class Split:
    """Train/validation/test split: the subset of each row, in the order of the sheet, and a description."""

    subsets: tuple[Subset, ...]
    description: str

    def rows(self, subset: Subset) -> list[int]:
        """Return the indices of a subset's rows, ascending."""
        return [index for index, member in enumerate(self.subsets) if member is subset]

    def leaked(self, *keys: Sequence[Hashable], into: Subset, known: Subset = Subset.TRAIN) -> list[int]:
        """Find leaked rows: those of subset ``into`` that share a key with a row of subset ``known``.

        Args:
            keys: sequences with one key per row, which copies share: the part, or the hash of an image.
            into: the subset that must be independent.
            known: the subset used for training.
        """
        known_keys = {each[row] for row in self.rows(known) for each in keys}
        return [row for row in self.rows(into) if any(each[row] in known_keys for each in keys)]


def save_split(
    split: Split, rows: Sequence[Row], parts: Sequence[str], path: Path, *, hashes: Sequence[str] | None = None
) -> None:
    """Write a split as CSV: ``row, noisy, part, split``, with the spreadsheet's row number and protected cells.

    ``hashes``, the SHA-256 of each row's noisy image, are written to a column ``sha256``, which identifies copies under
    other names.
    """
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "noisy", "part", "split", *(["sha256"] if hashes else [])])
        for place, (row, part, subset) in enumerate(zip(rows, parts, split.subsets, strict=True)):
            texts = [protect_cell(text) for text in (row.noisy, part)]
            writer.writerow([row.number, *texts, subset.value, *([hashes[place]] if hashes else [])])


def load_split(path: Path, rows: Sequence[Row]) -> tuple[Split, tuple[str, ...]]:
    """Read a split that ``save_split`` wrote, and the part of each row.

    Raises:
        SheetError: the file cannot be read as a split, or lists other images than ``rows``.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return parse_split_file(text, rows, path)


def parse_split_file(text: str, rows: Sequence[Row], path: Path) -> tuple[Split, tuple[str, ...]]:
    """Parse a split from the content of its file; ``path`` is used in messages."""
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""))
        listed = [(restore_cell(line["noisy"]), restore_cell(line["part"]), Subset(line["split"])) for line in lines]
    except (KeyError, ValueError, csv.Error) as error:
        raise _unreadable(path, error) from None
    if [noisy for noisy, _, _ in listed] != [row.noisy for row in rows]:
        raise SheetError(f"{path}: the split lists other images than the sheet; start a new run with another split")
    split = Split(subsets=tuple(subset for _, _, subset in listed), description=f"as {path.name} lists it")
    return split, tuple(part for _, part, _ in listed)


def _unreadable(path: Path, error: Exception) -> SheetError:
    return SheetError(
        f"{path}: cannot be read as a split ({error}); expected the split.csv of a run, with the columns row, noisy, "
        "part, split; or start a new run"
    )
