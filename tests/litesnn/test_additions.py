"""Exact additions against a loop over every spike and every weight, against the reference runtime, and over whole splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from litesnn.additions import additions_per_sample, count_additions, layer_additions
from litesnn.config import Recipe
from litesnn.cost import derived_cost
from litesnn.data.dataset import Dataset
from litesnn.evaluate import evaluate
from litesnn.export.convert import conv_layers, pack, unpack
from litesnn.export.plan import Layer, Plan, make_plan
from litesnn.export.runtime import Runtime
from litesnn.genotype import Genotype
from litesnn.inference import freeze
from litesnn.model import Model
from litesnn.network import Network
from litesnn.retraining import retrain
from tests.litesnn.test_inference import BASE, CASES, drawn, trained


def plan_of(recipe: Recipe, genotype: Genotype) -> Plan:
    return make_plan(recipe, json.loads(genotype.to_json()))


def additions_of(layer: Layer, weight: list[Any], state: list[Any]) -> int:
    """Every spike visits every output and every tap, and looks whether they meet at a weight that is not zero.

    Args:
        weight: ``[O][I][K][K]``.
        state: ``[N][I][H][W]``.
    """
    pad, found = layer.kernel // 2, 0
    outputs = range(layer.in_size[0]), range(layer.in_size[1])  # the classifier's weights are met by every pixel
    if layer.name != "classifier":
        outputs = range(layer.out_size[0]), range(layer.out_size[1])
    for sample in state:
        for channel, rows in enumerate(sample):
            for y, row in enumerate(rows):
                for x, fired in enumerate(row):
                    if not fired:
                        continue
                    for filters in weight:
                        for up in outputs[0]:
                            for left in outputs[1]:
                                dy, dx = y + pad - layer.stride * up, x + pad - layer.stride * left
                                if 0 <= dy < layer.kernel and 0 <= dx < layer.kernel:
                                    found += filters[channel][dy][dx] != 0
    return found


def states(network: Network, recipe: Recipe, x: Tensor) -> list[Tensor]:
    """Spikes ``[T*B, C, H, W]`` of every row, seen by hooks."""
    seen: list[Tensor] = []
    stem: list[Tensor] = []

    def into_first(_: Any, arguments: tuple[Any, ...]) -> None:
        stem.append(arguments[0])

    def after(_: Any, __: Any, output: tuple[Tensor, list[Tensor]]) -> None:
        seen.extend(output[1])

    hooks = [network.cells[0].register_forward_pre_hook(into_first)]
    hooks += [cell.register_forward_hook(after) for cell in network.cells]
    with torch.no_grad():
        network(x, recipe.timesteps)
    for hook in hooks:
        hook.remove()
    return [stem[0], *seen]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CASES)
def test_counts_equal_a_loop_over_spikes_and_weights(name: str, seed: int) -> None:
    """Strides of 1 and 2, odd sizes, borders, skips, one and more timesteps; p = 0, 50 or 80."""
    recipe = Recipe(**{**BASE, **CASES[name]})
    torch.manual_seed(seed)
    genotype = drawn(recipe, seed)
    network = trained(recipe, genotype)
    plan, rows = plan_of(recipe, genotype), states(network, recipe, torch.randn(2, *recipe.input_shape))
    expected = {}
    for layer, (conv, _, part, parts) in zip(plan.layers, conv_layers(network), strict=True):
        if layer.reads:
            weight = conv.compressed_weight(None).chunk(parts)[part]
            state = torch.cat([rows[row] for row in layer.reads], 1)
            expected[layer.name] = additions_of(layer, weight.tolist(), state.tolist())
    assert count_additions(network, plan, [row.sum(0) for row in rows]) == expected
    assert sum(expected.values()) > 0


def test_one_spike_by_hand() -> None:
    """One input channel on 4 x 4 pixels, stride 2, one filter whose corner weight (0, 0) is pruned."""
    layer = Layer(
        name="x", kernel=3, stride=2, bits=1, reads=(0,), inputs=1, outputs=1, in_size=(4, 4), out_size=(2, 2)
    )
    weight = torch.tensor([[[[0.0, 0.5, -0.5], [0.5, 1.5, 0.5], [0.5, 0.5, 0.5]]]])
    met = [[0] * 4 for _ in range(4)]
    for y in range(4):
        for x in range(4):
            spikes = torch.zeros(1, 4, 4)
            spikes[0, y, x] = 1
            met[y][x] = layer_additions(layer, weight, spikes)
            assert met[y][x] == additions_of(layer, weight.tolist(), spikes[None].tolist())
    # Outputs look at pixels 2 y' - 1 … 2 y' + 1: even rows are seen by one of them, row 1 by both, row 3 by the last alone.
    assert met == [[1, 2, 1, 1], [2, 3, 2, 2], [1, 2, 1, 1], [1, 2, 1, 1]]


def test_the_runtime_does_as_many_additions(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    """The whole way: frozen network, batches, sums over the split; and of the packed file, which lacks dead channels."""
    result = retrain(tiny_genotype, tiny_recipe(), dataset=tiny_dataset)
    cost, packed = result.cost, pack(result.model)
    answers = [Runtime(packed)(x) for x in tiny_dataset.normalise(tiny_dataset.val.inputs).numpy()]
    assert cost.additions_exact == pytest.approx(sum(a.additions for a in answers) / len(answers), rel=1e-12)
    assert cost.additions_exact != pytest.approx(cost.additions, rel=1e-3)
    assert evaluated(unpack(packed, torch.device("cpu")), tiny_dataset) == evaluated(result.model, tiny_dataset)
    by_rates = derived_cost(tiny_genotype, tiny_recipe(), result.model.rates)
    assert by_rates.additions_exact is None and by_rates.additions == cost.additions


def evaluated(model: Model, dataset: Dataset, batch: int = 5) -> dict[str, float]:
    frozen, timesteps = freeze(model.network), model.genotype.timesteps
    result = evaluate(
        lambda x: frozen(x, timesteps, measure_rates=True, count_spikes=True), dataset, dataset.val, timesteps, batch
    )
    counted = additions_per_sample(model.network, plan_of(model.recipe, model.genotype), result)
    assert counted is not None
    return counted


def test_without_counted_spikes_there_is_no_number(
    tiny_recipe: Callable[..., Recipe], tiny_dataset: Dataset, tiny_genotype: Genotype
) -> None:
    network = Network(tiny_recipe(), 6, 3, 50, tiny_genotype).eval()
    result = evaluate(lambda x: network(x, 2, measure_rates=True), tiny_dataset, tiny_dataset.val, 2)
    assert result.spikes is None and result.samples == 12
    assert additions_per_sample(network, plan_of(tiny_recipe(), tiny_genotype), result) is None
