import re

import pytest

from clearcast.metrics.results import LayerInfo
from clearcast.report.stage_panels import draw_network
from tests.report.parsed_page import Element, parse
from tests.report.sample_run import CLASSIFIER, DENOISER


def _drawn(layers: list[LayerInfo]) -> Element:
    return parse(str(draw_network(layers, "Network")))


@pytest.mark.parametrize("layers", [CLASSIFIER, DENOISER, DENOISER * 3], ids=["classifier", "denoiser", "long"])
def test_drawing_shows_each_layer_and_the_total(layers: list[LayerInfo]) -> None:
    svg = _drawn(layers)
    texts = [" ".join(span.text for span in text.find("tspan")) for text in svg.find("text")]
    assert len(texts) == len(layers)
    for words, layer in zip(texts, layers, strict=True):
        assert words.startswith(f"{layer['name']} {layer['kind']}")
        assert all(detail in words for detail in layer["details"].split(", "))
        assert " × ".join(map(str, layer["output"])) in words
        assert (f"{layer['parameters']:,} param." if layer["parameters"] else "no parameters") in words
    total = sum(layer["parameters"] for layer in layers)
    assert svg.find("title")[0].text == f"Network: {len(layers)} layers, {total:,} parameters"


def test_denoiser_is_narrowest_at_its_bottleneck() -> None:
    heights = [float(rectangle.attributes["height"] or 0) for rectangle in _drawn(DENOISER).find("rect")]
    assert heights[:5] == sorted(heights[:5], reverse=True)
    assert heights[4:] == sorted(heights[4:])
    assert max(heights) / min(heights) == pytest.approx(2, rel=0.01)  # the square root of 256 / 64


def test_drawing_stays_inside_its_frame() -> None:
    svg = _drawn(DENOISER * 3).children[0]
    _, _, width, height = map(float, str(svg.attributes["viewbox"]).split())
    assert all(0 <= float(item.attributes["x"] or 0) <= width for item in svg.find("tspan"))
    tops = [float(re.findall(r"[\d.]+\)", item.attributes["transform"] or "")[0][:-1]) for item in svg.children[1:]]
    assert max(tops) < height


def test_long_and_hostile_names_are_folded_and_escaped() -> None:
    layer = LayerInfo(name="<script>" + "a" * 40, kind="Conv2d", details="", output=[1], parameters=0)
    assert "<script" not in draw_network([layer], "Network")
    assert all(len(item.text) <= 16 for item in _drawn([layer]).find("tspan"))
