"""Shapes against Table 1 of the paper, and against the modules that are really built."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from litesnn.cell import EdgeConvs
from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import cell_shapes, conv_shapes
from litesnn.network import ArchParameters, Network
from litesnn.operations import OPERATIONS

# Table 1: (width factor, height, width) of every cell.
CIFAR = [(1, 32, 32)] * 2 + [(2, 16, 16)] * 3 + [(4, 8, 8)] * 3
GSC = [(1, 40, 98)] * 2 + [(2, 20, 49)] * 2 + [(4, 10, 25)] * 2


@pytest.mark.parametrize(("preset", "table"), [("cifar10", CIFAR), ("cifar100", CIFAR), ("gsc", GSC)])
@pytest.mark.parametrize("nodes", [4, 3])
def test_table_1(preset: str, table: list[tuple[int, int, int]], nodes: int) -> None:
    recipe = Recipe.preset(preset, nodes=nodes, search_channels=48)
    shapes = cell_shapes(recipe, 48)
    assert [(s.node_channels * nodes // 48, s.height, s.width) for s in shapes] == table
    inputs = [48, 48, *(48 * factor for factor, _, _ in table)]
    assert [s.in_channels for s in shapes] == list(zip(inputs[:-2], inputs[1:-1], strict=True))


@pytest.mark.parametrize(
    ("widths", "strides"),
    [
        ((1, 1, 2, 2, 2, 4, 4, 4), [(1, 1), (1, 1), (2, 2), (2, 1), (1, 1), (2, 2), (2, 1), (1, 1)]),
        ((1, 2, 4), [(1, 1), (2, 2), (4, 2)]),  # the first cell's output is two resolutions above the third cell
        ((2, 4, 4), [(2, 2), (4, 2), (2, 1)]),  # the first cell reduces already; the second still reads the stem
        ((1,), [(1, 1)]),
    ],
)
def test_strides(widths: tuple[int, ...], strides: list[tuple[int, int]]) -> None:
    recipe = Recipe(widths=widths, nodes=2, search_channels=4, retrain_channels=4, aux_cell=0)
    assert [shape.strides for shape in cell_shapes(recipe, 4)] == strides


def recipe(**overrides: Any) -> Recipe:
    fields: dict[str, Any] = {"nodes": 2, "search_channels": 6, "retrain_channels": 6, "aux_cell": 0, "timesteps": 1}
    return Recipe(**{**fields, **overrides})


RECIPES = [
    recipe(widths=(1, 2, 4), input_shape=(3, 9, 7)),
    recipe(widths=(1, 2, 4), input_shape=(1, 5, 13), input_skip="conv1x1"),
    recipe(widths=(2, 4, 4), input_shape=(2, 11, 6), nodes=3),
    recipe(widths=(2, 4, 8), input_shape=(1, 10, 25), nodes=1),
    recipe(widths=(1, 1, 2, 2, 2, 4, 4, 4), input_shape=(3, 16, 15)),
    recipe(widths=(1, 2, 4), input_shape=(3, 9, 7), operations=OPERATIONS, nodes=3),
    recipe(widths=(2, 4), input_shape=(3, 9, 7), operations=("dwconv3x3", "conv1x1")),
]


def genotype(of: Recipe) -> Genotype:
    """Mixes two operations; the last node reads the one before it where there is one."""
    one, other = of.operations[0], of.operations[-1]
    nodes = [((max(0, j), one), (j + 1, other)) if j else ((0, other), (1, one)) for j in range(of.nodes)]
    return Genotype(nodes=tuple(nodes), bits=(2,) * of.cells, timesteps=1, p=0)


def networks(of: Recipe) -> list[tuple[Network, Genotype | None]]:
    torch.manual_seed(0)
    return [(Network(of, 6, 5, 0, None), None), (Network(of, 6, 5, 0, genotype(of)), genotype(of))]


@pytest.mark.parametrize("of", RECIPES, ids=range(len(RECIPES)))
def test_weights_add_up_to_those_of_the_network(of: Recipe) -> None:
    for network, derived in networks(of):
        built = sum(m.weight.numel() for m in network.modules() if isinstance(m, CompConv))
        assert built == sum(shape.weights for shape in conv_shapes(of, 6, 5, derived))


@pytest.mark.parametrize("of", RECIPES, ids=range(len(RECIPES)))
def test_every_convolution_of_the_network_has_the_shape_that_the_layout_says(of: Recipe) -> None:
    for network, derived in networks(of):
        expected = {(s.cell, s.edge, s.op): s for s in conv_shapes(of, 6, 5, derived) if s.cell is not None}
        seen = set()

        def check(module: nn.Module, arguments: tuple[Any, ...], output: list[tuple[int, Tensor]]) -> None:
            assert isinstance(module, EdgeConvs)
            assert {node for node, _ in output} == {member.node for member in module.members}
            for member in module.members:
                shape = expected[cell, member.edge, member.op]  # noqa: B023  (called inside this iteration)
                seen.add((cell, member.edge, member.op))  # noqa: B023
                for _, out in output:
                    assert tuple(out.shape[1:]) == (shape.out_channels, shape.height, shape.width)
                assert (module.conv.kernel, module.conv.groups) == (shape.kernel, shape.groups)
                assert arguments[0].shape[1] == shape.in_channels

        def enter(index: int) -> Any:
            def hook(*_: Any) -> None:
                nonlocal cell
                cell = index

            return hook

        cell = -1
        for index, module in enumerate(network.cells):
            module.register_forward_pre_hook(enter(index))
            for convs in module.convs:
                convs.register_forward_hook(check)
        shares = None if derived else ArchParameters(of).shares()
        network(torch.rand(2, *of.input_shape), 1, shares)
        assert seen == set(expected)


def test_stem_and_classifier() -> None:
    of = Recipe.preset("gsc")
    layers = conv_shapes(of, 48, 12, None)
    stem, classifier = layers[0], layers[-1]
    assert (stem.weights, stem.positions, stem.reads, stem.bits) == (9 * 48, 40 * 98, (), 4)
    assert (classifier.weights, classifier.positions, classifier.bits) == (4 * 48 * 12, 1, 4)
    # 6 cells of 4 nodes after the stem's row 0: the last cell's nodes are rows 21 to 24.
    assert classifier.reads == (21, 22, 23, 24)


def test_which_states_an_edge_reads() -> None:
    of = recipe(widths=(1, 2, 4), input_shape=(3, 9, 7))  # rows: 0 stem, 1 2 cell 1, 3 4 cell 2, 5 6 cell 3
    reads = {(s.cell, s.edge): s.reads for s in conv_shapes(of, 6, 5, None) if s.cell is not None}
    # Edges 0 1: inputs to node 0; 2 3: inputs to node 1; 4: node 0 to node 1.
    assert [reads[0, edge] for edge in (0, 1, 2, 3, 4)] == [(0,), (0,), (0,), (0,), (1,)]
    assert [reads[1, edge] for edge in (0, 1, 4)] == [(0,), (1, 2), (3,)]
    assert [reads[2, edge] for edge in (0, 1, 4)] == [(1, 2), (3, 4), (5,)]
