"""ONNX export of a bundle's networks; the graphs run without torch."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import compose, helper, numpy_helper
from torch import Tensor
from torch.export import Dim

from clearcast.bundle.manifest import GraphInterface
from clearcast.core.decoding.image_info import Channels
from clearcast.core.files import replace_file
from clearcast.inference.model import CLASSIFIER_GRAPH, DETAIL_GRAPH, GLOBAL_GRAPH, INSPECT_GRAPH
from clearcast.nn.denoiser import SMALLEST_IMAGE_SIDE, ClearDenoiser
from clearcast.nn.noise_heads import THUMBNAIL_SIDE, conditioning_size
from clearcast.pipelines.networks import BundleNetworks, DistilledNetworks
from clearcast.pipelines.onnx_graphs import (
    ClassifierGraph,
    DetailGraph,
    ExportedModule,
    GlobalEncoderGraph,
    PeriodicNoiseGraph,
    StudentGraph,
)
from clearcast.pipelines.published_bundle import PublishedGraph, PublishedNetworks

_OPSET = 18
_MAX_SIDE = 1 << 15  # pixels
_BATCH = Dim("batch", min=1, max=1 << 12)
_IMAGE_AXES = {
    0: _BATCH,
    1: Dim("height", min=SMALLEST_IMAGE_SIDE, max=_MAX_SIDE),
    2: Dim("width", min=SMALLEST_IMAGE_SIDE, max=_MAX_SIDE),
}
_EXAMPLE = (2, 100, 124)  # images, height and width for tracing; arbitrary


def write_onnx_graphs(
    networks: BundleNetworks | DistilledNetworks | PublishedNetworks, folder: Path
) -> dict[str, GraphInterface]:
    """Write a bundle's networks as ONNX graphs.

    Returns:
        The inputs and outputs of each file, for the manifest.
    """
    match networks:
        case BundleNetworks():
            graphs = _export_clear(networks)
        case DistilledNetworks():
            graphs = _export_distilled(networks)
        case PublishedNetworks():
            graphs = {INSPECT_GRAPH: _export_image_graph(PublishedGraph(networks), networks.recipe.input.channels)}
    return {name: _write_graph(graph, folder / name) for name, graph in graphs.items()}


def _export_clear(networks: BundleNetworks) -> dict[str, onnx.ModelProto]:
    """Export the graph of each stage, and the graph that joins them."""
    stages = _export_denoiser(networks.denoiser, GlobalEncoderGraph(networks.denoiser), networks.channels)
    if networks.classifier:
        stages[CLASSIFIER_GRAPH] = _export_image_graph(ClassifierGraph(networks.classifier), networks.channels)
    return {INSPECT_GRAPH: _join_stages(stages), **stages}


def _export_distilled(networks: DistilledNetworks) -> dict[str, onnx.ModelProto]:
    """Export the student, and the graphs that denoise on demand."""
    inspect = _export_image_graph(StudentGraph(networks), networks.channels)
    stages = _export_denoiser(networks.denoiser, PeriodicNoiseGraph(networks.denoiser), networks.channels)
    return {INSPECT_GRAPH: inspect, **stages}


def _export_denoiser(
    denoiser: ClearDenoiser, global_graph: GlobalEncoderGraph | PeriodicNoiseGraph, channels: Channels
) -> dict[str, onnx.ModelProto]:
    """Export the graph of the whole image, and that of the detail U-Net."""
    waves, small = (torch.zeros(_EXAMPLE[0], THUMBNAIL_SIDE, THUMBNAIL_SIDE) for _ in range(2))
    conditioning = torch.zeros(_EXAMPLE[0], conditioning_size(denoiser.noise_types))
    place = torch.tensor([2 * _EXAMPLE[1], 2 * _EXAMPLE[2], 0, 8])
    batch = {0: _BATCH}
    detail = _export(
        DetailGraph(denoiser),
        [_example(channels), waves, small, conditioning, place],
        [_IMAGE_AXES, batch, batch, batch, {}],
    )
    return {GLOBAL_GRAPH: _export_image_graph(global_graph, channels), DETAIL_GRAPH: detail}


def _export_image_graph(module: ExportedModule, channels: Channels) -> onnx.ModelProto:
    """Export a network whose only input is a batch of images."""
    return _export(module, [_example(channels)], [_IMAGE_AXES])


def _example(channels: Channels) -> Tensor:
    return torch.zeros((*_EXAMPLE, channels.depth), dtype=torch.uint8)


def _export(module: ExportedModule, examples: Sequence[Tensor], axes: Sequence[dict[int, Dim]]) -> onnx.ModelProto:
    """Export a network as a graph, by example inputs of any shape and the dynamic axes of each input."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing, which is not needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code, and about names of axes
        program = torch.onnx.export(
            module.eval(),
            tuple(examples),
            dynamo=True,
            dynamic_shapes=tuple(axes),
            opset_version=_OPSET,
            input_names=list(module.inputs),
            output_names=list(module.outputs),
            verbose=False,
        )
        assert program is not None
        return program.model_proto


def _write_graph(graph: onnx.ModelProto, path: Path) -> GraphInterface:
    """Write a graph with its weights into one file, by atomic replacement; return its inputs and outputs."""
    onnx.checker.check_model(graph)
    with replace_file(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())
    inputs, outputs = ([value.name for value in values] for values in (graph.graph.input, graph.graph.output))
    return {"inputs": inputs, "outputs": outputs}


def _join_stages(stages: dict[str, onnx.ModelProto]) -> onnx.ModelProto:
    """Join the stages: the detail graph's window is the whole image, and the classifier gets the denoised image."""
    sources = {"survey.pictures": "pictures", "detail.window": "pictures", "judge.restored": "detail.restored"}
    sources |= {f"detail.{name}": f"survey.{name}" for name in ("waves", "small", "about")}
    outputs = ["survey.p_noise", "survey.levels", "survey.waves", "detail.restored"]
    outputs += ["judge.p_defect", "judge.evidence"] if CLASSIFIER_GRAPH in stages else []
    nodes = [
        helper.make_node("Shape", ["pictures"], ["size"], start=1, end=3),
        helper.make_node("Concat", ["size", "origin"], ["detail.place"], axis=0),
    ]
    values, weights = [], [numpy_helper.from_array(np.zeros(2, np.int64), "origin")]
    for name, stage in stages.items():
        graph = compose.add_prefix(stage, f"{name.removesuffix('.onnx')}.").graph
        assert not stage.functions
        joined = [value.name for value in graph.input if value.name in sources]
        nodes += [helper.make_node("Identity", [sources[value]], [value]) for value in joined]
        nodes += graph.node
        weights += graph.initializer
        values += [value for value in graph.output if value.name in outputs]
    nodes += [helper.make_node("Identity", [name], [name.split(".")[1]]) for name in outputs]
    for value in values:
        value.name = value.name.split(".")[1]
    first = stages[GLOBAL_GRAPH]
    whole = helper.make_graph(nodes, "inspect", [*first.graph.input], values, weights)
    return helper.make_model(whole, opset_imports=first.opset_import, ir_version=first.ir_version)
