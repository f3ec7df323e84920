"""The energy model against sums done by hand, term by term."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from litesnn.config import Recipe
from litesnn.cost import derived_cost
from litesnn.describe import describe
from litesnn.energy import (
    PICOJOULE_PER_ADDED_BIT,
    PICOJOULE_PER_MULTIPLIED_BITS,
    Energy,
    accumulator_bits,
    bits_per_position,
    energy_by_layer,
    energy_with_bits,
    pj_per_bit,
)
from litesnn.export.plan import Plan, make_plan
from litesnn.genotype import Genotype

RECIPE = Recipe(
    input_shape=(1, 4, 4),
    classes=3,
    widths=(1, 2),
    nodes=2,
    retrain_channels=4,
    search_channels=4,
    timesteps=3,
    stem_bits=4,
    classifier_bits=2,
    aux_cell=1,
    crop_padding=1,
)
GENOTYPE = Genotype(
    nodes=(((0, "conv3x3"), (1, "conv3x3")), ((1, "conv3x3"), (2, "skip"))), bits=(1, 4), timesteps=3, p=50
)
PJ = 1e-9  # in millijoule
READ_8K = 10 / 64  # picojoule per bit of a memory of 8 kB: all of this network's
CELL1 = "cell1.node0.input0.conv3x3"


def plan_of(genotype: Genotype, recipe: Recipe = RECIPE) -> Plan:
    return make_plan(recipe, json.loads(genotype.to_json()))


PLAN = plan_of(GENOTYPE)
ADDITIONS = {layer.name: 1000.0 for layer in PLAN.layers[1:]}


def parts(plan: Plan = PLAN, p: float = 50, additions: dict[str, float] = ADDITIONS) -> dict[str, Energy]:
    return energy_by_layer(plan, p, additions)


def test_additions_and_what_they_read() -> None:
    """4 inputs, 3 x 3, 1 bit: sums of 36 codes of at most 1, so 6 bits and a sign; half of the weights, 1 + 2 bits each."""
    spent = parts()[CELL1]
    assert spent.synapses_mj == pytest.approx(PJ * 1000 * 7 * 0.1 / 32)
    weight, accumulator = (1 + 2) * READ_8K, 2 * 7 * READ_8K
    assert spent.memory_mj == pytest.approx(PJ * 1000 * (weight + accumulator))
    assert spent.neurons_mj == spent.stem_mj == 0


def test_more_bits_cost_more() -> None:
    """The same additions of 4-bit codes up to 15: sums up to 540 take 10 bits and a sign, weights 4 + 2 bits."""
    wide = parts(plan_of(dataclasses.replace(GENOTYPE, bits=(4, 4))))[CELL1]
    assert wide.synapses_mj == pytest.approx(PJ * 1000 * 11 * 0.1 / 32)
    assert wide.memory_mj == pytest.approx(PJ * 1000 * ((4 + 2) + 2 * 11) * READ_8K)


def test_the_classifier_keeps_one_sum_per_class() -> None:
    """8 channels of 2 x 2 pixels at 3 timesteps, codes up to 3: sums up to 288, 9 bits and a sign; no scale, no neuron."""
    spent = parts()["classifier"]
    assert spent.synapses_mj == pytest.approx(PJ * 1000 * 10 * 0.1 / 32)
    assert spent.memory_mj == pytest.approx(PJ * 1000 * ((2 + 2) + 2 * 10) * READ_8K)
    assert spent.scales_mj == spent.neurons_mj == spent.stem_mj == 0


def test_scales_of_a_cell() -> None:
    """2 channels of 4 x 4 sums at 3 timesteps: 7 x 16 bits multiplied, 24 bits added, 7 bits read and cleared."""
    each = 7 * 16 * 3.1 / 1024 + 24 * 0.1 / 32 + 2 * 7 * READ_8K
    assert parts()[CELL1].scales_mj == pytest.approx(PJ * 2 * 16 * 3 * each)


def test_neurons() -> None:
    """Bias, leak, compare, reset, and a skip where there is one; 24 bits read and written, at each of 3 timesteps."""
    each = 4 * 24 * 0.1 / 32 + 2 * 24 * READ_8K
    found = parts()
    assert found["row 0"].neurons_mj == pytest.approx(PJ * 4 * 16 * 3 * each)
    assert found["row 1"].neurons_mj == pytest.approx(PJ * 2 * 16 * 3 * each)
    assert found["row 2"].neurons_mj == pytest.approx(PJ * 2 * 16 * 3 * (each + 24 * 0.1 / 32))  # node 1 skips node 0
    assert found["row 3"].neurons_mj == pytest.approx(PJ * 4 * 4 * 3 * each)


def test_the_stem_works_once() -> None:
    """18 of 36 weights at 16 positions: 8 x 4 bits multiplied; sums up to 9 * 15 * 255 take 16 bits and a sign."""
    spent = parts()["stem"]
    each = 8 * 4 * 3.1 / 1024 + 17 * 0.1 / 32 + (4 + 2) * READ_8K + 8 * READ_8K
    assert spent.stem_mj == pytest.approx(PJ * 18 * 16 * each)
    # Scaled once, written once, read and added at 3 timesteps.
    kept = 17 * 16 * 3.1 / 1024 + 24 * READ_8K + 3 * 24 * (READ_8K + 0.1 / 32)
    assert spent.scales_mj == pytest.approx(PJ * 4 * 16 * kept)
    assert parts(plan_of(dataclasses.replace(GENOTYPE, timesteps=1)))["stem"].stem_mj == spent.stem_mj


def test_the_whole_is_the_sum_of_its_parts() -> None:
    total = energy_with_bits(PLAN, 50, ADDITIONS)
    for part in dataclasses.fields(Energy):
        assert getattr(total, part.name) == pytest.approx(sum(getattr(each, part.name) for each in parts().values()))
    assert total.total_mj == pytest.approx(sum(each.total_mj for each in parts().values()))
    assert set(total.parts()) == {"synapses", "memory", "scales", "neurons", "stem"}


def test_without_additions_neurons_and_stem_remain() -> None:
    idle = energy_with_bits(PLAN, 50, dict.fromkeys(ADDITIONS, 0.0))
    busy = energy_with_bits(PLAN, 50, ADDITIONS)
    assert idle.synapses_mj == idle.memory_mj == 0
    assert (idle.neurons_mj, idle.scales_mj, idle.stem_mj) == (busy.neurons_mj, busy.scales_mj, busy.stem_mj)


def test_memories_by_size() -> None:
    """Table of Horowitz: 64 bits for 10, 20 and 100 pJ from 8 kB, 32 kB and 1 MB."""
    kib = 8 * 1024
    assert [64 * pj_per_bit(bits) for bits in (1, 8 * kib, 8 * kib + 1, 32 * kib, 32 * kib + 1)] == [
        10,
        10,
        20,
        20,
        100,
    ]
    assert pj_per_bit(1e12) == pj_per_bit(1024 * kib) == 100 / 64


def test_widths_agree_with_the_published_ones() -> None:
    """8-bit operations, which the widths' laws were not fitted to: 0.03 and 0.2 pJ."""
    addition, multiplication = 8 * PICOJOULE_PER_ADDED_BIT, 64 * PICOJOULE_PER_MULTIPLIED_BITS
    assert addition == pytest.approx(0.03, rel=0.2) and multiplication == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize(("p", "bits"), [(0, 0.0), (50, 2.0)])
def test_positions(p: float, bits: float) -> None:
    layer = PLAN.layers[1]
    assert bits_per_position(layer, p) == pytest.approx(bits)
    # 95 % of 72 pruned: 4 kept, each with log2(18) and the others' share
    share = 4 / 72
    assert bits_per_position(layer, 95) == pytest.approx(-math.log2(share) - 17 * math.log2(1 - share))


def test_accumulators_hold_the_largest_sum() -> None:
    for layer in PLAN.layers[1:]:
        largest = layer.inputs * layer.kernel**2 * (2**layer.bits - 1)
        assert 2 ** (accumulator_bits(layer) - 1) > largest >= 2 ** (accumulator_bits(layer) - 2)


def test_what_neurons_take_of_a_network_pruned_by_95_percent_is_told() -> None:
    """Neurons do not get fewer by pruning: their share grows, and the description names it."""
    shares = []
    for p in (0.0, 95.0):
        genotype = dataclasses.replace(GENOTYPE, p=p)
        cost = derived_cost(genotype, RECIPE, torch.full((5, 3), 0.1))
        assert cost.energy_bits is not None and cost.energy_bits_mj == cost.energy_bits.total_mj
        shares.append(100 * cost.energy_bits.neurons_mj / cost.energy_bits.total_mj)
        text = describe(genotype, RECIPE, cost, "assumed")
        assert (
            f"neurons {shares[-1]:.0f} %" in text and f"{1e3 * cost.energy_bits.total_mj:.3f} µJ per sample: " in text
        )
    assert shares[1] > 1.5 * shares[0]


def test_rates_alone_give_the_additions_of_equation_12() -> None:
    rates = torch.full((5, 3), 0.1)
    cost = derived_cost(GENOTYPE, RECIPE, rates)
    assert cost.energy_bits is not None and cost.additions_exact is None
    doubled = derived_cost(GENOTYPE, RECIPE, 2 * rates)
    assert doubled.energy_bits is not None
    assert doubled.energy_bits.synapses_mj == pytest.approx(2 * cost.energy_bits.synapses_mj)
    counted = derived_cost(GENOTYPE, RECIPE, rates, ADDITIONS)
    assert counted.additions == cost.additions and counted.bit_synops == cost.bit_synops
    assert counted.additions_exact == sum(ADDITIONS.values())
    assert counted.energy_bits == energy_with_bits(PLAN, 50, ADDITIONS)
