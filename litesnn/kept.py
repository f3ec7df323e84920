"""How many weights of a layer survive pruning, and what it takes to say which; loads no torch."""

import functools
import math
from fractions import Fraction

from litesnn.checks import check_number


def kept_count(weights: int, p: float) -> int:
    """How many of a layer's weights survive: (1 - p/100) * weights, half rounded up, free of binary rounding.

    Args:
        weights: number of weights in the layer.
        p: percent pruned, 0 <= p < 100.
    """
    check_number("p", p, minimum=0, below=100)
    return _rounded_share(weights, float(p))


def mask_bits(weights: int, kept: int) -> float:
    """log2 C(weights, kept): what naming one of all masks with this many kept weights costs."""
    return (math.lgamma(weights + 1) - math.lgamma(kept + 1) - math.lgamma(weights - kept + 1)) / math.log(2)


@functools.cache
def _rounded_share(weights: int, p: float) -> int:
    share = 1 - Fraction(repr(p)) / 100  # the decimal the user wrote, so that 90 % of 15 is 13.5 exactly
    return math.floor(share * weights + Fraction(1, 2))
