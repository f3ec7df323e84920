"""How large the packed file of a network will be, from its shapes alone: what a search and an epoch can know at once."""

from __future__ import annotations

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.kept import kept_count, position_bits
from litesnn.layout import ConvShape, conv_shapes

HEADER_BITS = 8 * 35
"""First bytes, sizes, cells, data set, statistics of its inputs, and the checksum."""

SCALE_BITS, BIAS_BITS, RATE_BITS = 23.5, 29, 16
"""Of a filter's scale and a channel's bias where no digit can be spared (``litesnn.export.shorten``; with few timesteps and bits they
take half of that), and of a state's rate at a timestep."""


def side_bits(layer: ConvShape) -> float:
    """Bits of a layer's scales: one for each filter, and the step; the classifier has the step alone."""
    return SCALE_BITS * (1 if layer.name == "classifier" else 1 + layer.out_channels)


def estimated_file_bits(genotype: Genotype, recipe: Recipe) -> int:
    """Bits of the packed file of a retrained network, with all its channels and codes that are equally frequent.

    The file itself is known when the network is trained: what training leaves without effect is not in it, and codes that
    are not equally frequent take less.

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
