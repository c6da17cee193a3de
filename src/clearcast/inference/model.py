"""ONNX model of a bundle: loads its graphs, runs them, in tiles if an image is large, and rejects external data.

Tensors in other files are not covered by a bundle's hashes. ONNX Runtime has no setting that forbids such files, and
resolves their names against the working directory. So the graph's protobuf is walked before it is loaded (the package
onnx is installed for training only).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clearcast.bundle.archive import BundlePackage
from clearcast.bundle.manifest import noise_types_of
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError, first_error_line
from clearcast.core.numbers import require_finite
from clearcast.inference.prediction import Prediction, decode_predictions, require_pixels, with_depth

_MAX_WHOLE_PIXELS = 1024 * 1024  # pixels; larger images are processed in tiles, if the bundle has the graphs for it
_INFERENCE_TILE_SIDE = 1024  # pixels a side
_INFERENCE_TILE_HALO = 64  # pixels around a tile that its denoised pixels can depend on
MIN_IMAGE_SIDE = 16  # pixels a side; smaller images show nothing to inspect

# The threads of one image spin for a short time while they wait for each other: sleeping costs an eighth of the time on
# an idle machine, and spinning for long doubles it on a busy one.
_SHORT_SPINNING = {
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "50",
    "session.force_spinning_stop": "1",
}

_ONNX_ONLY = {"session.load_model_format": "ONNX"}  # ONNX Runtime's own format is not checked for external data

INSPECT_GRAPH, GLOBAL_GRAPH, DETAIL_GRAPH, CLASSIFIER_GRAPH = "inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"
_CONDITIONING = "about"  # name of the conditioning vector, an output of one graph and an input of another

GraphOutputs = dict[str, Any]

# Protobuf of ONNX, to find external data; the field numbers are those of onnx.proto, which never change.
_TENSOR_CONTAINERS = {  # by message and field number, the messages that can contain a tensor
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14  # of a tensor
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10  # bytes


class RunControl:
    """Handle that terminates running graphs from another thread."""

    def __init__(self) -> None:
        self.default_options = onnxruntime.RunOptions()
        self.memory_freeing_options = onnxruntime.RunOptions()  # returns the memory of a large image to the system
        self.memory_freeing_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def terminate(self) -> None:
        """Terminate every run under this control, later ones too: each fails with an error between two graph nodes."""
        self.default_options.terminate = True
        self.memory_freeing_options.terminate = True


class OnnxModel:
    """A bundle's graphs, loaded. Several threads may use it at the same time.

    Args:
        package: a bundle whose files have been checked.
        threads: how many cores one call may use.
        tile: side, in pixels, of the tiles in which images of more than ``whole`` pixels are denoised.
        whole: see ``tile``.
        control: can terminate running graphs.

    Raises:
        OutputError: a graph was changed, is missing, or cannot be used, such as one with tensors in another file.
    """

    def __init__(
        self,
        package: BundlePackage,
        *,
        threads: int = 1,
        tile: int = _INFERENCE_TILE_SIDE,
        whole: int = _MAX_WHOLE_PIXELS,
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
                _require_self_contained(package, name)
        self._inspect_graph = self._session(INSPECT_GRAPH)
        self.output_names = frozenset(_output_names(self._inspect_graph))
        _require_outputs(self.output_names, package)
        self._in_tiles = {GLOBAL_GRAPH, DETAIL_GRAPH} <= set(package.names())

    @property
    def always_denoises(self) -> bool:
        """Whether every prediction includes the denoised image; if not, denoising takes extra time, on request."""
        return "restored" in self.output_names

    def predict(self, image: ImageArray, *, denoise: bool = True) -> Prediction:
        """Predict for one image.

        Args:
            image: uint8 (height, width), or (height, width, 3) in RGB order, as ``channels`` says; sides of at least
                ``MIN_IMAGE_SIDE`` pixels.
            denoise: whether the prediction must include the denoised image.

        Raises:
            ModelOutputError: a graph gave an impossible output; see ``decode_predictions``.
            OutputError: a graph that only some images need was changed, is missing or cannot be loaded.
        """
        return self.predict_batch(np.ascontiguousarray(with_depth(image))[None], denoise=denoise)[0]

    def predict_batch(self, images: NDArray[np.uint8], *, denoise: bool = True) -> list[Prediction]:
        """Predict for images of one size; see ``predict``.

        Args:
            images: uint8 (n, height, width, depth), C-contiguous.
            denoise: whether the predictions must include the denoised images.
        """
        return decode_predictions(
            self.run(images, denoise=denoise), images.shape, threshold=self._threshold, noise_types=self.noise_types
        )

    def run(self, images: NDArray[np.uint8], *, denoise: bool = True) -> GraphOutputs:
        """Return the outputs of the graphs by name, unchecked; the arguments are those of ``predict_batch``."""
        large = images.shape[1] * images.shape[2] > self._whole
        if not self.always_denoises:
            outputs = self._run(self._inspect_graph, free_memory=large, pictures=images)
            denoised = self._denoise_in_tiles(images, outputs)[1] if denoise else None
            return outputs | {"restored": denoised}
        if self._in_tiles and large:
            return self._run_in_tiles(images)
        return self._run(self._inspect_graph, pictures=images)

    def _run_in_tiles(self, images: NDArray[np.uint8]) -> GraphOutputs:
        """Return the same outputs without ever holding more than a tile of each image as floats."""
        outputs, denoised = self._denoise_in_tiles(images, {})
        classified: GraphOutputs = {}
        if "p_defect" in self.output_names:
            classified = self._run(self._classifier_graph, free_memory=True, restored=denoised)
        return {name: outputs[name] for name in ("p_noise", "levels", "waves")} | classified | {"restored": denoised}

    def _denoise_in_tiles(
        self, images: NDArray[np.uint8], outputs: GraphOutputs
    ) -> tuple[GraphOutputs, NDArray[np.uint8]]:
        """Return the outputs of the global graph, and the denoised images, uint8 (n, height, width, depth).

        Args:
            images: see ``run``.
            outputs: has the conditioning vector, if the global graph does not give it.
        """
        large = images.shape[1] * images.shape[2] > self._whole
        global_outputs = self._run(self._global_graph, free_memory=large, pictures=images)
        denoised = np.empty_like(images)
        conditions = {"waves": global_outputs["waves"], "small": global_outputs["small"]}
        conditions |= {_CONDITIONING: (outputs | global_outputs)[_CONDITIONING]}
        for name, values in conditions.items():  # NaN would not be visible in uint8 pixels
            require_finite(name, values)
        height, width = images.shape[1:3]
        for top in range(0, height, self._tile):
            for left in range(0, width, self._tile):
                rows, columns = _tile(top, self._tile, height), _tile(left, self._tile, width)
                denoised[:, rows, columns] = self._denoise_tile(images, rows, columns, conditions)
        return global_outputs, denoised

    def _denoise_tile(
        self, images: NDArray[np.uint8], rows: slice, columns: slice, conditions: GraphOutputs
    ) -> NDArray[np.uint8]:
        """Return a denoised tile, computed from the pixels of the tile and its halo."""
        height, width = images.shape[1:3]
        window_rows, window_columns = _with_halo(rows, height), _with_halo(columns, width)
        place = np.array([height, width, window_rows.start, window_columns.start], np.int64)
        window = np.ascontiguousarray(images[:, window_rows, window_columns])
        detail = self._run(self._detail_graph, window=window, place=place, **conditions)
        pixels = require_pixels("restored", detail["restored"], window.shape)
        inner = pixels[:, rows.start - window_rows.start :, columns.start - window_columns.start :]
        return inner[:, : rows.stop - rows.start, : columns.stop - columns.start]

    @cached_property
    def _global_graph(self) -> onnxruntime.InferenceSession:
        return self._session(GLOBAL_GRAPH)

    @cached_property
    def _detail_graph(self) -> onnxruntime.InferenceSession:
        return self._session(DETAIL_GRAPH)

    @cached_property
    def _classifier_graph(self) -> onnxruntime.InferenceSession:
        return self._session(CLASSIFIER_GRAPH)

    def _run(
        self, session: onnxruntime.InferenceSession, *, free_memory: bool = False, **inputs: NDArray[Any]
    ) -> GraphOutputs:
        """Return the outputs of a graph; ``free_memory``: release the memory that ONNX Runtime keeps otherwise."""
        names = _output_names(session)
        options = self._control.memory_freeing_options if free_memory else self._control.default_options
        return dict(zip(names, session.run(names, inputs, options), strict=True))

    def _session(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # one plan for each image size: much memory, no gain in time
        options.log_severity_level = 4  # fatal errors only; others are raised
        for entry, value in (_SHORT_SPINNING | _ONNX_ONLY).items():
            options.add_session_config_entry(entry, value)
        data = self._package.read(name)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise _unusable(self._package, name, first_error_line(error)) from None


def _require_self_contained(package: BundlePackage, name: str) -> None:
    """Require that a graph is unchanged and needs no other file.

    Raises:
        OutputError: it is missing, was changed, is not an ONNX graph, or keeps a tensor in another file.
    """
    try:
        tensor = find_external_tensor(package.read(name))
    except ValueError as error:
        raise _unusable(package, name, str(error)) from None
    if tensor is not None:
        raise OutputError(
            f"{package.path}: {name} keeps its tensor {tensor!r} in another file, which no hash covers; recreate the "
            "bundle with all tensors inside"
        )


def find_external_tensor(model: bytes) -> str | None:
    """Return the name of a tensor of an ONNX model that is stored in another file; None if there is none.

    Initializers, dense and sparse, and constants are checked, in subgraphs and functions too.

    Raises:
        ValueError: it is not a protobuf message.
    """
    if b"location" not in model:  # the key of a tensor's file name; saves a walk of about 30 ms
        return None
    stack = [("model", memoryview(model))]  # a list instead of recursion: the file decides how deeply it is nested
    while stack:
        kind, message = stack.pop()
        name, external = "", False
        for number, value in _fields(message):
            if kind == "tensor":
                if number == _NAME and isinstance(value, memoryview):
                    name = bytes(value).decode("utf-8", "replace")
                external |= number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
            elif number in _TENSOR_CONTAINERS[kind] and isinstance(value, memoryview):
                stack.append((_TENSOR_CONTAINERS[kind][number], value))
        if external:
            return name
    return None


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message, except numbers of fixed width, which are not needed."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
        elif wire == _BYTES:
            size, position = _varint(message, position)
            yield number, message[position : position + size]
            position += size
        elif wire in {_FIXED64, _FIXED32}:
            position += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"expected a protobuf message, got wire type {wire}")
    if position != len(message):
        raise ValueError("expected a complete protobuf message, got a truncated one")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number of variable length at a position, and the position after it."""
    value = 0
    for count in range(_LONGEST_VARINT):
        if position + count >= len(message):
            raise ValueError("expected a complete protobuf message, got a truncated one")
        byte = message[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + count + 1
    raise ValueError("expected a protobuf message, got a number of more than 10 bytes")


def _require_outputs(output_names: frozenset[str], package: BundlePackage) -> None:
    """Reject a graph that lacks an output that a verdict needs."""
    required = {"p_noise"} | ({"p_defect"} if package.manifest["threshold"] is not None else set())
    if missing := sorted(required - output_names):
        raise OutputError(
            f"{package.path}: {INSPECT_GRAPH} does not have the output {', '.join(missing)}; recreate the bundle"
        )


def _unusable(package: BundlePackage, name: str, reason: str) -> OutputError:
    return OutputError(f"{package.path}: {name} cannot be loaded ({reason}); recreate the bundle")


def _output_names(session: onnxruntime.InferenceSession) -> list[str]:
    return [output.name for output in session.get_outputs()]


def _tile(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _with_halo(tile: slice, end: int) -> slice:
    return slice(max(0, tile.start - _INFERENCE_TILE_HALO), min(tile.stop + _INFERENCE_TILE_HALO, end))
