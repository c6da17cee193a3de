"""A network drawn from its own list of layers: one block a layer, as high as its output is wide in pixels."""

import math
import textwrap
from dataclasses import dataclass

from markupsafe import Markup

from clearcast.evaluation.results import Layer
from clearcast.report.templating import render

_SLOT = 98  # pixels for one layer: what its widest word needs
_STAGE = 132  # height of the tallest block
_LINE = 14
_LETTERS = 16  # letters of a label that fit into a slot
_PER_ROW = 12
_FAMILIES = {"transpose": "up", "upsample": "up", "shuffle": "up", "conv": "conv", "pool": "pool", "linear": "dense"}


@dataclass(frozen=True)
class Block:
    """One drawn layer: a rectangle and, below it, lines of text as (words, style)."""

    x: float
    y: float
    width: float
    height: float
    family: str
    middle: float
    description: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """Blocks on one line of the drawing: ``top`` of the line, its ``axis``, and where its texts begin."""

    top: int
    axis: float
    texts: float
    blocks: tuple[Block, ...]


def draw(layers: list[Layer], title: str) -> Markup:
    """Draw a network as SVG: names, kinds, details, output shapes, parameters of each layer and of all."""
    count = math.ceil(len(layers) / _PER_ROW)
    per_row = math.ceil(len(layers) / count)
    rows: list[Row] = []
    top = 0
    for start in range(0, len(layers), per_row):
        blocks = tuple(_block(layer, place, layers) for place, layer in enumerate(layers[start : start + per_row]))
        rows.append(Row(top, _STAGE / 2, _STAGE + 20, blocks))
        top += _STAGE + 40 + _LINE * max(len(block.lines) for block in blocks)
    total = sum(layer["parameters"] for layer in layers)
    return render(
        "architecture.svg.j2", rows=rows, width=per_row * _SLOT, height=top, slot=_SLOT, line=_LINE, title=title,
        total=total, count=len(layers),
    )  # fmt: skip


def shape(layer: Layer) -> str:
    """A layer's output as people write it.

    >>> shape({"name": "c", "kind": "Conv2d", "details": "", "output": [16, 64, 64], "parameters": 0})
    '16 × 64 × 64'
    """
    return " × ".join(str(size) for size in layer["output"])


def _block(layer: Layer, place: int, layers: list[Layer]) -> Block:
    width, height = _size(layer, layers)
    middle = (place + 0.5) * _SLOT
    kind = layer["kind"].lower()
    return Block(
        x=middle - width / 2,
        y=(_STAGE - height) / 2,
        width=width,
        height=height,
        family=next((family for word, family in _FAMILIES.items() if word in kind), "other"),
        middle=middle,
        description=f"{layer['name']}: {layer['kind']} ({layer['details'] or 'no settings'}), "
        f"output {shape(layer)}, {layer['parameters']:,} parameters",
        lines=_lines(layer),
    )


def _size(layer: Layer, layers: list[Layer]) -> tuple[float, float]:
    """Width by channels, on a logarithmic scale; height by pixels, or by length for an output without pixels."""
    channels, *pixels = layer["output"]
    if not pixels:
        return 8, 12 + 5 * math.log2(channels)
    largest = max(max(other["output"][1:], default=1) for other in layers)
    return 10 + 7 * math.log2(channels), max(4, _STAGE * math.sqrt(max(pixels) / largest))


def _lines(layer: Layer) -> tuple[tuple[str, str], ...]:
    styled = [
        (layer["name"], "name"),
        (layer["kind"], "kind"),
        *((detail, "detail") for detail in layer["details"].split(", ") if detail),
        (shape(layer), "shape"),
        (f"{layer['parameters']:,} param." if layer["parameters"] else "no parameters", "detail"),
    ]
    return tuple((words, style) for text, style in styled for words in textwrap.wrap(text, _LETTERS))
