"""Whether the test images show parts that also trained: what any figure of a run is worth."""

from enum import Enum, auto

from clearcast.evaluation.results import RunInfo


class Seen(Enum):
    """How many of the test images show a part that trained too."""

    NONE = auto()
    SOME = auto()
    MOST = auto()
    UNKNOWN = auto()


def seen(run: RunInfo) -> Seen:
    """Judge a run's split by its groups; without groups nobody knows."""
    groups = run.get("groups")
    if groups is None:
        return Seen.UNKNOWN
    if groups["leaked_test_images"] == 0:
        return Seen.NONE
    return Seen.MOST if 2 * groups["leaked_test_images"] > groups["test_images"] else Seen.SOME
