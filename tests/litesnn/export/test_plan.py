"""The flat list of layers is the network that the modules and the costs are built from."""

from __future__ import annotations

import json

import pytest

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.export.plan import make_plan
from litesnn.layout import cell_shapes, conv_shapes
from tests.litesnn.test_inference import BASE, CASES, drawn


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_the_layers_are_those_of_the_layout(name: str, seed: int) -> None:
    recipe = Recipe(**{**BASE, **CASES[name]})
    genotype = drawn(recipe, seed)
    plan = make_plan(recipe, json.loads(genotype.to_json()))
    expected = conv_shapes(recipe, recipe.retrain_channels, recipe.classes, genotype)
    assert [(x.name, x.kernel, x.inputs, x.outputs, x.positions, x.reads, x.bits, x.weights) for x in plan.layers] == [
        (x.name, x.kernel, x.in_channels, x.out_channels, x.positions, x.reads, x.bits, x.weights) for x in expected
    ]
    for shape in cell_shapes(recipe, recipe.retrain_channels):
        for row in plan.rows[1 + shape.index * recipe.nodes :][: recipe.nodes]:
            assert (row.channels, row.size) == (shape.node_channels, (shape.height, shape.width))
        for layer in (x for x in plan.layers if x.name.startswith(f"cell{shape.index + 1}.")):
            source = int(layer.name.split(".input")[1].split(".")[0])
            assert layer.stride == (shape.strides[source] if source < 2 else 1)


GOOD = {"nodes": [[[0, "skip"], [1, "skip"]], [[0, "skip"], [2, "skip"]]], "bits": [1, 2], "timesteps": 2, "p": 50}


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": None},
        {"nodes": [[[0, "skip"], [1, "skip"]]]},
        {"nodes": [[[0, "skip"], [0, "skip"]], [[0, "skip"], [2, "skip"]]]},
        {"nodes": [[[0, "skip"], [2, "skip"]], [[0, "skip"], [2, "skip"]]]},
        {"nodes": [[[0, "skip"], [1, ["skip"]]], [[0, "skip"], [2, "skip"]]]},
        {"bits": [1]},
        {"bits": [1, 5]},
        {"bits": "12"},
        {"timesteps": 10**9},
        {"timesteps": True},
        {"p": 100},
        {"p": "50"},
    ],
)
def test_genotypes_that_are_none(change: dict[str, object]) -> None:
    recipe = Recipe(**BASE)
    assert len(make_plan(recipe, GOOD).rows) == 5
    with pytest.raises(InputError, match=r"\Agenotype[^\n]+: expected [^\n]+\Z"):
        make_plan(recipe, {**GOOD, **change})


def test_a_network_beyond_all_bounds_is_refused() -> None:
    recipe = Recipe(**{**BASE, "input_shape": (1, 30_000, 30_000)})
    with pytest.raises(InputError, match="network: expected at most"):
        make_plan(recipe, GOOD)
