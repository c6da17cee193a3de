"""A bundle with hand-written ONNX graphs, and the same formulas in NumPy: the outputs expected of any runtime.

``top`` is the largest value among the 9 x 9 neighbours of a pixel. The denoised image is ``200 - top // 2``, and 1 more
on every other square of 32 x 32 pixels. The probability of defect is 1 minus the mean of the denoised image (0..1):
dark when denoised, so bright when noisy, is defect. With the mean m (0..1) of the noisy image, p_noise is m^2,
m (1 - m), 1 - m and 0.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

from clearcast.bundle.manifest import BUNDLE_FORMAT, MANIFEST_FILE, Manifest, write_manifest
from clearcast.core.decoding.image_info import Channels, ImageArray

OPSET, IR = 18, 10
CELL = 16  # pixels a side of one place of the evidence
WAVES = np.tile(0.2 * np.cos(2 * np.pi * np.arange(128) / 16), (128, 1)).astype(np.float32)  # 8 upright stripes
THRESHOLD = 0.5


def uniform_image(grey: int, *shape: int) -> ImageArray:
    """Return an image of one grey level except for one pixel, since an image of one colour is rejected."""
    image = np.full(shape or (32, 32), grey, np.uint8)
    image[0, 0] = grey - 1 if grey else 1
    return image


def expected_denoised(image: ImageArray) -> ImageArray:
    """Return the denoised image of the graphs."""
    size = (9, 9) if image.ndim == 2 else (9, 9, 1)
    top = ndimage.maximum_filter(image, size=size, mode="nearest").astype(int)
    rows, columns = np.indices(image.shape[:2]) // 32
    squares = (rows + columns) % 2
    return np.asarray(200 - top // 2 + squares.reshape(*image.shape[:2], *[1] * (image.ndim - 2)), np.uint8)


def expected_p_defect(image: ImageArray) -> float:
    """Return the probability of defect of the graphs."""
    return 1 - float(expected_denoised(image).mean()) / 255


class Graph:
    """Builder of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:  # noqa: ANN401
        name = out or f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, values: object, kind: type) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, kind), name))
        return name

    def denoise(self, images: str, first_row: str, first_column: str) -> str:
        channels = self.add("Transpose", images, perm=[0, 3, 1, 2])
        tops = self.add("MaxPool", channels, kernel_shape=[9, 9], pads=[4, 4, 4, 4])
        two, squares = self.constant(2, np.int64), self.squares(images, first_row, first_column)
        halves = self.add("Div", self.add("Cast", tops, to=TensorProto.INT64), two)
        whole = self.add("Add", self.add("Sub", self.constant(200, np.int64), halves), squares)
        pixels = self.add("Cast", whole, to=TensorProto.UINT8)
        return self.add("Transpose", pixels, out="restored", perm=[0, 2, 3, 1])

    def squares(self, images: str, first_row: str, first_column: str) -> str:
        shape = self.add("Shape", images)
        sides = []
        for axis, first in ((1, first_row), (2, first_column)):
            length = self.add("Gather", shape, self.constant(axis, np.int64))
            places = self.add("Range", first, self.add("Add", first, length), self.constant(1, np.int64))
            sides.append(self.add("Div", places, self.constant(32, np.int64)))
        rows = self.add("Unsqueeze", sides[0], self.constant([1], np.int64))
        return self.add("Mod", self.add("Add", rows, sides[1]), self.constant(2, np.int64))

    def classify(self, denoised: str) -> None:
        scaled = self.scaled(denoised)
        mean = self.add("ReduceMean", scaled, self.constant([1, 2, 3], np.int64), keepdims=0)
        self.add("Sub", self.constant(1, np.float32), mean, out="p_defect")
        grey = self.add("ReduceMean", scaled, self.constant([3], np.int64), keepdims=0)
        channel = self.add("Unsqueeze", grey, self.constant([1], np.int64))
        places = self.add("AveragePool", channel, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
        self.add("Squeeze", places, self.constant([1], np.int64), out="evidence")

    def estimate_noise(self, images: str) -> None:
        mean = self.add("ReduceMean", self.scaled(images), self.constant([1, 2, 3], np.int64), keepdims=0)
        m = self.add("Unsqueeze", mean, self.constant([1], np.int64))
        rest = self.add("Sub", self.constant(1, np.float32), m)
        none = self.add("Sub", m, m)
        self.add("Concat", self.add("Mul", m, m), self.add("Mul", m, rest), rest, none, out="p_noise", axis=1)
        self.add("Concat", m, rest, out="levels", axis=1)
        self.add("Add", self.add("Unsqueeze", none, self.constant([2], np.int64)), self.waves(), out="waves")

    def condition(self, images: str) -> None:
        size = self.add("Cast", self.add("Shape", images), to=TensorProto.FLOAT)
        both = self.add("Slice", size, self.constant([1], np.int64), self.constant([3], np.int64))
        six = self.add("Concat", both, both, both, axis=0)
        self.add("Expand", six, self.constant([1, 6], np.int64), out="about")

    def waves(self) -> str:
        return self.constant(WAVES[None], np.float32)

    def scaled(self, images: str) -> str:
        return self.add("Div", self.add("Cast", images, to=TensorProto.FLOAT), self.constant(255, np.float32))

    def write(self, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        graph = helper.make_graph(
            self.nodes, path.stem, [_value(name) for name in inputs], [_value(name) for name in outputs], self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())


_KINDS: dict[str, tuple[int, list[str | int | None]]] = {
    "pictures": (TensorProto.UINT8, ["n", "h", "w", "d"]),
    "window": (TensorProto.UINT8, ["n", "h", "w", "d"]),
    "restored": (TensorProto.UINT8, ["n", "h", "w", "d"]),
    "place": (TensorProto.INT64, [4]),
    "waves": (TensorProto.FLOAT, ["n", 128, 128]),
    "small": (TensorProto.FLOAT, ["n", 128, 128]),
    "about": (TensorProto.FLOAT, ["n", 6]),
    "p_noise": (TensorProto.FLOAT, ["n", 4]),
    "levels": (TensorProto.FLOAT, ["n", 2]),
    "p_defect": (TensorProto.FLOAT, ["n"]),
    "evidence": (TensorProto.FLOAT, ["n", "rows", "columns"]),
}


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, *_KINDS[name])


def write_bundle(
    folder: Path, *, channels: Channels = Channels.GREY, has_classifier: bool = True, recipe: str = "clear"
) -> Path:
    """Write a bundle with graphs and a manifest only; one of the recipe glance denoises only on request."""
    folder.mkdir(parents=True)
    clear = recipe != "report"
    inspect = Graph()
    zero = inspect.constant(0, np.int64)
    denoised = inspect.denoise("pictures", zero, zero)
    inspect.estimate_noise("pictures")
    outputs = ["p_noise", *([] if recipe == "glance" else ["restored"]), *(["levels", "waves"] if clear else [])]
    if recipe == "glance":
        inspect.condition("pictures")
        outputs.append("about")
    if has_classifier:
        inspect.classify(denoised)
        outputs += ["p_defect", *(["evidence"] if clear else [])]
    inspect.write(folder / "inspect.onnx", ["pictures"], outputs)
    if clear:
        _write_tile_graphs(folder, conditioned=recipe == "glance", has_classifier=has_classifier and recipe == "clear")
    write_manifest(folder, _manifest(channels, has_classifier=has_classifier, recipe=recipe))
    return folder


def replace_outputs(folder: Path, **outputs: NDArray[Any]) -> Path:
    """Replace the bundle's main graph by one that returns the same arrays for every image."""
    graph = Graph()
    for name, array in outputs.items():
        graph.add("Constant", out=name, value=numpy_helper.from_array(array))
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in outputs.items()
    ]
    write_model(folder / "inspect.onnx", helper.make_graph(graph.nodes, "constants", [_value("pictures")], given))
    return update_manifest(folder)


def update_manifest(folder: Path) -> Path:
    """Write the manifest again, with the hashes of the present files, as after an intended change of a bundle."""
    write_manifest(folder, json.loads((folder / MANIFEST_FILE).read_text("utf-8")))
    return folder


def write_model(path: Path, graph: onnx.GraphProto) -> None:
    """Write a graph without checking it."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    path.write_bytes(model.SerializeToString())


def _write_tile_graphs(folder: Path, *, conditioned: bool, has_classifier: bool) -> None:
    """Write the graphs for tiles; ``conditioned``: the main graph gives noise and conditioning vector."""
    encoder = Graph()
    encoder.estimate_noise("pictures")
    encoder.add("Identity", "waves", out="small")
    encoder.condition("pictures")
    outputs = ["waves", "small", *([] if conditioned else ["p_noise", "levels", "about"])]
    encoder.write(folder / "survey.onnx", ["pictures"], outputs)
    detail = Graph()
    first = [detail.add("Gather", "place", detail.constant(place, np.int64)) for place in (2, 3)]
    detail.denoise("window", *first)
    detail.write(folder / "detail.onnx", ["window", "waves", "small", "about", "place"], ["restored"])
    if has_classifier:
        classifier = Graph()
        classifier.classify("restored")
        classifier.write(folder / "judge.onnx", ["restored"], ["p_defect", "evidence"])


def _manifest(channels: Channels, *, has_classifier: bool, recipe: str) -> Manifest:
    classifier = {"shape": [64, 64], "temperature": 1.0, "threshold": 0.0, "crossfitted": True}
    manifest: Any = {
        "format": BUNDLE_FORMAT,
        "recipe": recipe,
        "clearcast": "0",
        "created": "2026-01-01T00:00:00+00:00",
        "files": {},
        "trained_on": {"sheet": "Labels.xlsx", "channels": channels.value, "shape": [64, 64]},
        "effort": {},
        "judge": classifier if has_classifier else None,
        "no_judge": None if has_classifier else "every part is ok",
        "measured": {},
        "threshold": THRESHOLD if has_classifier else None,
        "licence": "Apache-2.0",
        "fingerprint": "",
        "graphs": {},
        "versions": {},
        "parity": {},
    }
    written: Manifest = manifest
    return written


def write_images(
    folder: Path, count: int, *, shape: tuple[int, ...] = (32, 48), seed: int = 0
) -> dict[str, ImageArray]:
    """Write noisy images of rising brightness as PNG; returns them by name, in the order of the names."""
    from clearcast.core import imaging

    rng = np.random.default_rng(seed)
    images: dict[str, NDArray[np.uint8]] = {}
    for number in range(count):
        lowest = 200 * number // max(1, count - 1)
        images[f"{number:04d}.png"] = rng.integers(lowest, lowest + 55, shape).astype(np.uint8)
        imaging.save_image(folder / f"{number:04d}.png", images[f"{number:04d}.png"])
    return images
