"""Drawing of a network from its list of layers: one block a layer, its height by the width of the output."""

import math
import textwrap
from dataclasses import dataclass

from markupsafe import Markup

from clearcast.evaluation.results import Layer
from clearcast.report.templating import render

_LAYER_WIDTH = 98  # pixels for one layer, enough for its widest word
_MAX_HEIGHT = 132  # of a block
_LINE_HEIGHT = 14
_MAX_LETTERS = 16  # of a line of text
_LAYERS_PER_ROW = 12
_FAMILIES = {"transpose": "up", "upsample": "up", "shuffle": "up", "conv": "conv", "pool": "pool", "linear": "dense"}


@dataclass(frozen=True)
class Block:
    """One drawn layer: a rectangle with lines of text below, as (words, style)."""

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
    """One line of blocks: its ``top``, its ``axis``, and the top of its texts."""

    top: int
    axis: float
    texts: float
    blocks: tuple[Block, ...]


def draw(layers: list[Layer], title: str) -> Markup:
    """Draw a network as SVG: name, kind, details, output shape and parameters of each layer, and the total."""
    count = math.ceil(len(layers) / _LAYERS_PER_ROW)
    per_row = math.ceil(len(layers) / count)
    rows: list[Row] = []
    top = 0
    for start in range(0, len(layers), per_row):
        blocks = tuple(_block(layer, place, layers) for place, layer in enumerate(layers[start : start + per_row]))
        rows.append(Row(top, _MAX_HEIGHT / 2, _MAX_HEIGHT + 20, blocks))
        top += _MAX_HEIGHT + 40 + _LINE_HEIGHT * max(len(block.lines) for block in blocks)
    total = sum(layer["parameters"] for layer in layers)
    return render(
        "architecture.svg.j2",
        rows=rows,
        width=per_row * _LAYER_WIDTH,
        height=top,
        slot=_LAYER_WIDTH,
        line=_LINE_HEIGHT,
        title=title,
        total=total,
        count=len(layers),
    )


def shape(layer: Layer) -> str:
    """Format the output shape of a layer.

    >>> shape({"name": "c", "kind": "Conv2d", "details": "", "output": [16, 64, 64], "parameters": 0})
    '16 × 64 × 64'
    """
    return " × ".join(str(size) for size in layer["output"])


def _block(layer: Layer, place: int, layers: list[Layer]) -> Block:
    width, height = _size(layer, layers)
    middle = (place + 0.5) * _LAYER_WIDTH
    kind = layer["kind"].lower()
    return Block(
        x=middle - width / 2,
        y=(_MAX_HEIGHT - height) / 2,
        width=width,
        height=height,
        family=next((family for word, family in _FAMILIES.items() if word in kind), "other"),
        middle=middle,
        description=f"{layer['name']}: {layer['kind']} ({layer['details'] or 'no settings'}), "
        f"output {shape(layer)}, {layer['parameters']:,} parameters",
        lines=_lines(layer),
    )


def _size(layer: Layer, layers: list[Layer]) -> tuple[float, float]:
    """Width and height of a block: by the logarithm of the channels and by pixels (or length, without pixels)."""
    channels, *pixels = layer["output"]
    if not pixels:
        return 8, 12 + 5 * math.log2(channels)
    largest = max(max(other["output"][1:], default=1) for other in layers)
    return 10 + 7 * math.log2(channels), max(4, _MAX_HEIGHT * math.sqrt(max(pixels) / largest))


def _lines(layer: Layer) -> tuple[tuple[str, str], ...]:
    styled = [
        (layer["name"], "name"),
        (layer["kind"], "kind"),
        *((detail, "detail") for detail in layer["details"].split(", ") if detail),
        (shape(layer), "shape"),
        (f"{layer['parameters']:,} param." if layer["parameters"] else "no parameters", "detail"),
    ]
    return tuple((words, style) for text, style in styled for words in textwrap.wrap(text, _MAX_LETTERS))
