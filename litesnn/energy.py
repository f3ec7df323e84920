"""Energy that knows bits: integer additions as wide as needed, memory, neurons and stem. Loads no torch.

The paper's model (``litesnn.cost.energy_mj``, Sec. 4.5) takes 0.9 pJ per addition and 3.7 pJ per multiplication, whatever
the bit-width, and nothing for memory or neurons. This one stands beside it, for an event-driven chip in the same 45 nm
whose layers have their memories beside them::

    energy = additions * (integer addition + weight and its position read + accumulator read and written)
           + accumulators * timesteps * (scale, add to the membrane, read and clear)
           + neurons * timesteps * (bias, leak, compare, reset, membrane read and written)
           + stem: products * (integer multiplication and addition + weight, position and pixel read)

Sources. [H]: M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, Fig. 1.1.9, 45 nm at 0.9 V.
[L]: Loihi's neuron state, 24 bits, as in the bit-accurate LIF model of Intel's Lava (``uv_bitwidth``); Davies et al., IEEE
Micro 2018. What is not published is marked as an assumption. docs/energy.md has the table and what the model leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from litesnn.export.plan import Layer, Plan, Row
from litesnn.export.sizes import entropy_bits
from litesnn.kept import kept_count, position_bits

PICOJOULE_PER_ADDED_BIT = 0.1 / 32
"""[H] int32 addition 0.1 pJ; linear in the width (an 8-bit one then takes 0.025 pJ, [H] has 0.03)."""
PICOJOULE_PER_MULTIPLIED_BITS = 3.1 / 32**2
"""[H] int32 multiplication 3.1 pJ; by the product of both widths (8 x 8 bit then take 0.19 pJ, [H] has 0.2)."""
SRAM = ((8 * 2**10, 10 / 64), (32 * 2**10, 20 / 64), (2**20, 100 / 64))
"""[H] bytes of a memory and pJ per bit read: 64 bits cost 10, 20 and 100 pJ. A write is assumed to cost the same."""
MEMBRANE_BITS = 24
"""[L] bits of a neuron's state."""
SCALE_BITS = 16
"""Assumption: bits of the fixed-point number that step and batch norm of a channel come to."""
PIXEL_BITS = 8
"""Assumption: bits of an input value, as in the images that data sets hold."""
UPDATE_ADDITIONS = 4
"""Per neuron and timestep: bias, leak (a shift and an addition), compare (a subtraction) and reset, [H] one addition each."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Millijoule per sample, by what they are spent on.

    Args:
        synapses_mj: integer additions of cells and classifier.
        memory_mj: weights and positions read for them, accumulators read and written.
        scales_mj: accumulators times their channel's scale, once per timestep.
        neurons_mj: updates of the membranes.
        stem_mj: products of the stem, once per sample.
    """

    synapses_mj: float = 0.0
    memory_mj: float = 0.0
    scales_mj: float = 0.0
    neurons_mj: float = 0.0
    stem_mj: float = 0.0

    @property
    def total_mj(self) -> float:
        """All parts together."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """Millijoule by the part's name."""
        return {field.name.removesuffix("_mj"): getattr(self, field.name) for field in fields(self)}

    def __add__(self, other: Energy) -> Energy:
        return Energy(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


def energy_with_bits(plan: Plan, p: float, additions: Mapping[str, float]) -> Energy:
    """Energy of classifying one sample.

    Args:
        plan: of the network.
        p: percent pruned.
        additions: per sample, by layer, of cells and classifier; counted (``litesnn.additions``) or by Eq. 12.
    """
    total = Energy()
    for part in energy_by_layer(plan, p, additions).values():
        total += part
    return total


def energy_by_layer(plan: Plan, p: float, additions: Mapping[str, float]) -> dict[str, Energy]:
    """The same, of each layer by its name and of each row's neurons as ``row 0``, ``row 1``, …; see ``energy_with_bits``."""
    found: dict[str, Energy] = {}
    for number, row in enumerate(plan.rows):
        state = pj_per_bit(_state_bits(plan, row))
        found[f"row {number}"] = _neurons(row, plan.timesteps, state)
        for index in row.layers:
            layer = plan.layers[index]
            if layer.reads:
                spent = _synapses(layer, p, additions[layer.name], state) + _scales(layer, plan.timesteps, state)
            else:
                spent = _stem(layer, p, plan.timesteps, state)
            found[layer.name] = spent
    last = plan.layers[-1]
    sums = plan.timesteps * last.in_size[0] * last.in_size[1]
    state = pj_per_bit(last.outputs * accumulator_bits(last, sums))
    found[last.name] = _synapses(last, p, additions[last.name], state, sums)
    return found


def accumulator_bits(layer: Layer, sums: int = 1) -> int:
    """Width of a layer's accumulators: any sum of its codes fits, with its sign, whatever is pruned.

    Args:
        layer: its codes are odd integers up to 2^b - 1; the stem's are multiplied by pixels.
        sums: how many sums of all inputs go to the same accumulator; of the classifier timesteps times pixels.
    """
    largest = sums * layer.inputs // layer.groups * layer.kernel**2 * (2**layer.bits - 1)
    if not layer.reads:
        largest *= 2**PIXEL_BITS - 1
    return largest.bit_length() + 1


def bits_per_position(layer: Layer, p: float) -> float:
    """Bits that say where a kept weight is: the entropy of a random mask; packed files need no more."""
    kept = kept_count(layer.weights, p)
    if layer.mask_n and kept:
        return position_bits(layer.weights, kept, layer.mask_n) / kept
    return entropy_bits(kept / layer.weights)


def pj_per_bit(bits: float) -> float:
    """Picojoule per bit read from the smallest memory of ``SRAM`` that holds so many bits; above, from banks of the largest."""
    return next((each for size, each in SRAM if bits <= 8 * size), SRAM[-1][1])


def _state_bits(plan: Plan, row: Row) -> int:
    """Membranes of a row and the accumulators before them; before the first the stem's scaled sums."""
    layers = [plan.layers[index] for index in row.layers]
    before = sum(accumulator_bits(layer) if layer.reads else MEMBRANE_BITS for layer in layers)
    return row.neurons * (MEMBRANE_BITS + before)


def _weight_reading(layer: Layer, p: float) -> float:
    """Picojoule for one weight and its position, from a memory that holds those of the layer."""
    each = layer.bits + bits_per_position(layer, p)
    return each * pj_per_bit(each * kept_count(layer.weights, p))


def _synapses(layer: Layer, p: float, additions: float, state: float, sums: int = 1) -> Energy:
    width = accumulator_bits(layer, sums)
    memory = _weight_reading(layer, p) + 2 * width * state
    return Energy(synapses_mj=1e-9 * additions * width * PICOJOULE_PER_ADDED_BIT, memory_mj=1e-9 * additions * memory)


def _scaling(layer: Layer) -> float:
    """Picojoule for one accumulator times its channel's scale."""
    return accumulator_bits(layer) * SCALE_BITS * PICOJOULE_PER_MULTIPLIED_BITS


def _scales(layer: Layer, timesteps: int, state: float) -> Energy:
    adding = MEMBRANE_BITS * PICOJOULE_PER_ADDED_BIT
    each = _scaling(layer) + adding + 2 * accumulator_bits(layer) * state
    return Energy(scales_mj=1e-9 * each * layer.outputs * layer.positions * timesteps)


def _neurons(row: Row, timesteps: int, state: float) -> Energy:
    additions = UPDATE_ADDITIONS + len(row.skips)  # a skip adds its spike
    each = MEMBRANE_BITS * (additions * PICOJOULE_PER_ADDED_BIT + 2 * state)
    return Energy(neurons_mj=1e-9 * each * row.neurons * timesteps)


def _stem(layer: Layer, p: float, timesteps: int, state: float) -> Energy:
    """Works once, since the frame does not change; its scaled sums are written once and read and added at every timestep."""
    products = kept_count(layer.weights, p) * layer.positions
    pixels = PIXEL_BITS * pj_per_bit(PIXEL_BITS * layer.inputs * layer.in_size[0] * layer.in_size[1])
    multiplying = PIXEL_BITS * layer.bits * PICOJOULE_PER_MULTIPLIED_BITS
    each = multiplying + accumulator_bits(layer) * PICOJOULE_PER_ADDED_BIT + _weight_reading(layer, p) + pixels
    kept = _scaling(layer) + MEMBRANE_BITS * (state + timesteps * (state + PICOJOULE_PER_ADDED_BIT))
    sums = layer.outputs * layer.positions
    return Energy(stem_mj=1e-9 * each * products, scales_mj=1e-9 * kept * sums)
