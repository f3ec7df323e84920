"""How many weights of a layer survive pruning, and what it takes to say which; loads no torch."""

import functools
import math
from collections import Counter
from collections.abc import Iterator
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


def mask_groups(weights: int, kept: int, n: int = 0) -> Iterator[tuple[int, int, int]]:
    """The groups of N:M masks: of each M = N * weights / kept consecutive weights N are kept, of the last ones what is left.

    Where M is no whole number, group j starts at the first weight from j * M on, so that sizes differ by one and as many
    weights are kept as without groups.

    Args:
        weights: of the layer, before pruning, in the order ``[O, I, K, K]``.
        kept: how many stay.
        n: N; 0: any of the layer's may stay, a single group.

    Yields:
        The first weight of a group, the first one behind it, and how many it keeps.
    """
    start = 0
    for before in range(0, kept, n) if n and kept else (0,):
        last = n == 0 or before + n >= kept
        end = weights if last else -(-(before + n) * weights // kept)
        yield start, end, kept - before if last else n
        start = end


@functools.lru_cache(maxsize=1024)
def position_bits(weights: int, kept: int, n: int = 0) -> float:
    """Bits that say where a layer's kept weights are, all masks of ``mask_groups`` being equally likely."""
    kinds = Counter((end - start, few) for start, end, few in mask_groups(weights, kept, n))
    return sum(times * mask_bits(*kind) for kind, times in kinds.items())


@functools.cache
def _rounded_share(weights: int, p: float) -> int:
    share = 1 - Fraction(repr(p)) / 100  # the decimal the user wrote, so that 90 % of 15 is 13.5 exactly
    return math.floor(share * weights + Fraction(1, 2))
