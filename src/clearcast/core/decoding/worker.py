"""Main loop of the sandbox process: decode files on request, each within memory and time limits.

A request is a line of JSON and the bytes of the file; a response is a line of JSON and the pixels. The operating system
kills this process if a file exceeds the limits, and the parent gets no response.
"""

import json
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from clearcast.core.decoding.image_info import Channels, DecodingError
from clearcast.core.decoding.pixels import decode_pixels
from clearcast.core.errors import PictureFault, first_error_line

try:
    import resource
except ImportError:  # Windows; the parent process enforces the timeout
    resource = None  # type: ignore[assignment]


def serve_decode_requests(requests: IO[bytes], responses: IO[bytes]) -> None:
    """Handle requests until the input ends."""
    while line := requests.readline():
        request = json.loads(line)
        _limit(memory=request["memory"], seconds=request["seconds"])
        head, pixels = _respond(request, requests.read(request["bytes"]))
        responses.write(json.dumps(head).encode() + b"\n")
        responses.write(pixels)
        responses.flush()


def _respond(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes | memoryview]:
    try:
        pixels = decode_pixels(
            data, Channels(request["channels"]), strictly=request["strictly"], transparent=request["transparent"]
        )
        return {"shape": pixels.shape}, np.ascontiguousarray(pixels).data.cast("B")
    except DecodingError as error:
        return {"fault": error.fault, "reason": str(error)}, b""
    except MemoryError:
        reason = f"decoding takes more than {request['memory'] // 2**20:,} MB; save the image again as PNG or JPEG"
        return {"fault": PictureFault.TOO_LARGE, "reason": reason}, b""
    except Exception as error:  # decoders raise many types for a damaged file
        return {"fault": PictureFault.UNREADABLE, "reason": f"cannot be decoded ({first_error_line(error)})"}, b""


def _limit(*, memory: int, seconds: float) -> None:
    """Limit the memory and processor time that this process may use in addition to what it has used."""
    if resource is None:
        return
    _set_soft_limit(resource.RLIMIT_CORE, 0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)
    if sys.platform == "linux":  # other systems count unused mapped memory, or ignore the limit
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _set_soft_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _set_soft_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
