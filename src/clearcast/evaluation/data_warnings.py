"""What a reader of figures should know about the data behind them: warnings as records of a kind."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TypedDict


class WarningKind(StrEnum):
    """What a warning is about; readers select by it, never by the text."""

    SHARED_PARTS = "shared parts"  # test images show parts that were trained on
    CHOSEN_ON_TESTED = "chosen on tested parts"  # thresholds were chosen on parts that also test
    SHARED_FILES = "shared files"  # test rows name files that training rows name too
    UNTESTED_LABEL = "untested label"
    STRETCHED = "stretched pictures"
    WRONG_REFERENCE = "wrong reference"  # references that are not what the noisy pictures show
    OTHER_SHEET = "trained on another sheet"  # a contender of a benchmark may have seen the test parts
    UNKNOWN = "unknown"  # of a run that kept texts alone, or of a later version


class DataWarning(TypedDict):
    """One warning: a ``WarningKind`` and whole sentences."""

    kind: str
    text: str


def data_warning(kind: WarningKind, text: str) -> DataWarning:
    """Make a record that JSON can hold."""
    return {"kind": kind.value, "text": text}


def read_warnings(kept: Iterable[DataWarning | str]) -> list[DataWarning]:
    """The warnings of a run as records; runs of before kept texts, whose kind is mostly not known."""
    return [_record(each) if isinstance(each, str) else each for each in kept]


_SHARED_PARTS = re.compile(r"\d+ of \d+ test images show a part that was also trained on:")  # as it always began


def _record(text: str) -> DataWarning:
    return data_warning(WarningKind.SHARED_PARTS if _SHARED_PARTS.match(text) else WarningKind.UNKNOWN, text)
