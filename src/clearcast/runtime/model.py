"""A bundle's graphs in ONNX Runtime: from pictures to arrays."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clearcast.imaging import Channels
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

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the graphs say of n pictures of one size; None where the bundle does not say it.

    Attributes:
        p_defect: float32 (n,), calibrated probability of defect, 0..1.
        p_noise: float32 (n, 4), probabilities in the order of ``NoiseType``, adding up to 1.
        levels: float32 (n, 2), standard deviation of grain and density of impulses, 0..1.
        waves: float32 (n, 128, 128), what periodic noise added, on the 0..1 scale; see ``noise.strongest_wave``.
        wave: float32 (n, 3), in place of ``waves``: of the strongest one amplitude, cycles down and cycles across.
        evidence: float32 (n, h, w), log-odds of defect by place.
        restored: uint8 (n, height, width, depth), the pictures without noise; None also where nobody asked for them.
    """

    p_noise: Floats
    p_defect: Floats | None = None
    levels: Floats | None = None
    waves: Floats | None = None
    wave: Floats | None = None
    evidence: Floats | None = None
    restored: NDArray[np.uint8] | None


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
        """
        large = pictures.shape[1] * pictures.shape[2] > self._whole
        if not self.always_restores:
            said = (_run_and_free if large else _run)(self._inspect, pictures=pictures)
            clean = self._restored_in_tiles(pictures, said)[1] if restored else None
            return Answers(**{name: value for name, value in said.items() if name != _ABOUT}, restored=clean)
        if self._in_tiles and large:
            return Answers(**self._answer_in_tiles(pictures))
        return Answers(**_run(self._inspect, pictures=pictures))

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
        height, width = pictures.shape[1:3]
        for top in range(0, height, self._tile):
            for left in range(0, width, self._tile):
                rows, columns = _span(top, self._tile, height), _span(left, self._tile, width)
                around = _around(rows, height), _around(columns, width)
                place = np.array([height, width, around[0].start, around[1].start], np.int64)
                window = np.ascontiguousarray(pictures[:, *around])
                details = _run(self._detail, window=window, place=place, **told)["restored"]
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
