"""Frames of a video file or a camera."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from clearcast.core.decoding.image_info import ImageArray
from clearcast.inference.sources.item import SourceError, SourceItem, make_unreadable_item

VIDEO_SUFFIXES = frozenset(
    {".avi", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
)
_MIN_FRAME_SHARE = 0.98  # share of the declared frames, which some containers only estimate


def video_items(path: Path) -> Iterator[SourceItem]:
    """Iterate over the frames of a video, numbered from 0; if it is truncated, a last item raises when it is read.

    Raises:
        SourceError: it cannot be opened, or has no frame.
    """
    capture = _open(str(path), f"{path}: cannot open as a video; expected a format that OpenCV reads")
    declared = _declared_frames(capture)

    def frames() -> Iterator[SourceItem]:
        index = 0
        try:
            while (image := _next_frame(capture)) is not None:
                key = f"#{index:06d}"
                yield _frame_item(path.as_posix() + key, key, image)
                index += 1
        finally:
            capture.release()
        if index < _MIN_FRAME_SHARE * declared - 1:
            key = f"#{index:06d}"
            reason = f"the video should have {declared} frames, but only {index} can be read; copy it again"
            yield make_unreadable_item(path.as_posix() + key, key, reason)

    return frames()


def count_frames(path: Path) -> int | None:
    """Return the number of frames that a video declares; None if it does not."""
    capture = cv2.VideoCapture(str(path))
    try:
        return _declared_frames(capture) or None
    finally:
        capture.release()


def camera_items(index: int) -> Iterator[SourceItem]:
    """Iterate endlessly over the frames of a camera, as fast as they are consumed; their names are times in UTC.

    Raises:
        SourceError: the camera cannot be opened or, later, stops delivering frames.
    """
    capture = _open(index, f"camera {index}: cannot open; check that it is connected and not in use")

    def frames() -> Iterator[SourceItem]:
        try:
            while (image := _next_frame(capture)) is not None:
                name = f"camera {index}#{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
                yield _frame_item(name, name, image)
        finally:
            capture.release()
        raise SourceError(f"camera {index}: no longer delivers frames; check that it is connected")

    return frames()


def _open(source: str | int, message: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise SourceError(message)
    return capture


def _declared_frames(capture: cv2.VideoCapture) -> int:
    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))


def _next_frame(capture: cv2.VideoCapture) -> ImageArray | None:
    success, frame = capture.read()
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8) if success else None


def _frame_item(name: str, key: str, image: ImageArray) -> SourceItem:
    return SourceItem(name=name, key=key, read=lambda: image)
