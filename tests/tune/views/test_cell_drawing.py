"""The drawing says what the genotype says, and its parts do not lie on each other."""

import xml.etree.ElementTree as ET

import pytest

from litesnn import Genotype
from litesnn.operations import OPERATIONS
from tune.views.cell_drawing import draw_cell, in_words

SVG = "{http://www.w3.org/2000/svg}"
C, S = "conv3x3", "skip"
SMALL = Genotype(nodes=(((0, C), (1, S)), ((1, S), (2, C))), bits=(4, 1, 2), timesteps=3, p=50.0)
LARGE = Genotype(
    nodes=(((0, C), (1, S)), ((0, C), (2, S)), ((1, C), (3, S)), ((2, C), (4, C))), bits=(1,) * 8, timesteps=6
)
OTHERS = Genotype(nodes=(((0, "conv1x1"), (1, S)), ((1, C), (2, "dwconv3x3"))), bits=(2,), timesteps=1)
SAME_INPUT = Genotype(nodes=(((0, C), (1, C)), ((0, C), (2, S))), bits=(2,), timesteps=1)


def elements(genotype: Genotype, name: str, tag: str) -> list[ET.Element]:
    drawing = draw_cell(genotype, name).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return list(ET.fromstring(drawing).iter(SVG + tag))


@pytest.mark.parametrize("genotype", [SMALL, LARGE, SAME_INPUT, OTHERS])
def test_one_circle_per_node_and_one_box_per_operation_and_cell(genotype: Genotype) -> None:
    circles = [e for e in elements(genotype, "n", "circle") if e.get("class") == "node"]
    boxes = elements(genotype, "n", "rect")
    assert len(circles) == len(genotype.nodes)
    assert sum(e.get("class") == "op" for e in boxes) == 2 * len(genotype.nodes)
    assert sum(e.get("class") == "bits" for e in boxes) == len(genotype.bits)


@pytest.mark.parametrize("genotype", [SMALL, LARGE, SAME_INPUT, OTHERS])
def test_operations_and_bits_are_written_in_order(genotype: Genotype) -> None:
    texts = [e.text for e in elements(genotype, "n", "text")]
    assert [t for t in texts if t in OPERATIONS] == [op for pairs in genotype.nodes for _, op in pairs]
    assert texts[-len(genotype.bits) :] == [str(bits) for bits in genotype.bits]


@pytest.mark.parametrize("genotype", [SMALL, LARGE, SAME_INPUT, OTHERS])
def test_boxes_and_nodes_do_not_overlap_and_lie_inside(genotype: Genotype) -> None:
    drawing = elements(genotype, "n", "svg")[0]
    areas = []
    for e in elements(genotype, "n", "rect"):
        x, y, w, h = (float(e.get(k, "")) for k in ("x", "y", "width", "height"))
        areas.append((x, y, x + w, y + h))
    for e in elements(genotype, "n", "circle"):
        if e.get("class") == "node":
            x, y, r = (float(e.get(k, "")) for k in ("cx", "cy", "r"))
            areas.append((x - r, y - r, x + r, y + r))
    for i, a in enumerate(areas):
        assert a[0] >= 0 and a[1] >= 0
        assert a[2] <= float(drawing.get("width", "")) and a[3] <= float(drawing.get("height", ""))
        for b in areas[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_skips_alone_are_dashed() -> None:
    boxes = [e for e in elements(OTHERS, "n", "rect") if e.get("class") == "op"]
    assert [e.get("stroke-dasharray") is not None for e in boxes] == [False, True, False, False]


def test_every_branch_starts_on_the_wire_of_its_input() -> None:
    nodes = [e for e in elements(LARGE, "n", "circle") if e.get("class") == "node"]
    dots = [e for e in elements(LARGE, "n", "circle") if e.get("class") != "node"]
    node_x = [e.get("cx") for e in nodes]
    sources = [source for pairs in LARGE.nodes for source, _ in pairs]
    assert len(dots) == len(sources)
    for dot, source in zip(dots, sources, strict=True):
        if source >= 2:
            assert dot.get("cx") == node_x[source - 2]
        else:
            assert dot.get("cx") not in node_x


def test_in_words() -> None:
    assert in_words(SMALL) == (
        "node 0 = conv3x3(input 0) + skip(input 1); node 1 = skip(input 1) + conv3x3(node 0); bits per cell 4 1 2"
    )


def test_name_is_escaped() -> None:
    drawing = draw_cell(SMALL, '"><script>alert(1)</script>')
    assert "<script" not in drawing
    assert ET.fromstring(drawing).get("aria-label", "").startswith('"><script>alert(1)</script>: node 0')


def test_a_long_name_is_written_smaller_and_others_as_ever() -> None:
    sizes = {e.text: e.get("font-size") for e in elements(OTHERS, "n", "text")}
    assert (sizes["dwconv3x3"], sizes["conv1x1"], sizes["conv3x3"]) == ("10", None, None)
