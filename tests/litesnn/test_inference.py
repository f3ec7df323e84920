"""A frozen network against the network that it was made of."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.inference import freeze
from litesnn.network import Network
from litesnn.operations import OPERATIONS

BASE: dict[str, Any] = {
    "input_shape": (3, 6, 6),
    "classes": 5,
    "widths": (1, 2),
    "nodes": 2,
    "retrain_channels": 4,
    "search_channels": 4,
    "timesteps": 3,
    "aux_cell": 1,
}

CASES: dict[str, dict[str, Any]] = {
    "two nodes": {},
    "odd size": {"input_shape": (1, 7, 5)},
    "one timestep": {"timesteps": 1},
    "one pixel": {"input_shape": (1, 1, 1), "crop_padding": 0},
    "consecutive reductions": {"widths": (1, 2, 4), "input_shape": (3, 9, 7)},
    "reduction first": {"widths": (2, 4, 4)},
    "four nodes": {"nodes": 4, "retrain_channels": 8, "search_channels": 8},
    "conv1x1 on input edges": {"input_skip": "conv1x1", "widths": (1, 2, 4)},
    "one node": {"nodes": 1},
    "conv1x1": {"operations": ("conv1x1", "skip"), "widths": (1, 2, 4)},
    "all operations": {"operations": OPERATIONS, "nodes": 3, "retrain_channels": 12, "search_channels": 12},
}

BOTH_INPUTS_TWICE = (((0, "conv3x3"), (1, "skip")), ((0, "skip"), (1, "conv3x3")))
"""In the first cell, whose inputs are the same, each node reads one state along two edges."""


def drawn(recipe: Recipe, seed: int) -> Genotype:
    draw = random.Random(seed)
    nodes = tuple(
        tuple((source, draw.choice(recipe.operations)) for source in sorted(draw.sample(range(node + 2), 2)))
        for node in range(recipe.nodes)
    )
    bits = tuple(draw.choice(recipe.bit_widths) for _ in range(recipe.cells))
    return Genotype(nodes=nodes, bits=bits, timesteps=recipe.timesteps, p=draw.choice((0, 50, 80)))


def trained(recipe: Recipe, genotype: Genotype) -> Network:
    """A network in evaluation in which nothing has its initial value."""
    network = Network(recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype, auxiliary=True)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.6)
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            elif isinstance(module, CompConv):
                module.scores.normal_()
    return network.eval()


def lively(rates: Tensor | None) -> bool:
    return rates is not None and bool(((rates > 0.02) & (rates < 0.98)).double().mean() > 0.3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_same_logits_and_same_spikes(name: str, seed: int) -> None:
    recipe = Recipe(**{**BASE, **CASES[name]})
    torch.manual_seed(seed)
    network = trained(recipe, drawn(recipe, seed)).double()
    x = torch.randn(4, *recipe.input_shape, dtype=torch.float64)
    expected = network(x, recipe.timesteps, measure_rates=True)
    got = freeze(network)(x, recipe.timesteps, measure_rates=True)
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-10, atol=1e-12)
    # Rates are counts of spikes: one spike more or less in a state would show.
    torch.testing.assert_close(got.rates, expected.rates, rtol=0, atol=1e-12)
    assert name == "one pixel" or lively(got.rates)
    assert got.aux_logits is None and not got.logits.requires_grad


@pytest.mark.parametrize("seed", range(3))
def test_edges_that_read_one_state_are_one(seed: int) -> None:
    recipe = Recipe(**BASE)
    torch.manual_seed(seed)
    genotype = Genotype(nodes=BOTH_INPUTS_TWICE, bits=(2, 1), timesteps=3, p=50)
    network = trained(recipe, genotype).double()
    frozen = freeze(network)
    first = frozen._cells[0].convolutions[0][0]
    assert first.targets == (0, 1) and len(first.weight) == 4  # two nodes of two channels, from four edges
    x = torch.randn(4, *recipe.input_shape, dtype=torch.float64)
    torch.testing.assert_close(frozen(x, 3).logits, network(x, 3).logits, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 7])
def test_single_precision_gives_nearly_the_same_spikes(batch: int) -> None:
    recipe = Recipe(**{**BASE, "input_shape": (3, 9, 9), "retrain_channels": 8})
    torch.manual_seed(0)
    network = trained(recipe, drawn(recipe, 5))
    x = torch.randn(batch, *recipe.input_shape)
    with torch.no_grad():
        expected = network(x, 3, measure_rates=True)
    got = freeze(network)(x, 3, measure_rates=True)
    assert got.logits.dtype == torch.float32
    torch.testing.assert_close(got.rates, expected.rates, rtol=0, atol=0.01)
    torch.testing.assert_close(got.logits, expected.logits, rtol=0, atol=0.05)


def test_later_changes_do_not_reach_the_frozen_network() -> None:
    recipe = Recipe(**BASE)
    torch.manual_seed(0)
    network = trained(recipe, drawn(recipe, 0))
    x = torch.randn(2, *recipe.input_shape)
    frozen = freeze(network)
    before = frozen(x, 3).logits.clone()
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            tensor.mul_(2)
    assert torch.equal(frozen(x, 3).logits, before)
    assert not torch.equal(freeze(network)(x, 3).logits, before)


def test_training_mode_freezes_the_running_statistics() -> None:
    recipe = Recipe(**BASE)
    torch.manual_seed(0)
    network = trained(recipe, drawn(recipe, 0)).double()
    x = torch.randn(2, *recipe.input_shape, dtype=torch.float64)
    expected = network(x, 3).logits
    torch.testing.assert_close(freeze(network.train())(x, 3).logits, expected, rtol=1e-10, atol=1e-12)
    assert network.training
