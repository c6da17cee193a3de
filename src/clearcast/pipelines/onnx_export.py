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
from clearcast.nn.noise_heads import THUMBNAIL_SIDE, conditioning_size
from clearcast.nn.restorer import SMALLEST_IMAGE_SIDE, ClearDenoiser
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
_LONGEST = 1 << 15  # pixels a side
_BATCH = Dim("batch", min=1, max=1 << 12)
_IMAGE_AXES = {
    0: _BATCH,
    1: Dim("height", min=SMALLEST_IMAGE_SIDE, max=_LONGEST),
    2: Dim("width", min=SMALLEST_IMAGE_SIDE, max=_LONGEST),
}
_EXAMPLE = (2, 100, 124)  # images, height and width for tracing; any would do


def write_onnx_graphs(
    networks: BundleNetworks | DistilledNetworks | PublishedNetworks, folder: Path
) -> dict[str, GraphInterface]:
    """Write a bundle's networks as ONNX graphs.

    Returns:
        the inputs and outputs of each file, for the manifest.
    """
    match networks:
        case BundleNetworks():
            graphs = _graphs_of_networks(networks)
        case DistilledNetworks():
            inspect = export_to_onnx(StudentGraph(networks), [_example(networks.channels)], [_IMAGE_AXES])
            waves = PeriodicNoiseGraph(networks.restorer)
            graphs = {INSPECT_GRAPH: inspect, **_denoising_graphs(networks.restorer, waves, networks.channels)}
        case PublishedNetworks():
            images = _example(networks.recipe.input.channels)
            graphs = {INSPECT_GRAPH: export_to_onnx(PublishedGraph(networks), [images], [_IMAGE_AXES])}
    return {name: write_onnx_graph(graph, folder / name) for name, graph in graphs.items()}


def _graphs_of_networks(networks: BundleNetworks) -> dict[str, onnx.ModelProto]:
    """The graphs of each stage, and one that joins them."""
    parts = _denoising_graphs(networks.restorer, GlobalEncoderGraph(networks.restorer), networks.channels)
    if networks.verdicts:
        parts[CLASSIFIER_GRAPH] = export_to_onnx(
            ClassifierGraph(networks.verdicts), [_example(networks.channels)], [_IMAGE_AXES]
        )
    return {INSPECT_GRAPH: _joined(**{name.removesuffix(".onnx"): part for name, part in parts.items()}), **parts}


def _denoising_graphs(
    restorer: ClearDenoiser, survey: GlobalEncoderGraph | PeriodicNoiseGraph, channels: Channels
) -> dict[str, onnx.ModelProto]:
    images, detail = _example(channels), DetailGraph(restorer)
    waves, small = (torch.zeros(_EXAMPLE[0], THUMBNAIL_SIDE, THUMBNAIL_SIDE) for _ in range(2))
    about = torch.zeros(_EXAMPLE[0], conditioning_size(restorer.noise_types))
    place = torch.tensor([2 * _EXAMPLE[1], 2 * _EXAMPLE[2], 0, 8])
    each = {0: _BATCH}
    return {
        GLOBAL_GRAPH: export_to_onnx(survey, [images], [_IMAGE_AXES]),
        DETAIL_GRAPH: export_to_onnx(detail, [images, waves, small, about, place], [_IMAGE_AXES, each, each, each, {}]),
    }


def _example(channels: Channels) -> Tensor:
    return torch.zeros((*_EXAMPLE, channels.depth), dtype=torch.uint8)


def export_to_onnx(
    module: ExportedModule, examples: Sequence[Tensor], shapes: Sequence[dict[int, Dim]]
) -> onnx.ModelProto:
    """Export a network as a graph.

    Args:
        module: the network.
        examples: its inputs, of arbitrary shapes.
        shapes: the dynamic axes of each input.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing, which is not needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code, and about names of axes
        program = torch.onnx.export(
            module.eval(),
            tuple(examples),
            dynamo=True,
            dynamic_shapes=tuple(shapes),
            opset_version=_OPSET,
            input_names=list(module.inputs),
            output_names=list(module.outputs),
            verbose=False,
        )
        assert program is not None
        return program.model_proto


def write_onnx_graph(graph: onnx.ModelProto, path: Path) -> GraphInterface:
    """Write a graph with its weights into one file, whole or not at all; return its inputs and outputs."""
    onnx.checker.check_model(graph)
    with replace_file(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())
    inputs, outputs = ([value.name for value in values] for values in (graph.graph.input, graph.graph.output))
    return {"inputs": inputs, "outputs": outputs}


def _joined(survey: onnx.ModelProto, detail: onnx.ModelProto, judge: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """Join the stages: the detail graph's window is the whole image, and the classifier gets the denoised image."""
    parts = {"survey": survey, "detail": detail} | ({"judge": judge} if judge else {})
    wires = {"survey.pictures": "pictures", "detail.window": "pictures", "judge.restored": "detail.restored"}
    wires |= {f"detail.{name}": f"survey.{name}" for name in ("waves", "small", "about")}
    outputs = ["survey.p_noise", "survey.levels", "survey.waves", "detail.restored"]
    outputs += ["judge.p_defect", "judge.evidence"] if judge else []
    nodes = [
        helper.make_node("Shape", ["pictures"], ["size"], start=1, end=3),
        helper.make_node("Concat", ["size", "origin"], ["detail.place"], axis=0),
    ]
    values, weights = [], [numpy_helper.from_array(np.zeros(2, np.int64), "origin")]
    for name, part in parts.items():
        graph = compose.add_prefix(part, f"{name}.").graph
        assert not part.functions
        wired = [value.name for value in graph.input if value.name in wires]
        nodes += [helper.make_node("Identity", [wires[value]], [value]) for value in wired]
        nodes += graph.node
        weights += graph.initializer
        values += [value for value in graph.output if value.name in outputs]
    nodes += [helper.make_node("Identity", [name], [name.split(".")[1]]) for name in outputs]
    for value in values:
        value.name = value.name.split(".")[1]
    whole = helper.make_graph(nodes, "inspect", [*survey.graph.input], values, weights)
    return helper.make_model(whole, opset_imports=survey.opset_import, ir_version=survey.ir_version)
