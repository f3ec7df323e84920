"""Sizes of files before there is a file: against counting by hand, against real files, and in the loss."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from litesnn.config import Recipe
from litesnn.cost import CostModel, derived_cost
from litesnn.export.convert import pack, pack_exactly
from litesnn.export.sizes import estimated_bits, measure_sizes
from litesnn.file_size import (
    BIAS_BITS,
    HEADER_BITS,
    RATE_BITS,
    SCALE_BITS,
    estimated_file_bits,
    largest_file_bits,
    short_bits,
)
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.network import Network, Shares

CELL = (((0, "conv3x3"), (1, "skip")), ((0, "conv3x3"), (2, "skip")))
RECIPE = Recipe.preset("digits", widths=(1, 2), search_channels=4, retrain_channels=4, timesteps=2, size="file")


def positions(weights: int, p: float) -> float:
    return math.log2(math.comb(weights, round(weights * (1 - p / 100))))


def test_by_hand() -> None:
    """Stem 36, cells of 2 and 4 channels a node on states of 4 channels, classifier 80 weights; half of each is kept."""
    genotype = Genotype(nodes=CELL, bits=(1, 4), timesteps=2, p=50)
    # cell 1: two conv3x3 and a skip from inputs of 4 channels to nodes of 2; cell 2: the same, inputs of 4, nodes of 4
    layers = [(36, 4, 4), *[(9 * 4 * 2, 1, 2)] * 3, *[(9 * 4 * 4, 4, 4)] * 3, (8 * 10, 4, 0)]
    bits = sum(weights // 2 * b + positions(weights, 50) + SCALE_BITS * (filters + 1) for weights, b, filters in layers)
    bits += BIAS_BITS * (4 + 4 + 8) + RATE_BITS * 5 * 2 + HEADER_BITS
    assert largest_file_bits(genotype, RECIPE) == pytest.approx(bits, abs=1)


@pytest.mark.parametrize(
    ("bits", "p", "mask_n", "timesteps"),
    [
        ((1, 2, 4), 0, 0, 2),
        ((1, 1, 1), 0, 0, 1),
        ((4, 4, 4), 50, 0, 4),
        ((1, 1, 1), 80, 0, 3),
        ((2, 1, 4), 80, 1, 2),
        ((1, 1, 1), 95, 0, 3),
    ],
)
def test_estimates_against_files(bits: tuple[int, ...], p: float, mask_n: int, timesteps: int) -> None:
    """Of a network as it is, and of shapes where all channels are used."""
    recipe = Recipe.preset("digits", mask_n=mask_n)
    genotype = Genotype(nodes=CELL, bits=bits, timesteps=timesteps, p=p)
    torch.manual_seed(0)
    network = Network(recipe, recipe.retrain_channels, recipe.classes, p, genotype)
    for parameter in network.parameters():
        if parameter.ndim == 1:  # batch norms as training leaves them: all different, and channels that fire
            parameter.data += 0.3 * torch.rand_like(parameter)
    model = Model(
        network=network,
        genotype=genotype,
        recipe=recipe,
        rates=torch.full((7, timesteps), 0.2),
        mean=torch.zeros(1, 1, 1),
        std=torch.ones(1, 1, 1),
        classes=tuple(map(str, range(10))),
    )
    file = measure_sizes(pack(model)).file
    assert estimated_bits(pack_exactly(model)) == pytest.approx(file, rel=0.06)
    if p < 95:  # otherwise a third of the channels is in no file
        assert estimated_file_bits(genotype, recipe) == pytest.approx(file, rel=0.08)
    assert largest_file_bits(genotype, recipe) > file


def test_fewer_sums_take_fewer_digits_and_none_more_than_all() -> None:
    by_sums = [short_bits([span, span], 2, 0.2) for span in (4, 16, 64, 256, 10_000)]
    assert by_sums == sorted(by_sums) and by_sums[-1] == (2 * SCALE_BITS, BIAS_BITS) > by_sums[0]
    assert short_bits([64], 1, 0.2) < short_bits([64], 2, 0.2) < short_bits([64], 3, 0.2)
    assert short_bits([4], 2, math.pi / 10) == (SCALE_BITS, BIAS_BITS)  # no ratio of integers
    assert short_bits([], 2, 0.2)[0] == 0


def one_hot(genotype: Genotype, recipe: Recipe) -> Shares:
    """The shares of a search that has decided for this genotype."""
    ops = torch.zeros(5, 2)
    edges = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]
    for node, pairs in enumerate(genotype.nodes):
        for source, op in pairs:
            ops[edges.index((source, node)), ("conv3x3", "skip").index(op)] = 1
    bits = torch.tensor([[float(b == candidate) for candidate in recipe.bit_widths] for b in genotype.bits])
    return Shares(ops=ops, bits=bits, timesteps=torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("p", [0, 50, 90])
@pytest.mark.parametrize("mask_n", [0, 2])
def test_what_lambda1_presses_is_the_file_less_what_no_choice_changes(p: float, mask_n: int) -> None:
    genotype = Genotype(nodes=CELL, bits=(1, 4), timesteps=2, p=p)
    recipe = replace(RECIPE, mask_n=mask_n)
    rates = torch.rand(5, 2)
    cost = CostModel(recipe, 4, 10, p)(one_hot(genotype, recipe), rates)
    constant = BIAS_BITS * (4 + 4 + 8) + RATE_BITS * 5 * 2 + HEADER_BITS
    assert cost.pressed_bits.item() == pytest.approx(largest_file_bits(genotype, recipe) - constant, rel=0.01)
    paper = CostModel(replace(recipe, size="eq18"), 4, 10, p)(one_hot(genotype, recipe), rates)
    assert paper.pressed_bits == paper.model_size_bits == cost.model_size_bits < cost.pressed_bits


def test_its_gradient_presses_bits_and_what_masks_cost() -> None:
    """At p = 90 a bit less saves a tenth of a weight, an operation less its mask and scales as well."""
    shares: dict[str, tuple[Tensor, Tensor]] = {}
    for size in ("eq18", "file"):
        ops, bits = torch.full((5, 2), 0.5, requires_grad=True), torch.full((2, 3), 1 / 3, requires_grad=True)
        model = CostModel(replace(RECIPE, size=size), 4, 10, 90)
        model(Shares(ops=ops, bits=bits, timesteps=torch.tensor([0.5, 0.5])), torch.rand(5, 2)).pressed_bits.backward()
        assert ops.grad is not None and bits.grad is not None
        shares[size] = ops.grad, bits.grad
    (paper_ops, paper_bits), (file_ops, file_bits) = shares["eq18"], shares["file"]
    assert torch.equal(paper_bits, file_bits)
    # edge 0 feeds nodes of 2 and 4 channels from 4: 72 and 144 weights, conv3x3
    weights = 72, 144
    more = sum(
        math.log2(math.comb(w, round(w * 0.1))) + SCALE_BITS * (1 + f) for w, f in zip(weights, (2, 4), strict=True)
    )
    assert (file_ops - paper_ops)[0, 0].item() == pytest.approx(more, rel=0.02)


def test_the_derived_cost_has_both() -> None:
    genotype = Genotype(nodes=CELL, bits=(1, 4), timesteps=2, p=50)
    cost = derived_cost(genotype, RECIPE, torch.rand(5, 2))
    assert cost.file_bits == estimated_file_bits(genotype, RECIPE) > cost.model_size_bits
