"""Cells: how an edge mixes its operations (Eq. 3), and which nodes a state reaches (Eq. 2)."""

import itertools
from collections import defaultdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.cell import Cell, EdgeConvs
from litesnn.config import Recipe
from litesnn.layout import candidates, cell_shapes


def recipe(**overrides: Any) -> Recipe:
    fields: dict[str, Any] = {
        "input_shape": (1, 6, 6),
        "widths": (1, 2),
        "nodes": 2,
        "search_channels": 4,
        "retrain_channels": 4,
        "aux_cell": 0,
    }
    return Recipe(**{**fields, **overrides})


def supernet_cell(index: int, of: Recipe, seed: int = 0) -> Cell:
    torch.manual_seed(seed)
    cell = Cell(cell_shapes(of, 4)[index], candidates(of, None), of, (1, 2, 4), 50).eval()
    for module in cell.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # a norm that shifts and scales every channel differently
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                torch.nn.init.uniform_(tensor, 0.3, 1.5)
    return cell.double()


OPS = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.55, 0.45]], dtype=torch.float64)
BITS = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def test_an_edge_mixes_its_operations() -> None:
    """Each operation is a convolution and its own batch norm, then times its share (Eq. 3)."""
    cell = supernet_cell(1, recipe())
    checked = 0
    for convs in cell.convs:
        assert isinstance(convs, EdgeConvs)
        channels = convs.conv.weight.shape[2]
        x = torch.rand(4, channels, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        weights = convs.conv.compressed_weight(BITS).unflatten(0, convs.conv.weight.shape[:2])
        expected: dict[int, Tensor | float] = defaultdict(float)
        for number, member in enumerate(convs.members):
            current = F.conv2d(x, weights[number], stride=convs.conv.stride, padding=convs.conv.kernel // 2)
            part = slice(number * weights.shape[1], (number + 1) * weights.shape[1])
            norm = convs.norm
            assert norm.running_mean is not None and norm.running_var is not None
            mean, variance = norm.running_mean[part, None, None], norm.running_var[part, None, None]
            scale, shift = norm.weight[part, None, None], norm.bias[part, None, None]
            normalised = (current - mean) / (variance + 1e-5).sqrt() * scale + shift
            expected[member.node] = expected[member.node] + OPS[member.edge, member.op] * normalised
            checked += 1
        arriving: dict[int, Tensor | float] = defaultdict(float)
        for node, output in convs(x, OPS, BITS):
            arriving[node] = arriving[node] + output
        assert set(arriving) == set(expected)
        for node in expected:
            torch.testing.assert_close(arriving[node], expected[node])
    # 5 edges with a 3 x 3 convolution, and a second one in place of skip on the 4 edges from the cell's inputs.
    assert checked == 9


def test_batch_norm_takes_time_and_batch_together() -> None:
    cell = supernet_cell(1, recipe()).train()
    convs = cell.convs[0]
    assert isinstance(convs, EdgeConvs)
    torch.nn.init.ones_(convs.norm.weight)
    torch.nn.init.zeros_(convs.norm.bias)
    x = torch.rand(6, 4, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)  # T * B = 3 * 2
    for _, output in convs(x, None, BITS):
        means = output.mean((0, 2, 3))
        torch.testing.assert_close(means, torch.zeros_like(means), rtol=0, atol=1e-9)


def test_a_state_reaches_the_nodes_that_its_edges_lead_to() -> None:
    """An edge matters to node n exactly if it leads to n, or to an earlier node that n reads."""
    of = recipe()
    cell = supernet_cell(1, of)
    s0, s1 = (torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (1, 2))
    shares = OPS.clone().requires_grad_()
    _, nodes = cell(s0, s1, 1, shares, BITS)
    edges = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]
    for node in range(2):
        (grad,) = torch.autograd.grad(nodes[node].sum(), shares, retain_graph=True)
        reached = {edge for edge, row in zip(edges, grad, strict=True) if bool((row != 0).any())}
        assert reached == {edge for edge in edges if edge[1] <= node}


def test_the_output_concatenates_the_nodes() -> None:
    cell = supernet_cell(0, recipe())
    s = torch.rand(3 * 2, 4, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    output, nodes = cell(s, s, 3, OPS, BITS)
    assert output.shape == (6, 4, 6, 6) and len(nodes) == 2
    for k, node in enumerate(nodes):
        assert torch.equal(output[:, 2 * k : 2 * k + 2], node)
        assert set(node.unique().tolist()) == {0.0, 1.0}


def test_skip_between_nodes_is_the_identity() -> None:
    """Node 1 hears node 0 through skip alone and fires where node 0 does, if the share exceeds the threshold."""
    of = recipe()
    cell = supernet_cell(0, of)
    s = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def nodes(share: float) -> list[Tensor]:
        ops = OPS.clone()
        ops[2:] = 0
        ops[4, 1] = share
        spikes: list[Tensor] = cell(s, s, 1, ops, BITS)[1]
        return spikes

    first, second = nodes(0.51)
    assert first.sum() > 0 and torch.equal(first, second)
    first, second = nodes(0.49)
    assert first.sum() > 0 and second.sum() == 0


def test_reduction_halves_whatever_is_larger() -> None:
    of = recipe(widths=(1, 2, 4))
    cell = supernet_cell(2, of)  # its inputs: 4 channels at 6 x 6 and 8 channels at 3 x 3
    s0 = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    s1 = torch.rand(2, 8, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert cell(s0, s1, 1, OPS, BITS)[0].shape == (2, 16, 2, 2)


def test_input_skip_is_a_convolution_of_the_chosen_size() -> None:
    for input_skip, sides in (("conv3x3", {(0, 3): 4, (1, 3): 4, (2, 3): 1}), ("conv1x1", None)):
        cell = supernet_cell(1, recipe(input_skip=input_skip))
        built = {(read, c.conv.kernel): len(c.members) for read, c in zip(cell.reads, cell.convs, strict=True)}  # type: ignore[union-attr]
        expected = sides or {key: 2 for key in itertools.product((0, 1), (1, 3))} | {(2, 3): 1}
        assert built == expected
