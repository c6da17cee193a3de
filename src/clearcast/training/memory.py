"""Tuning of glibc's malloc: keep freed blocks in the process between training steps."""

import ctypes
import platform

# Parameters from glibc's malloc.h. Training frees and allocates the same large tensors at each step. By default each is
# a new mapping that the kernel fills with zeros page by page, which costs as much as the arithmetic.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TRIM_THRESHOLD, _TOP_PAD = 2**31 - 1, 2**28  # bytes


def keep_freed_memory() -> bool:
    """Keep freed memory in this process until it ends; returns whether that is possible (with glibc only)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _TRIM_THRESHOLD), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
