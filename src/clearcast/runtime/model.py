"""Inference with a bundle's graphs in ONNX Runtime: from images to predictions."""

from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clearcast.checks import require_finite
from clearcast.errors import OutputError, first_line
from clearcast.imaging import Channels, Picture
from clearcast.runtime.answers import Prediction, decode_outputs, require_pixels, with_depth
from clearcast.runtime.external_data import external_tensor
from clearcast.runtime.manifest import noise_types_of
from clearcast.runtime.package import Package

WHOLE = 1024 * 1024  # pixels; larger images are processed in tiles, if the bundle has the graphs for it
TILE = 1024  # pixels a side
HALO = 64  # pixels around a tile that its denoised pixels can depend on
SMALLEST = 16  # pixels a side; smaller images show nothing to inspect

# The threads of one image spin for a short time while they wait for each other: sleeping costs an eighth of the time on
# an idle machine, and spinning for long doubles it on a busy one.
_BRIEF_SPINNING = {
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "50",
    "session.force_spinning_stop": "1",
}

_ONNX_ONLY = {"session.load_model_format": "ONNX"}  # ONNX Runtime's own format is not checked for external data

INSPECT, SURVEY, DETAIL, JUDGE = "inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"
_CONDITIONING = "about"  # name of the conditioning vector, an output of one graph and an input of another

Outputs = dict[str, Any]


class RunControl:
    """Handle that terminates running graphs from another thread."""

    def __init__(self) -> None:
        self.keeping = onnxruntime.RunOptions()
        self.freeing = onnxruntime.RunOptions()  # returns the memory of a large image to the system
        self.freeing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def end(self) -> None:
        """Terminate every run under this control, later ones too: each fails with an error between two graph nodes."""
        self.keeping.terminate = True
        self.freeing.terminate = True


class Model:
    """A bundle's graphs, loaded. Several threads may use it at the same time.

    Args:
        package: a bundle whose files have been checked.
        threads: how many cores one call may use.
        tile: side, in pixels, of the tiles in which images of more than ``whole`` pixels are denoised.
        whole: see ``tile``.
        control: can terminate running graphs.

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
        self._threshold = package.manifest["threshold"]
        self._threads = threads
        self._tile, self._whole = tile, whole
        self._control = control or RunControl()
        for name in package.names():
            if name.endswith(".onnx"):  # including those that are loaded only for the first large image
                require_complete(package, name)
        self._inspect = self._session(INSPECT)
        self.output_names = frozenset(_outputs(self._inspect))
        _require_outputs(self.output_names, package)
        self._in_tiles = {SURVEY, DETAIL} <= set(package.names())

    @property
    def always_denoises(self) -> bool:
        """Whether every prediction includes the denoised image; if not, denoising takes extra time, on request."""
        return "restored" in self.output_names

    def predict(self, image: Picture, *, denoise: bool = True) -> Prediction:
        """Predict for one image.

        Args:
            image: uint8 (height, width), or (height, width, 3) in RGB order, as ``channels`` says; sides of at least
                ``SMALLEST`` pixels.
            denoise: whether the prediction must include the denoised image.

        Raises:
            ModelOutputError: a graph gave an impossible output; see ``decode_outputs``.
            OutputError: a graph that only some images need was changed, is missing or cannot be loaded.
        """
        return self.predict_batch(np.ascontiguousarray(with_depth(image))[None], denoise=denoise)[0]

    def predict_batch(self, images: NDArray[np.uint8], *, denoise: bool = True) -> list[Prediction]:
        """Predict for images of one size; see ``predict``.

        Args:
            images: uint8 (n, height, width, depth), C-contiguous.
            denoise: whether the predictions must include the denoised images.
        """
        return decode_outputs(
            self.run(images, denoise=denoise), images.shape, threshold=self._threshold, noise_types=self.noise_types
        )

    def run(self, images: NDArray[np.uint8], *, denoise: bool = True) -> Outputs:
        """Return the outputs of the graphs by name, unchecked; the arguments are those of ``predict_batch``."""
        large = images.shape[1] * images.shape[2] > self._whole
        if not self.always_denoises:
            outputs = self._run(self._inspect, free=large, pictures=images)
            denoised = self._denoise_in_tiles(images, outputs)[1] if denoise else None
            return outputs | {"restored": denoised}
        if self._in_tiles and large:
            return self._run_in_tiles(images)
        return self._run(self._inspect, pictures=images)

    def _run_in_tiles(self, images: NDArray[np.uint8]) -> Outputs:
        """Return the same outputs without ever holding more than a tile of each image as floats."""
        survey, denoised = self._denoise_in_tiles(images, {})
        verdicts = self._run(self._judge, free=True, restored=denoised) if "p_defect" in self.output_names else {}
        return {name: survey[name] for name in ("p_noise", "levels", "waves")} | verdicts | {"restored": denoised}

    def _denoise_in_tiles(self, images: NDArray[np.uint8], outputs: Outputs) -> tuple[Outputs, NDArray[np.uint8]]:
        """Return the outputs of the survey graph, and the denoised images, uint8 (n, height, width, depth).

        Args:
            images: see ``run``.
            outputs: has the conditioning vector, if the survey graph does not give it.
        """
        large = images.shape[1] * images.shape[2] > self._whole
        survey = self._run(self._survey, free=large, pictures=images)
        denoised = np.empty_like(images)
        hints = {"waves": survey["waves"], "small": survey["small"]}
        hints |= {_CONDITIONING: (outputs | survey)[_CONDITIONING]}
        for name, values in hints.items():  # NaN would not be visible in uint8 pixels
            require_finite(name, values)
        height, width = images.shape[1:3]
        for top in range(0, height, self._tile):
            for left in range(0, width, self._tile):
                rows, columns = _span(top, self._tile, height), _span(left, self._tile, width)
                around = _around(rows, height), _around(columns, width)
                place = np.array([height, width, around[0].start, around[1].start], np.int64)
                window = np.ascontiguousarray(images[:, *around])
                detail = self._run(self._detail, window=window, place=place, **hints)
                pixels = require_pixels("restored", detail["restored"], window.shape)
                inner = pixels[:, rows.start - around[0].start :, columns.start - around[1].start :]
                denoised[:, rows, columns] = inner[:, : rows.stop - rows.start, : columns.stop - columns.start]
        return survey, denoised

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
        """Return the outputs of a graph; ``free``: release the memory that ONNX Runtime keeps otherwise."""
        names = _outputs(session)
        options = self._control.freeing if free else self._control.keeping
        return dict(zip(names, session.run(names, inputs, options), strict=True))

    def _session(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # one plan for each image size: much memory, no gain in time
        options.log_severity_level = 4  # fatal errors only; others are raised
        for entry, value in (_BRIEF_SPINNING | _ONNX_ONLY).items():
            options.add_session_config_entry(entry, value)
        data = self._package.read(name)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise _unusable(self._package, name, first_line(error)) from None


def _require_outputs(output_names: frozenset[str], package: Package) -> None:
    """Reject a graph that lacks an output that a verdict needs."""
    required = {"p_noise"} | ({"p_defect"} if package.manifest["threshold"] is not None else set())
    if missing := sorted(required - output_names):
        raise OutputError(
            f"{package.path}: {INSPECT} does not have the output {', '.join(missing)}; recreate the bundle"
        )


def require_complete(package: Package, name: str) -> None:
    """Require that a graph is unchanged and needs no other file.

    Raises:
        OutputError: it is missing, was changed, is not an ONNX graph, or keeps a tensor in another file.
    """
    try:
        tensor = external_tensor(package.read(name))
    except ValueError as error:
        raise _unusable(package, name, str(error)) from None
    if tensor is not None:
        raise OutputError(
            f"{package.path}: {name} keeps its tensor {tensor!r} in another file, which no hash covers; recreate the "
            "bundle with all tensors inside"
        )


def _unusable(package: Package, name: str, reason: str) -> OutputError:
    return OutputError(f"{package.path}: {name} cannot be loaded ({reason}); recreate the bundle")


def _outputs(session: onnxruntime.InferenceSession) -> list[str]:
    return [output.name for output in session.get_outputs()]


def _span(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _around(span: slice, end: int) -> slice:
    return slice(max(0, span.start - HALO), min(span.stop + HALO, end))
