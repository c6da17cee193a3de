"""What libjpeg and libpng write to C's standard error, one line or more a damaged picture.

OpenCV gives no way to turn that off, and a camera whose files are slightly wrong would fill the log. So C's ``stderr``,
which is a variable of the C library, stands for the null device while pictures are decoded. Python, the C++ library,
fault handlers and child processes use the file descriptor itself and are heard as ever.
"""

import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_decoding = 0  # threads within the block below


@contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Drop what C code writes to ``stderr`` within the block; do nothing if the C library is not glibc."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(step: int) -> None:
    """Count threads in and out; the first drops messages, and the last hears them again."""
    global _decoding
    with _LOCK:
        _decoding += step
        streams = _streams()
        if streams:
            variable, standard, null = streams
            variable.value = null if _decoding else standard


@functools.cache
def _streams() -> tuple[ctypes.c_void_p, int | None, int | None] | None:
    """The variable ``stderr``, the stream that it holds, and one that leads nowhere; None if it may not be changed."""
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return None
        library = ctypes.CDLL(None)
        variable = ctypes.c_void_p.in_dll(library, "stderr")
    except (AttributeError, ValueError, OSError):  # another system, or another C library, which may keep it read-only
        return None
    library.fopen.restype = ctypes.c_void_p
    null = library.fopen(os.devnull.encode(), b"w")
    return (variable, variable.value, null) if null else None
