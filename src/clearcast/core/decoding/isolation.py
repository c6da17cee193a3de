"""Decoding in sandbox processes with memory and time limits."""

import atexit
import io
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import cast

import numpy as np

from clearcast.core.decoding.image_info import Channels, DecodingError, ImageArray, ImageStructure
from clearcast.core.errors import PictureFault

_SECONDS = 10.0  # processor time for an image of any size
_PIXELS_PER_SECOND = 5_000_000  # additional time for large images
_TIMEOUT_FACTOR = 3  # wall-clock time per processor time, since other work may use the cores
_BYTES = 256 * 2**20  # memory for an image of any size
_BYTES_PER_PIXEL = 20
_BYTES_PER_BYTE = 4
_WORKER_ENDED = (OSError, ValueError, EOFError)  # raised by a request to a worker that has ended
_PIPE = 2**20  # bytes; the default of 64 kB causes many context switches
_START = (
    "import sys; sys.path[:] = {path!r}; from clearcast.core.decoding.worker import serve_decode_requests; "
    "serve_decode_requests(sys.stdin.buffer, sys.stdout.buffer)"
)


def decode_in_sandbox(
    data: bytes, structure: ImageStructure, channels: Channels, *, strictly: bool, transparent: bool
) -> ImageArray:
    """Decode like ``pixels.decode_pixels``, but in a worker process with memory and time limits.

    Raises:
        DecodingError: the file cannot be decoded, or exceeds the limits.
    """
    size = structure.width * structure.height
    seconds = _SECONDS + size / _PIXELS_PER_SECOND
    memory = _BYTES + _BYTES_PER_PIXEL * size + _BYTES_PER_BYTE * len(data)
    request = {
        "bytes": len(data),
        "channels": channels,
        "strictly": strictly,
        "transparent": transparent,
        "seconds": seconds,
        "memory": memory,
    }
    try:
        return _decode_with_any_worker(request, data, timeout=_TIMEOUT_FACTOR * seconds)
    except _WORKER_ENDED:
        raise DecodingError(
            PictureFault.TOO_LARGE,
            f"decoding takes more than {seconds:.0f} seconds or {memory // 2**20:,} MB, far more than "
            f"{structure.width} x {structure.height} pixels justify; save the image again as PNG or JPEG",
        ) from None


def _decode_with_any_worker(request: dict[str, object], data: bytes, *, timeout: float) -> ImageArray:
    """Send a request to an idle worker, and to a new one if that has ended: it may have been killed while idle."""
    worker = _WORKERS.take()
    began = time.monotonic()
    try:
        return _decode_with(worker, request, data, timeout=timeout)
    except _WORKER_ENDED:
        if not worker.reused or time.monotonic() - began >= timeout:
            raise
    return _decode_with(_Worker(), request, data, timeout=timeout)


def _decode_with(worker: "_Worker", request: dict[str, object], data: bytes, *, timeout: float) -> ImageArray:
    """Send a request to a worker, and return the worker to the pool unless it has ended."""
    try:
        image = worker.decode(request, data, timeout=timeout)
    except DecodingError:
        _WORKERS.give_back(worker)
        raise
    except BaseException:
        worker.end()
        raise
    _WORKERS.give_back(worker)
    return image


class _Worker:
    """Worker process, used by one thread at a time.

    Attributes:
        reused: whether it has handled a request before.
    """

    def __init__(self) -> None:
        self.reused = False
        try:
            self._process = _start(_PIPE)
        except PermissionError:  # the user's limit of large pipes is reached
            self._process = _start(-1)

    def decode(self, request: dict[str, object], data: bytes, *, timeout: float) -> ImageArray:
        """Send a request and wait for the response.

        Raises:
            DecodingError: the worker cannot decode the file.
            OSError, ValueError, EOFError: the worker has ended, or was killed after ``timeout`` seconds.
        """
        requests, responses = self._process.stdin, cast(io.BufferedReader, self._process.stdout)
        assert requests, "started with pipes"
        timer = threading.Timer(timeout, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            requests.write(json.dumps(request).encode() + b"\n")
            requests.write(data)
            requests.flush()
            response = json.loads(responses.readline())
            if "fault" in response:
                raise DecodingError(PictureFault(response["fault"]), response["reason"])
            return _read_image(responses, response["shape"])
        finally:
            timer.cancel()

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # unsent data cannot be flushed
                if pipe:
                    pipe.close()
        self._process.wait()


def _start(pipesize: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _START.format(path=sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # messages of libraries about damaged files; the response reports the error
        pipesize=pipesize,
        start_new_session=True,  # Ctrl-C is for the parent process only
    )


def _read_image(responses: io.BufferedReader, shape: list[int]) -> ImageArray:
    image = np.empty(shape, np.uint8)
    view = image.data.cast("B")
    read = 0
    while read < len(view):
        count = responses.readinto(view[read:])
        if not count:
            raise EOFError
        read += count
    return image


class _Workers:
    """Pool of idle workers; a thread that finds none starts one, so there are as many as threads need."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._owner = 0  # the process that started the workers

    def take(self) -> _Worker:
        """Take an idle worker, or start one."""
        with self._lock:
            if self._owner != os.getpid():  # first use, or after a fork: the workers belong to the parent
                self._idle, self._owner = [], os.getpid()
                atexit.register(self.end)
            if self._idle:
                return self._idle.pop()
        return _Worker()

    def give_back(self, worker: _Worker) -> None:
        """Return a worker to the pool, or end it if the pool is full."""
        worker.reused = True
        with self._lock:
            kept = len(self._idle) < (os.cpu_count() or 1)
            if kept:
                self._idle.append(worker)
        if not kept:
            worker.end()

    def end(self) -> None:
        """End all idle workers."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._owner == os.getpid():
            for worker in idle:
                worker.end()


_WORKERS = _Workers()
