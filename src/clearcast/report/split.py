"""Leakage of the split: how many test images show a part that is also in the training set."""

from enum import Enum, auto

from clearcast.evaluation.results import RunInfo


class Seen(Enum):
    """Share of the test images that show a part of the training set."""

    NONE = auto()
    SOME = auto()
    MOST = auto()
    UNKNOWN = auto()


def seen(run: RunInfo) -> Seen:
    """Grade the leakage of a run's split by its groups; unknown without groups."""
    groups = run.get("groups")
    if groups is None:
        return Seen.UNKNOWN
    if groups["leaked_test_images"] == 0:
        return Seen.NONE
    return Seen.MOST if 2 * groups["leaked_test_images"] > groups["test_images"] else Seen.SOME
