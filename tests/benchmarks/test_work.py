"""Counted work by hand, and against the convolutions that a real step runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.naive import NaiveNetwork
from benchmarks.retrain_step import drawn_genotype
from benchmarks.search_step import SIDES
from benchmarks.work import Conv, Work, convolutions, retrain_work, search_work
from litesnn.config import Recipe
from litesnn.cost import dense_operations
from litesnn.network import Network

BASE: dict[str, Any] = {
    "input_shape": (3, 9, 7),
    "widths": (1, 2, 4),
    "nodes": 2,
    "search_channels": 4,
    "retrain_channels": 6,
    "timesteps": 3,
    "search_batch": 2,
    "retrain_batch": 2,
    "aux_cell": 0,
}


def recipe_of(**overrides: Any) -> Recipe:
    return Recipe(**{**BASE, **overrides})


def test_a_convolution_by_hand() -> None:
    conv = Conv(images=2, inputs=3, outputs=5, height=4, width=6, in_height=8, in_width=12, stride=2)
    assert conv.weights == 9 * 15
    assert conv.flops == 2 * 2 * 4 * 6 * 9 * 15
    assert conv.output_values == 2 * 5 * 4 * 6
    assert str(conv) == "3x3 3->5 stride 2 at 2x4x6"


def test_bytes_by_hand() -> None:
    conv = Conv(images=1, inputs=1, outputs=2, height=3, width=3, in_height=3, in_width=3)
    work = Work(times={(conv, "forward"): 1, (conv, "weight_grad"): 1}, state_values=100, passes=1)  # type: ignore[arg-type]
    # States 2 + 3 times, outputs 2 + 3 times, the 18 weights read twice and their gradient written.
    assert work.least_bytes() == 4 * (5 * 100 + 5 * 18 + 3 * 18)
    assert work.least_bytes("bf16") == work.least_bytes() // 2


def test_a_network_s_forward_pass_is_that_of_the_cost_model() -> None:
    """The cost model counts every edge by itself and every timestep; here the stem runs once."""
    recipe = recipe_of()
    genotype = drawn_genotype(recipe)
    convs = list(convolutions(recipe, recipe.retrain_channels, genotype, 1, genotype.timesteps))
    stem = next(conv for conv, role in convs if role == "stem")
    assert [role for _, role in convs].count("stem") == [role for _, role in convs].count("classifier") == 1
    total = sum(conv.flops for conv, _ in convs) + (genotype.timesteps - 1) * stem.flops
    assert total == 2 * genotype.timesteps * dense_operations(genotype, recipe)


@pytest.mark.parametrize("input_skip", ["conv3x3", "conv1x1"])
def test_retraining_against_torch_s_own_count(input_skip: str) -> None:
    recipe = recipe_of(input_skip=input_skip)
    genotype = drawn_genotype(recipe)
    torch.manual_seed(0)
    network = Network(recipe, recipe.retrain_channels, recipe.classes, genotype.p, genotype)
    with FlopCounterMode(display=False) as counter:
        output = NaiveNetwork(network, recipe, genotype)(torch.randn(2, *recipe.input_shape), genotype.timesteps)
        output.logits.sum().backward()
    # The naive side runs the stem at every timestep, forwards and to its weight.
    stem = next(iter(convolutions(recipe, recipe.retrain_channels, genotype, 2, genotype.timesteps)))[0]
    assert counter.get_total_flops() == retrain_work(recipe, genotype).flops + 2 * (genotype.timesteps - 1) * stem.flops


def test_a_search_step_against_torch_s_own_count() -> None:
    recipe = recipe_of()
    step = SIDES["naive"](recipe)
    with FlopCounterMode(display=False) as counter:
        step()
    counted = {str(operation): flops for operation, flops in counter.get_flop_counts()["Global"].items()}
    convs = sum(flops for operation, flops in counted.items() if "convolution" in operation)
    layers = {role: conv for conv, role in convolutions(recipe, recipe.search_channels, None, 2, recipe.timesteps)}
    # The classifier is a product of matrices there, of which the cost model has some too.
    expected = search_work(recipe, 80).flops - 6 * layers["classifier"].flops
    assert convs == expected + 4 * (recipe.timesteps - 1) * layers["stem"].flops


def test_without_pruning_the_second_pass_learns_less() -> None:
    recipe = recipe_of()
    convs = list(convolutions(recipe, recipe.search_channels, None, recipe.search_batch, recipe.timesteps))
    spared = sum(conv.flops for conv, role in convs if role in ("stem", "first", "classifier"))
    assert [role for _, role in convs].count("first") == 2  # both inputs of the first cell, the older one of the second
    assert search_work(recipe, 80).flops - search_work(recipe, 0).flops == spared
