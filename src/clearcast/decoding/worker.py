"""The process that decodes one file after another for another process, each within a limit of memory and time.

A request is a line of JSON and then the file's bytes; an answer is a line of JSON and then the pixels. Where the system
knows such limits, it ends this process if a file takes more; whoever asked sees that the answer is missing.
"""

import json
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from clearcast.decoding.pixels import read_pixels
from clearcast.decoding.records import Channels, DecodingError
from clearcast.errors import PictureFault, first_line

try:
    import resource
except ImportError:  # Windows; the process that asks keeps watch of the time
    resource = None  # type: ignore[assignment]


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while line := requests.readline():
        request = json.loads(line)
        _limit(memory=request["memory"], seconds=request["seconds"])
        head, pixels = _answer(request, requests.read(request["bytes"]))
        answers.write(json.dumps(head).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


def _answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes | memoryview]:
    try:
        pixels = read_pixels(
            data, Channels(request["channels"]), strictly=request["strictly"], transparent=request["transparent"]
        )
        return {"shape": pixels.shape}, np.ascontiguousarray(pixels).data.cast("B")
    except DecodingError as error:
        return {"fault": error.fault, "reason": str(error)}, b""
    except MemoryError:
        reason = f"decoding it takes more than {request['memory'] // 2**20:,} MB; save it anew, as PNG or JPEG"
        return {"fault": PictureFault.TOO_LARGE, "reason": reason}, b""
    except Exception as error:  # whatever a decoder raises is the file's fault
        return {"fault": PictureFault.UNREADABLE, "reason": f"cannot be decoded ({first_line(error)})"}, b""


def _limit(*, memory: int, seconds: float) -> None:
    """Let this process take so much more memory and processor time than it has taken by now."""
    if resource is None:
        return
    _set_soft_limit(resource.RLIMIT_CORE, 0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)
    if sys.platform == "linux":  # others count what is mapped and never used, or do not hold to it
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _set_soft_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _set_soft_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
