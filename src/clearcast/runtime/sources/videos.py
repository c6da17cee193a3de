"""Frames of a video file or a camera."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from clearcast.imaging import Picture
from clearcast.runtime.sources.item import Item, SourceError, bad_item

SUFFIXES = frozenset({".avi", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
_SHORT = 0.98  # of the frames that a video claims, which some containers only estimate


def video_items(path: Path) -> Iterator[Item]:
    """The frames of a video, numbered from 0; one that ends early, as truncated files do, says so in a last item.

    Raises:
        SourceError: it cannot be opened, or has no frame.
    """
    capture = _open(str(path), f"{path}: cannot be opened as a video; needed is one that OpenCV reads")
    claimed = _claimed(capture)

    def frames() -> Iterator[Item]:
        place = 0
        try:
            while (picture := _next(capture)) is not None:
                key = f"#{place:06d}"
                yield _frame(path.as_posix() + key, key, picture)
                place += 1
        finally:
            capture.release()
        if place < _SHORT * claimed - 1:
            key = f"#{place:06d}"
            reason = f"the video claims {claimed} frames, and cannot be read beyond {place}; copy it again"
            yield bad_item(path.as_posix() + key, key, reason)

    return frames()


def frame_count(path: Path) -> int | None:
    """How many frames a video claims; None where it does not say."""
    capture = cv2.VideoCapture(str(path))
    try:
        return _claimed(capture) or None
    finally:
        capture.release()


def camera_items(index: int) -> Iterator[Item]:
    """What a camera sees, as fast as it gives pictures and they are taken; named by the time (UTC), without end.

    Raises:
        SourceError: there is no such camera or, later, it gives no pictures any more.
    """
    capture = _open(index, f"camera {index}: cannot be opened; is it plugged in, and not in use?")

    def frames() -> Iterator[Item]:
        try:
            while (picture := _next(capture)) is not None:
                name = f"camera {index}#{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
                yield _frame(name, name, picture)
        finally:
            capture.release()
        raise SourceError(f"camera {index}: gives no pictures any more; is it plugged in?")

    return frames()


def _open(source: str | int, refusal: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise SourceError(refusal)
    return capture


def _claimed(capture: cv2.VideoCapture) -> int:
    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))


def _next(capture: cv2.VideoCapture) -> Picture | None:
    there, frame = capture.read()
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8) if there else None


def _frame(name: str, key: str, picture: Picture) -> Item:
    return Item(name=name, key=key, read=lambda: picture)
