"""The reference bounds every network of the search space, and the bound is reached."""

import random
from pathlib import Path

import pytest
import torch

from litesnn import Recipe
from litesnn.cost import derived_cost
from litesnn.file_size import BIAS_BITS, HEADER_BITS, RATE_BITS, SCALE_BITS
from litesnn.genotype import Genotype
from litesnn.operations import OPERATIONS
from litesnn.presets import PRESETS
from tune.results.reference import reference_in, reference_of
from tune.storage.objectives import Reference
from tune.storage.store import Experiment


def test_by_hand() -> None:
    """One cell of one node on 8 x 8: stem 3·3·1·4 weights, two convolutions 3·3·4·4, classifier 4·10, all 4 bits."""
    recipe = Recipe.preset(
        "digits",
        widths=(1,),
        nodes=1,
        search_channels=4,
        retrain_channels=4,
        timesteps=3,
        bit_widths=(1, 4),
        size="eq18",
    )
    size = 4 * (36 + 2 * 144 + 40)
    bit_synops = 3 * 4 * (36 * 64 + 2 * 144 * 64 + 40)
    assert reference_of(recipe) == Reference(accuracy=10, size_bits=size, bit_synops=bit_synops)


def test_of_files_by_hand() -> None:
    """The same network as bytes: scales, biases of stem and node, rates of two states at three timesteps, a header."""
    sizes = {
        "widths": (1,),
        "nodes": 1,
        "search_channels": 4,
        "retrain_channels": 4,
        "timesteps": 3,
        "bit_widths": (1, 4),
    }
    recipe = Recipe.preset("digits", **sizes, size="file")
    weights = 4 * (36 + 2 * 144 + 40)
    beside = SCALE_BITS * (5 + 5 + 5 + 1) + BIAS_BITS * (4 + 4) + RATE_BITS * 2 * 3 + HEADER_BITS
    assert reference_of(recipe).size_bits == round(weights + beside)


@pytest.mark.parametrize("widths", [(1, 2), (1, 2, 4, 8), (2, 4, 4)])
@pytest.mark.parametrize("operations", [("conv3x3", "skip"), OPERATIONS, ("skip", "conv1x1"), ("dwconv3x3", "conv1x1")])
def test_no_network_exceeds_it_and_the_largest_reach_it(widths: tuple[int, ...], operations: tuple[str, ...]) -> None:
    sizes = {"widths": widths, "nodes": 2, "search_channels": 4, "retrain_channels": 4, "timesteps": 2}
    recipe = Recipe.preset("digits", **sizes, operations=operations, size="eq18")
    reference = reference_of(recipe)
    generator = random.Random(0)
    ones = torch.ones(1 + recipe.cells * recipe.nodes, recipe.timesteps)
    found = []
    for _ in range(300):
        nodes = tuple(
            tuple((source, generator.choice(operations)) for source in sorted(generator.sample(range(node + 2), 2)))
            for node in range(2)
        )
        bits = tuple(generator.choice(recipe.bit_widths) for _ in widths)
        genotype = Genotype(nodes=nodes, bits=bits, timesteps=generator.randint(1, 2), p=generator.choice((0, 50)))
        found.append(derived_cost(genotype, recipe, ones * generator.random()))
        largest = Genotype(nodes=nodes, bits=(4,) * len(widths), timesteps=2, p=0)
        found.append(derived_cost(largest, recipe, ones))
    assert max(cost.model_size_bits for cost in found) == reference.size_bits
    assert max(cost.bit_synops for cost in found) == reference.bit_synops


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_one(preset: str) -> None:
    recipe = Recipe.preset(preset)
    reference = reference_of(recipe)
    assert reference.accuracy == 100 / recipe.classes
    assert reference.size_bits > 1e4 and reference.bit_synops > reference.size_bits


def test_of_experiments_the_stored_one_counts_and_an_older_one_is_computed(tmp_path: Path, recipe: Recipe) -> None:
    Experiment(tmp_path / "old").open(recipe.to_dict())
    stored = Reference(accuracy=50, size_bits=1, bit_synops=1e15)
    Experiment(tmp_path / "new").open(recipe.to_dict(), stored)
    computed = reference_of(recipe)
    assert reference_in([Experiment(tmp_path / "old")]) == computed
    assert reference_in([Experiment(tmp_path / "new")]) == stored
    both = reference_in([Experiment(tmp_path / "old"), Experiment(tmp_path / "new")])
    assert both == Reference(accuracy=10, size_bits=computed.size_bits, bit_synops=1e15)
