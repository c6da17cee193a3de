"""Data warnings: typed records of problems in the data behind a run's figures."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TypedDict


class WarningKind(StrEnum):
    """Kind of a warning; readers select by it, never by the text."""

    SHARED_PARTS = "shared parts"  # test images show parts that are also in the training set (leakage)
    CHOSEN_ON_TESTED = "chosen on tested parts"  # thresholds were chosen on parts that are also in the test set
    SHARED_FILES = "shared files"  # test rows list the same files as training rows
    UNTESTED_LABEL = "untested label"
    STRETCHED = "stretched pictures"
    WRONG_REFERENCE = "wrong reference"  # references that do not match their noisy images
    OTHER_SHEET = "trained on another sheet"  # a model in a benchmark may have been trained on the test parts
    UNKNOWN = "unknown"  # from a run that stored only texts, or from a later version


class DataWarning(TypedDict):
    """One warning: a ``WarningKind`` and a text of whole sentences."""

    kind: str
    text: str


def data_warning(kind: WarningKind, text: str) -> DataWarning:
    """Make a warning record."""
    return {"kind": kind.value, "text": text}


def read_warnings(stored: Iterable[DataWarning | str]) -> list[DataWarning]:
    """Read the warnings of a run as records; older runs stored only texts, mostly of unknown kind."""
    return [_to_record(each) if isinstance(each, str) else each for each in stored]


_SHARED_PARTS = re.compile(r"\d+ of \d+ test images show a part that was also trained on:")  # how older texts began


def _to_record(text: str) -> DataWarning:
    return data_warning(WarningKind.SHARED_PARTS if _SHARED_PARTS.match(text) else WarningKind.UNKNOWN, text)
