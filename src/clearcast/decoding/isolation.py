"""Decoding in processes of its own, which end if a file takes more memory or time than its size explains."""

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

from clearcast.decoding.records import Channels, DecodingError, Picture, Structure
from clearcast.errors import PictureFault

_SECONDS = 10.0  # of processor time, for a picture of any size
_PIXELS_PER_SECOND = 5_000_000  # more time for large ones
_PATIENCE = 3  # times as many seconds may pass, since other work may take the cores
_BYTES = 256 * 2**20  # of memory, for a picture of any size
_BYTES_PER_PIXEL = 20
_BYTES_PER_BYTE = 4
_ENDED = (OSError, ValueError, EOFError)  # what asking a worker that has ended raises
_PIPE = 2**20  # bytes; with the usual 64 kB, processes change places all the time
_START = (
    "import sys; sys.path[:] = {path!r}; from clearcast.decoding.worker import serve; "
    "serve(sys.stdin.buffer, sys.stdout.buffer)"
)


def decode_apart(
    data: bytes, structure: Structure, channels: Channels, *, strictly: bool, transparent: bool
) -> Picture:
    """Decode like ``pixels.read_pixels``, but in another process with a limit of memory and of time.

    Raises:
        DecodingError: it cannot be decoded so, or takes too much.
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
        return _ask_any(request, data, patience=_PATIENCE * seconds)
    except _ENDED:
        raise DecodingError(
            PictureFault.TOO_LARGE,
            f"decoding it takes more than {seconds:.0f} seconds or {memory // 2**20:,} MB, far more than its "
            f"{structure.width} x {structure.height} pixels explain; save it anew, as PNG or JPEG",
        ) from None


def _ask_any(request: dict[str, object], data: bytes, *, patience: float) -> Picture:
    """Ask a worker that waits, and a fresh one if that ended early: it may have been ended from outside before."""
    worker = _WORKERS.take()
    began = time.monotonic()
    try:
        return _ask(worker, request, data, patience=patience)
    except _ENDED:
        if not worker.reused or time.monotonic() - began >= patience:
            raise
    return _ask(_Worker(), request, data, patience=patience)


def _ask(worker: "_Worker", request: dict[str, object], data: bytes, *, patience: float) -> Picture:
    """Ask one worker, and keep it for the next file unless it ended."""
    try:
        picture = worker.ask(request, data, patience=patience)
    except DecodingError:
        _WORKERS.give_back(worker)
        raise
    except BaseException:
        worker.end()
        raise
    _WORKERS.give_back(worker)
    return picture


class _Worker:
    """One process, used by one thread at a time.

    Attributes:
        reused: whether it has answered before.
    """

    def __init__(self) -> None:
        self.reused = False
        try:
            self._process = _start(_PIPE)
        except PermissionError:  # the user has many large pipes already
            self._process = _start(-1)

    def ask(self, request: dict[str, object], data: bytes, *, patience: float) -> Picture:
        """Send a request and wait for its answer.

        Raises:
            DecodingError: the worker says why the file cannot be decoded.
            OSError, ValueError, EOFError: the worker ended, also since it took longer than ``patience`` seconds.
        """
        requests, answers = self._process.stdin, cast(io.BufferedReader, self._process.stdout)
        assert requests, "made with pipes"
        watch = threading.Timer(patience, self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            requests.write(json.dumps(request).encode() + b"\n")
            requests.write(data)
            requests.flush()
            answer = json.loads(answers.readline())
            if "fault" in answer:
                raise DecodingError(PictureFault(answer["fault"]), answer["reason"])
            return _read_picture(answers, answer["shape"])
        finally:
            watch.cancel()

    def end(self) -> None:
        """End the process and forget it."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not sent yet goes nowhere
                if pipe:
                    pipe.close()
        self._process.wait()


def _start(pipesize: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _START.format(path=sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what libraries write about damaged files is told as the file's error
        pipesize=pipesize,
        start_new_session=True,  # Ctrl-C is for the process that asks
    )


def _read_picture(answers: io.BufferedReader, shape: list[int]) -> Picture:
    picture = np.empty(shape, np.uint8)
    view = picture.data.cast("B")
    read = 0
    while read < len(view):
        count = answers.readinto(view[read:])
        if not count:
            raise EOFError
        read += count
    return picture


class _Workers:
    """Processes that wait for work; a thread that finds none starts one, so there are as many as threads need."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._owner = 0  # the process that started them

    def take(self) -> _Worker:
        """One that nobody else uses."""
        with self._lock:
            if self._owner != os.getpid():  # the first time, or after a fork: a parent's are not this process's to use
                self._idle, self._owner = [], os.getpid()
                atexit.register(self.end)
            if self._idle:
                return self._idle.pop()
        return _Worker()

    def give_back(self, worker: _Worker) -> None:
        """Keep one for the next file, if not many are kept."""
        worker.reused = True
        with self._lock:
            kept = len(self._idle) < (os.cpu_count() or 1)
            if kept:
                self._idle.append(worker)
        if not kept:
            worker.end()

    def end(self) -> None:
        """End those that wait."""
        with self._lock:
            waiting, self._idle = self._idle, []
        if self._owner == os.getpid():
            for worker in waiting:
                worker.end()


_WORKERS = _Workers()
