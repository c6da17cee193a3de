"""Write a bundle's networks as ONNX graphs, which need no torch to run."""

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

from clearcast.bundle.graphs import DetailGraph, ExportedModule, GlanceGraph, JudgeGraph, SurveyGraph, WavesGraph
from clearcast.bundle.networks import Distilled, Networks
from clearcast.bundle.published import Published, PublishedGraph
from clearcast.files import replace_file
from clearcast.imaging import Channels
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import SMALLEST
from clearcast.models.clear.sense import conditioning_size
from clearcast.models.clear.waves import SIDE
from clearcast.runtime.manifest import Graph
from clearcast.runtime.model import DETAIL, INSPECT, JUDGE, SURVEY

_OPSET = 18
_LONGEST = 1 << 15  # pixels a side
_BATCH = Dim("batch", min=1, max=1 << 12)
_PICTURES = {0: _BATCH, 1: Dim("height", min=SMALLEST, max=_LONGEST), 2: Dim("width", min=SMALLEST, max=_LONGEST)}
_EXAMPLE = (2, 100, 124)  # pictures, height and width that are traced with; any would do


def write_graphs(networks: Networks, folder: Path) -> dict[str, Graph]:
    """Write the parts and the whole of them.

    Returns:
        for the manifest, what each file takes and gives.
    """
    parts = _restoring(networks.restorer, SurveyGraph(networks.restorer), networks.channels)
    if networks.verdicts:
        parts[JUDGE] = exported(JudgeGraph(networks.verdicts), [_example(networks.channels)], [_PICTURES])
    graphs = {INSPECT: _joined(**{name.removesuffix(".onnx"): part for name, part in parts.items()}), **parts}
    return {name: write_graph(graph, folder / name) for name, graph in graphs.items()}


def write_distilled(networks: Distilled, folder: Path) -> dict[str, Graph]:
    """Write what inspects at a glance and, apart from it, what restores on demand."""
    inspect = exported(GlanceGraph(networks), [_example(networks.channels)], [_PICTURES])
    graphs = {INSPECT: inspect, **_restoring(networks.restorer, WavesGraph(networks.restorer), networks.channels)}
    return {name: write_graph(graph, folder / name) for name, graph in graphs.items()}


def _restoring(restorer: Restorer, survey: SurveyGraph | WavesGraph, channels: Channels) -> dict[str, onnx.ModelProto]:
    pictures, detail = _example(channels), DetailGraph(restorer)
    waves, small = (torch.zeros(_EXAMPLE[0], SIDE, SIDE) for _ in range(2))
    about = torch.zeros(_EXAMPLE[0], conditioning_size(restorer.noise_types))
    place = torch.tensor([2 * _EXAMPLE[1], 2 * _EXAMPLE[2], 0, 8])
    each = {0: _BATCH}
    return {
        SURVEY: exported(survey, [pictures], [_PICTURES]),
        DETAIL: exported(detail, [pictures, waves, small, about, place], [_PICTURES, each, each, each, {}]),
    }


def _example(channels: Channels) -> Tensor:
    return torch.zeros((*_EXAMPLE, channels.depth), dtype=torch.uint8)


def write_published(networks: Published, folder: Path) -> dict[str, Graph]:
    """Write the published networks, which look at pictures of one size, as one graph."""
    pictures = torch.zeros((*_EXAMPLE, networks.recipe.input.channels.depth), dtype=torch.uint8)
    graph = exported(PublishedGraph(networks), [pictures], [_PICTURES])
    return {INSPECT: write_graph(graph, folder / INSPECT)}


def exported(module: ExportedModule, examples: Sequence[Tensor], shapes: Sequence[dict[int, Dim]]) -> onnx.ModelProto:
    """A network as a graph.

    Args:
        module: in evaluation mode.
        examples: what it takes, of shapes that are nothing special.
        shapes: which axes of each may be of any length.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which is not needed
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


def write_graph(graph: onnx.ModelProto, path: Path) -> Graph:
    """Write a graph with its weights into one file, whole or not at all, and say what it takes and gives."""
    onnx.checker.check_model(graph)
    with replace_file(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())
    taken, given = ([value.name for value in values] for values in (graph.graph.input, graph.graph.output))
    return {"inputs": taken, "outputs": given}


def _joined(survey: onnx.ModelProto, detail: onnx.ModelProto, judge: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """The whole of the parts: the detail graph's window is the whole picture, and the judge sees what it restored."""
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
        taken = [value.name for value in graph.input if value.name in wires]
        nodes += [helper.make_node("Identity", [wires[value]], [value]) for value in taken]
        nodes += graph.node
        weights += graph.initializer
        values += [value for value in graph.output if value.name in outputs]
    nodes += [helper.make_node("Identity", [name], [name.split(".")[1]]) for name in outputs]
    for value in values:
        value.name = value.name.split(".")[1]
    whole = helper.make_graph(nodes, "inspect", [*survey.graph.input], values, weights)
    return helper.make_model(whole, opset_imports=survey.opset_import, ir_version=survey.ir_version)
