"""How large the packed file of a network will be, before there is one: what a search and an epoch can know at once. Loads no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from litesnn.config import Recipe
from litesnn.export.membranes import how_many, too_many
from litesnn.export.plan import make_plan
from litesnn.genotype import Genotype
from litesnn.kept import kept_count, position_bits
from litesnn.layout import ConvShape, conv_shapes
from litesnn.steps import gaussian_codes

HEADER_BITS = 8 * 35
"""First bytes, sizes, cells, data set, statistics of its inputs, and the checksum."""

SCALE_BITS, BIAS_BITS, RATE_BITS = 23.5, 29, 16
"""Of a filter's scale and a channel's bias with all their digits, and of a state's rate at a timestep."""

STEP_BITS, LEARNT_BITS = 3, 8 * 30
"""Of a step that is a power of two, and what it takes to learn which numbers are usual."""

_BESIDE_DIGITS = 4  # sign, exponent, and how many digits there are


def side_bits(layer: ConvShape) -> float:
    """Bits of a layer's scales with all their digits: one for each filter, and the step; the classifier has the step alone."""
    return SCALE_BITS * (1 if layer.name == "classifier" else 1 + layer.out_channels)


def short_bits(ranges: Sequence[float], timesteps: int, tau: float) -> tuple[float, float]:
    """Bits of a channel's scales and of its bias once ``litesnn.export.shorten`` has left out digits.

    Straight lines over log2 of how many sums the channel tells apart, fitted to 66 trained networks of digits, CIFAR-10 and
    Speech Commands: 1 to 4 timesteps and bits, p from 0 to 95.

    Args:
        ranges: for each of its layers the largest sum of codes less the smallest.
        timesteps: T.
        tau: decay.
    """
    many = [how_many(0, span, timesteps, tau) for span in ranges]
    if too_many(many):
        return len(many) * SCALE_BITS, BIAS_BITS
    bits = sum(map(math.log2, many))
    scale, bias = 0.95 * (bits - 5 * (len(many) - 1)) - 2, 0.77 * bits + 0.3
    if timesteps == 1:
        scale, bias = 0.6 * bits - 2.8, 0.85 * bits - 2.8
    short = [min(most, max(1.0, digits) + _BESIDE_DIGITS) for digits, most in ((scale, SCALE_BITS), (bias, BIAS_BITS))]
    return len(many) * short[0], short[1]


def largest_file_bits(genotype: Genotype, recipe: Recipe) -> int:
    """Bits of the packed file of a network with all its channels, all digits and codes that are equally frequent.

    Raises:
        InputError: the genotype does not fit the recipe.
    """
    genotype.check_fits(recipe)
    bits = float(HEADER_BITS)
    for layer in conv_shapes(recipe, recipe.retrain_channels, recipe.classes, genotype):
        assert layer.bits is not None
        kept = kept_count(layer.weights, genotype.p)
        bits += kept * layer.bits + position_bits(layer.weights, kept, recipe.mask_n) + side_bits(layer)
    channels = recipe.retrain_channels * (1 + sum(recipe.widths))
    rates = (1 + recipe.cells * recipe.nodes) * genotype.timesteps
    return round(bits + BIAS_BITS * channels + RATE_BITS * rates)


def estimated_file_bits(genotype: Genotype, recipe: Recipe) -> int:
    """Bits of the packed file of a retrained network with all its channels, whose weights are Gaussian.

    What training leaves without effect is not in the file: ``litesnn.export.sizes.estimated_bits`` knows it.

    Raises:
        InputError: the genotype does not fit the recipe.
    """
    genotype.check_fits(recipe)
    plan = make_plan(recipe, json.loads(genotype.to_json()))
    kept = [kept_count(layer.weights, genotype.p) for layer in plan.layers]
    bits = float(HEADER_BITS + LEARNT_BITS + RATE_BITS * len(plan.rows) * plan.timesteps)
    for layer, few in zip(plan.layers, kept, strict=True):
        bits += few * gaussian_codes(layer.bits)[0] + position_bits(layer.weights, few, layer.mask_n)
    bits += SCALE_BITS + plan.rows[0].channels * (SCALE_BITS + BIAS_BITS)
    for row in plan.rows[1:]:
        layers = [plan.layers[index] for index in row.layers]
        ranges = [
            kept[index] / plan.layers[index].outputs * gaussian_codes(plan.layers[index].bits)[1]
            for index in row.layers
        ]
        bits += len(layers) * STEP_BITS + row.channels * sum(
            short_bits(ranges, plan.timesteps, plan.tau) if layers else ()
        )
    return round(bits + SCALE_BITS)
