"""Graphs with external data, in every place that a tensor can have: a bundle hashes only its own files."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import clearcast
from clearcast.bundle.archive import open_package
from clearcast.core.errors import OutputError
from clearcast.inference.model import OnnxModel, find_external_tensor
from clearcast.inference.verification import verify_bundle
from tests.inference.handmade import IR, OPSET, update_manifest, write_bundle

SECRET = "secret.bin"


def inside(name: str = "secret") -> TensorProto:
    return numpy_helper.from_array(np.zeros(4, np.float32), name)


def outside(name: str = "secret") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=SECRET)
    return tensor


def sparse(values: TensorProto, indices: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[9])


def model_of(graph: onnx.GraphProto, **parts: object) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    for name, part in parts.items():
        getattr(model, name).append(part)
    return model


def graph_with(*nodes: onnx.NodeProto, **parts: object) -> onnx.GraphProto:
    graph = helper.make_graph([*nodes], "g", [], [])
    for name, part in parts.items():
        getattr(graph, name).append(part)
    return graph


def node_with(**attributes: Any) -> onnx.NodeProto:  # noqa: ANN401
    return helper.make_node("Constant", [], ["y"], **attributes)


def deep(tensor: TensorProto, depth: int) -> onnx.GraphProto:
    graph = graph_with(node_with(value=tensor))
    for _ in range(depth):
        graph = graph_with(helper.make_node("If", ["c"], ["y"], then_branch=graph))
    return graph


def training_with(tensor: TensorProto) -> onnx.TrainingInfoProto:
    return onnx.TrainingInfoProto(algorithm=graph_with(initializer=tensor))


def function_with(node: onnx.NodeProto) -> onnx.FunctionProto:
    return onnx.FunctionProto(name="f", domain="d", node=[node])


def default_with(tensor: TensorProto) -> onnx.FunctionProto:
    return onnx.FunctionProto(name="f", domain="d", attribute_proto=[helper.make_attribute("a", tensor)])


TENSOR_PLACES: dict[str, Callable[[TensorProto], onnx.ModelProto]] = {
    "initializer": lambda tensor: model_of(graph_with(initializer=tensor)),
    "second initializer": lambda tensor: model_of(
        helper.make_graph([], "g", [], [], [inside("a"), tensor, inside("b")]),
    ),
    "sparse values": lambda tensor: model_of(graph_with(sparse_initializer=sparse(tensor, inside()))),
    "sparse indices": lambda tensor: model_of(graph_with(sparse_initializer=sparse(inside(), tensor))),
    "constant": lambda tensor: model_of(graph_with(node_with(value=tensor))),
    "tensors": lambda tensor: model_of(graph_with(node_with(values=[inside(), tensor]))),
    "sparse constant": lambda tensor: model_of(graph_with(node_with(sparse_value=sparse(tensor, inside())))),
    "sparse constants": lambda tensor: model_of(graph_with(node_with(values=[sparse(tensor, inside())]))),
    "branch": lambda tensor: model_of(graph_with(node_with(body=graph_with(initializer=tensor)))),
    "branches": lambda tensor: model_of(graph_with(node_with(bodies=[graph_with(), graph_with(initializer=tensor)]))),
    "deep branch": lambda tensor: model_of(deep(tensor, 20)),
    "function": lambda tensor: model_of(graph_with(), functions=function_with(node_with(value=tensor))),
    "function's branch": lambda tensor: model_of(
        graph_with(), functions=function_with(node_with(body=graph_with(initializer=tensor)))
    ),
    "function's default": lambda tensor: model_of(graph_with(), functions=default_with(tensor)),
    "training": lambda tensor: model_of(graph_with(), training_info=training_with(tensor)),
}


@pytest.mark.parametrize("place", TENSOR_PLACES.values(), ids=TENSOR_PLACES)
def test_external_data_is_found_in_every_kind_of_tensor(place: Callable[[TensorProto], onnx.ModelProto]) -> None:
    assert find_external_tensor(place(outside()).SerializeToString()) == "secret"
    model = place(inside("the location"))  # the word alone means no file
    model.doc_string = "location"
    assert find_external_tensor(model.SerializeToString()) is None


def test_an_entry_or_a_location_alone_marks_external_data() -> None:
    for marked in (True, False):
        tensor = outside()
        if not marked:
            tensor.data_location = TensorProto.DEFAULT
        assert find_external_tensor(model_of(graph_with(initializer=tensor)).SerializeToString()) == "secret"


def test_a_graph_in_two_messages_is_checked_completely() -> None:
    pieces = [model_of(graph_with(initializer=tensor)).SerializeToString() for tensor in (inside(), outside())]
    assert find_external_tensor(pieces[0] + pieces[1]) == find_external_tensor(pieces[1] + pieces[0]) == "secret"


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        find_external_tensor(b"location" + data)


@pytest.mark.parametrize("name", ["inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"])
def test_every_command_rejects_a_graph_with_external_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    model = onnx.load(bundle / name)
    model.graph.initializer[0].CopyFrom(outside(model.graph.initializer[0].name))
    (bundle / name).write_bytes(model.SerializeToString())
    (bundle / "golden.json").write_text(
        '[{"file": "a.png", "p_defect": null, "verdict": null, "noise_type": "none", "p_noise": {"gaussian": 1, '
        '"salt_and_pepper": 0, "periodic": 0, "none": 0}}]'
    )
    update_manifest(bundle)
    np.zeros(400, np.float32).tofile(tmp_path / SECRET)
    monkeypatch.chdir(tmp_path)

    for load in (
        lambda: OnnxModel(open_package(bundle)),
        lambda: clearcast.load(bundle),
        lambda: verify_bundle(bundle),
    ):
        with pytest.raises(OutputError, match=rf"{name} keeps its tensor 'constant0' in another file"):
            load()


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x0a", b"\x00" * 40, b"\0\0\0\0ORTM" + b"\0" * 90])
def test_a_file_that_is_not_a_graph_gives_one_clear_message(tmp_path: Path, content: bytes) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "inspect.onnx").write_bytes(content)

    with pytest.raises(OutputError, match=r"bundle: inspect\.onnx cannot be loaded \([^\n]+\); recreate the bundle$"):
        clearcast.load(update_manifest(bundle))
