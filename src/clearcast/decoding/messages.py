"""Suppression of the warnings that libjpeg and libpng write to C's ``stderr`` about damaged images.

OpenCV cannot turn these off, and a camera whose files are slightly damaged would fill the log. So the C library's
variable ``stderr`` points to the null device while images are decoded. Python, the C++ library, fault handlers and
child processes write to the file descriptor and are not affected.
"""

import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_decoding = 0  # number of threads inside the context manager


@contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Discard what C code writes to ``stderr`` within the block; do nothing if the C library is not glibc."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(step: int) -> None:
    """Count threads in and out; redirect ``stderr`` for the first, and restore it after the last."""
    global _decoding
    with _LOCK:
        _decoding += step
        streams = _streams()
        if streams:
            variable, standard, null = streams
            variable.value = null if _decoding else standard


@functools.cache
def _streams() -> tuple[ctypes.c_void_p, int | None, int | None] | None:
    """Return the variable ``stderr``, its stream, and a null stream; None if the variable cannot be changed."""
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return None
        library = ctypes.CDLL(None)
        variable = ctypes.c_void_p.in_dll(library, "stderr")
    except (AttributeError, ValueError, OSError):  # another system or C library, which may keep it read-only
        return None
    library.fopen.restype = ctypes.c_void_p
    null = library.fopen(os.devnull.encode(), b"w")
    return (variable, variable.value, null) if null else None
