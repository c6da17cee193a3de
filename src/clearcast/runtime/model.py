"""A bundle's graphs in ONNX Runtime: from pictures to arrays."""

from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clearcast.checks import require_finite
from clearcast.errors import OutputError, first_line
from clearcast.imaging import Channels
from clearcast.runtime.answers import Answers, check_answers, pixels
from clearcast.runtime.external_data import external_tensor
from clearcast.runtime.manifest import noise_types_of
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

_ONNX_ONLY = {"session.load_model_format": "ONNX"}  # its own format is another, which is not looked into

INSPECT, SURVEY, DETAIL, JUDGE = "inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"
_ABOUT = "about"  # what one graph tells another of the noise


Outputs = dict[str, Any]


class RunControl:
    """Ends what graphs are doing, from another thread."""

    def __init__(self) -> None:
        self.keeping = onnxruntime.RunOptions()
        self.freeing = onnxruntime.RunOptions()  # gives what a large picture needed back to the system
        self.freeing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def end(self) -> None:
        """End each run under this control, also those that begin later, with an error, between two nodes of a graph."""
        self.keeping.terminate = True
        self.freeing.terminate = True


class Model:
    """A bundle's graphs, loaded. Several threads may ask at the same time.

    Args:
        package: a bundle whose files have been checked.
        threads: how many cores one call of ``answer`` may use.
        tile: the side, in pixels, of what is restored at once of a picture of more than ``whole`` pixels.
        whole: see ``tile``.
        control: can end what the graphs are doing.

    Raises:
        OutputError: a graph was changed, is missing, or cannot be used; see ``require_complete``.
    """

    def __init__(
        self,
        package: Package,
        *,
        threads: int = 1,
        tile: int = TILE,
        whole: int = WHOLE,
        control: RunControl | None = None,
    ) -> None:
        self.channels = Channels(package.manifest["trained_on"]["channels"])
        self.noise_types = noise_types_of(package.manifest)
        self._package = package
        self._threads = threads
        self._tile, self._whole = tile, whole
        self._control = control or RunControl()
        for name in package.names():
            if name.endswith(".onnx"):  # also those that are loaded later, for the first large picture
                require_complete(package, name)
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
        return check_answers(self._said_of(pictures, restored=restored), pictures.shape, self.noise_types)

    def _said_of(self, pictures: NDArray[np.uint8], *, restored: bool) -> Outputs:
        """The outputs by name, as the graphs gave them."""
        large = pictures.shape[1] * pictures.shape[2] > self._whole
        if not self.always_restores:
            said = self._run(self._inspect, free=large, pictures=pictures)
            clean = self._restored_in_tiles(pictures, said)[1] if restored else None
            return said | {"restored": clean}
        if self._in_tiles and large:
            return self._answer_in_tiles(pictures)
        return self._run(self._inspect, pictures=pictures)

    def _answer_in_tiles(self, pictures: NDArray[np.uint8]) -> Outputs:
        """The same numbers, without holding more than a tile of each picture as floats."""
        seen, restored = self._restored_in_tiles(pictures, {})
        judged = self._run(self._judge, free=True, restored=restored) if "p_defect" in self.says else {}
        return {name: seen[name] for name in ("p_noise", "levels", "waves")} | judged | {"restored": restored}

    def _restored_in_tiles(self, pictures: NDArray[np.uint8], said: Outputs) -> tuple[Outputs, NDArray[np.uint8]]:
        """What the survey says, and the pictures without noise, of which the survey or what was ``said`` tells."""
        large = pictures.shape[1] * pictures.shape[2] > self._whole
        seen = self._run(self._survey, free=large, pictures=pictures)
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
                detailed = self._run(self._detail, window=window, place=place, **told)
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

    def _run(self, session: onnxruntime.InferenceSession, *, free: bool = False, **inputs: NDArray[Any]) -> Outputs:
        """The outputs of a graph; ``free``: give memory back, which ONNX Runtime else keeps for the next picture."""
        names = _outputs(session)
        options = self._control.freeing if free else self._control.keeping
        return dict(zip(names, session.run(names, inputs, options), strict=True))

    def _session(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # a plan for each size of picture: much memory, and no time is won
        options.log_severity_level = 4  # fatal errors; the others are raised
        for entry, value in (_BRIEF_SPINNING | _ONNX_ONLY).items():
            options.add_session_config_entry(entry, value)
        data = self._package.read(name)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise _unusable(self._package, name, first_line(error)) from None


def _require_outputs(says: frozenset[str], package: Package) -> None:
    """Refuse a graph without which there would be neither a verdict nor an error."""
    needed = {"p_noise"} | ({"p_defect"} if package.manifest["threshold"] is not None else set())
    if missing := sorted(needed - says):
        raise OutputError(f"{package.path}: its {INSPECT} does not give {', '.join(missing)}; make the bundle again")


def require_complete(package: Package, name: str) -> None:
    """Make sure that a graph is the one that was written, and needs no other file.

    Raises:
        OutputError: it is missing, was changed, is no ONNX graph, or keeps a tensor elsewhere.
    """
    try:
        tensor = external_tensor(package.read(name))
    except ValueError as error:
        raise _unusable(package, name, str(error)) from None
    if tensor is not None:
        raise OutputError(
            f"{package.path}: {name} keeps its tensor {tensor!r} in another file, which no hash covers; make the "
            "bundle again, with all tensors inside"
        )


def _unusable(package: Package, name: str, reason: str) -> OutputError:
    return OutputError(f"{package.path}: {name} cannot be loaded ({reason}); make the bundle again")


def _outputs(session: onnxruntime.InferenceSession) -> list[str]:
    return [output.name for output in session.get_outputs()]


def _span(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _around(span: slice, end: int) -> slice:
    return slice(max(0, span.start - HALO), min(span.stop + HALO, end))
