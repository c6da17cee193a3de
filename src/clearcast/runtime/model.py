"""A bundle's graphs in ONNX Runtime: from pictures to arrays."""

from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clearcast.checks import require_finite
from clearcast.errors import OutputError
from clearcast.imaging import Channels
from clearcast.runtime.answers import Answers, check_answers, pixels
from clearcast.runtime.package import Package

WHOLE = 1024 * 1024  # pixels; larger pictures go through in tiles, if the bundle has the graphs for it
TILE = 1024  # pixels a side
HALO = 64  # pixels around a tile that its restored pixels can depend on
SMALLEST = 16  # pixels a side; below, there is nothing to look at

# Threads of one picture wait for each other actively, but briefly: sleeping costs an eighth of the time on an idle
# machine, and waiting for long doubles it on a busy one.
_BRIEF_SPINNING = {
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "50",
    "session.force_spinning_stop": "1",
}

INSPECT, SURVEY, DETAIL, JUDGE = "inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"
_ABOUT = "about"  # what one graph tells another of the noise


class Model:
    """A bundle's graphs, loaded. Several threads may ask at the same time.

    Args:
        package: a bundle whose files have been checked.
        threads: how many cores one call of ``answer`` may use.
        tile: the side, in pixels, of what is restored at once of a picture of more than ``whole`` pixels.
        whole: see ``tile``.
    """

    def __init__(self, package: Package, *, threads: int = 1, tile: int = TILE, whole: int = WHOLE) -> None:
        self.channels = Channels(package.manifest["trained_on"]["channels"])
        self._package = package
        self._threads = threads
        self._tile, self._whole = tile, whole
        self._inspect = self._session(INSPECT)
        self.says = frozenset(_outputs(self._inspect))
        _require_outputs(self.says, package)
        self._in_tiles = {SURVEY, DETAIL} <= set(package.names())

    @property
    def always_restores(self) -> bool:
        """Whether there is no answer without the restored picture; else it takes more time, and is made on demand."""
        return "restored" in self.says

    def answer(self, pictures: NDArray[np.uint8], *, restored: bool = True) -> Answers:
        """Ask about pictures of one size.

        Args:
            pictures: uint8 (n, height, width, depth), depth 3 in RGB order or 1 as ``channels`` says, C-contiguous;
                sides of at least ``SMALLEST`` pixels.
            restored: whether the pictures without noise are wanted.

        Raises:
            ModelOutputError: a graph gave what cannot be; see ``check_answers``.
            OutputError: a graph that only some pictures need was changed, is missing or cannot be loaded.
        """
        return check_answers(self._said_of(pictures, restored=restored), pictures.shape)

    def _said_of(self, pictures: NDArray[np.uint8], *, restored: bool) -> dict[str, Any]:
        """The outputs by name, as the graphs gave them."""
        large = pictures.shape[1] * pictures.shape[2] > self._whole
        if not self.always_restores:
            said = (_run_and_free if large else _run)(self._inspect, pictures=pictures)
            clean = self._restored_in_tiles(pictures, said)[1] if restored else None
            return said | {"restored": clean}
        if self._in_tiles and large:
            return self._answer_in_tiles(pictures)
        return _run(self._inspect, pictures=pictures)

    def _answer_in_tiles(self, pictures: NDArray[np.uint8]) -> dict[str, Any]:
        """The same numbers, without holding more than a tile of each picture as floats."""
        seen, restored = self._restored_in_tiles(pictures, {})
        judged = _run_and_free(self._judge, restored=restored) if "p_defect" in self.says else {}
        return {name: seen[name] for name in ("p_noise", "levels", "waves")} | judged | {"restored": restored}

    def _restored_in_tiles(
        self, pictures: NDArray[np.uint8], said: dict[str, Any]
    ) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """What the survey says, and the pictures without noise, of which the survey or what was ``said`` tells."""
        large = pictures.shape[1] * pictures.shape[2] > self._whole
        seen = (_run_and_free if large else _run)(self._survey, pictures=pictures)
        restored = np.empty_like(pictures)
        told = {"waves": seen["waves"], "small": seen["small"], _ABOUT: (said | seen)[_ABOUT]}
        for name, values in told.items():  # pixels made of NaN would not tell
            require_finite(name, values)
        height, width = pictures.shape[1:3]
        for top in range(0, height, self._tile):
            for left in range(0, width, self._tile):
                rows, columns = _span(top, self._tile, height), _span(left, self._tile, width)
                around = _around(rows, height), _around(columns, width)
                place = np.array([height, width, around[0].start, around[1].start], np.int64)
                window = np.ascontiguousarray(pictures[:, *around])
                detailed = _run(self._detail, window=window, place=place, **told)
                details = pixels("restored", detailed["restored"], window.shape)
                inner = details[:, rows.start - around[0].start :, columns.start - around[1].start :]
                restored[:, rows, columns] = inner[:, : rows.stop - rows.start, : columns.stop - columns.start]
        return seen, restored

    @cached_property
    def _survey(self) -> onnxruntime.InferenceSession:
        return self._session(SURVEY)

    @cached_property
    def _detail(self) -> onnxruntime.InferenceSession:
        return self._session(DETAIL)

    @cached_property
    def _judge(self) -> onnxruntime.InferenceSession:
        return self._session(JUDGE)

    def _session(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # a plan for each size of picture: much memory, and no time is won
        options.log_severity_level = 3  # errors
        for entry, value in _BRIEF_SPINNING.items():
            options.add_session_config_entry(entry, value)
        return onnxruntime.InferenceSession(self._package.read(name), options, providers=["CPUExecutionProvider"])


def _require_outputs(says: frozenset[str], package: Package) -> None:
    """Refuse a graph without which there would be neither a verdict nor an error."""
    needed = {"p_noise"} | ({"p_defect"} if package.manifest["threshold"] is not None else set())
    if missing := sorted(needed - says):
        raise OutputError(f"{package.path}: its {INSPECT} does not give {', '.join(missing)}; make the bundle again")


def _run(session: onnxruntime.InferenceSession, **inputs: NDArray[Any]) -> dict[str, Any]:
    names = _outputs(session)
    return dict(zip(names, session.run(names, inputs), strict=True))


def _run_and_free(session: onnxruntime.InferenceSession, **inputs: NDArray[Any]) -> dict[str, Any]:
    """The same; what a large picture needed is given back to the system, which ONNX Runtime else keeps for the next."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    names = _outputs(session)
    return dict(zip(names, session.run(names, inputs, options), strict=True))


def _outputs(session: onnxruntime.InferenceSession) -> list[str]:
    return [output.name for output in session.get_outputs()]


def _span(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _around(span: slice, end: int) -> slice:
    return slice(max(0, span.start - HALO), min(span.stop + HALO, end))
