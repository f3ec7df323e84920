"""Bit-widths by expectation: those of the size that the shares expect, instead of the largest share of each cell.

softmax(beta) moves smoothly with lambda1. The largest shares do not: where shares are nearly even, a small change of lambda1 turns the
choice of all cells at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.layout import conv_shapes


def with_expected_bits(genotype: Genotype, beta: Tensor, recipe: Recipe) -> Genotype:
    """The genotype with the bit-widths of the expected size.

    Args:
        genotype: its nodes say how many weights each cell has.
        beta: bit-width logits ``[cells, bit-widths]``.
        recipe: the search's.
    """
    weights = [0] * recipe.cells
    for layer in conv_shapes(recipe, recipe.search_channels, recipe.classes, genotype):
        if layer.cell is not None:
            weights[layer.cell] += layer.weights
    expected = [sum(b * s for b, s in zip(recipe.bit_widths, row, strict=True)) for row in beta.softmax(-1).tolist()]
    return replace(genotype, bits=rounded_by_remainder(expected, recipe.bit_widths, weights))


def rounded_by_remainder(
    expected: Sequence[float], bit_widths: Sequence[int], weights: Sequence[int]
) -> tuple[int, ...]:
    """Rounds each cell's expected bit-width to a candidate next to it, so that the size is nearest the expected size.

    Those cells are rounded up that are furthest on the way to their upper candidate (the method of largest remainders). Of equally near
    sizes the smaller is taken, of cells equally far the first.

    Args:
        expected: bit-width of each cell under softmax(beta) (Eq. 19), from the least to the largest candidate.
        bit_widths: the candidates, rising.
        weights: of each cell.
    """
    lower = [max((b for b in bit_widths if b <= e), default=bit_widths[0]) for e in expected]
    upper = [min((b for b in bit_widths if b >= e), default=bit_widths[-1]) for e in expected]
    way = [(e - low) / (up - low) if up > low else 0.0 for e, low, up in zip(expected, lower, upper, strict=True)]
    order = sorted(range(len(way)), key=lambda cell: -way[cell])
    missing = sum(count * (e - low) for count, e, low in zip(weights, expected, lower, strict=True))
    steps = [weights[cell] * (upper[cell] - lower[cell]) for cell in order]
    raised = min(range(len(order) + 1), key=lambda many: abs(sum(steps[:many]) - missing))
    return tuple(upper[cell] if cell in order[:raised] else lower[cell] for cell in range(len(order)))
