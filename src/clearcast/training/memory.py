"""Keep glibc's malloc from returning large blocks to the kernel after every training step."""

import ctypes
import platform

# From glibc's malloc.h. Training frees and takes the same large tensors at each step; by default each is a new
# mapping that the kernel must fill with zeros page by page, which costs as much as the arithmetic.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, until it ends; says whether that was possible (only with glibc)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**28))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
