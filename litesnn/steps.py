"""The steps of the quantiser, and what its codes of Gaussian weights are like. Loads no torch."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

# The optimum for 4 bits is 0.3352; 0.336 is the decided value and costs 4e-5 of the error.
STEP_PER_STD = {1: 1.596, 2: 0.996, 3: 0.586, 4: 0.336}


@functools.cache
def gaussian_codes(bits: int) -> tuple[float, float]:
    """Entropy in bits and mean size of the codes -(2^b - 1), …, -1, 1, …, 2^b - 1 of Gaussian weights."""
    step, half = STEP_PER_STD[bits], 1 << bits >> 1
    ends = [-math.inf, *(step * k for k in range(1 - half, half)), math.inf]
    share = NormalDist().cdf
    shares = [share(high) - share(low) for low, high in zip(ends, ends[1:], strict=False)]
    codes = range(1 - 2 * half, 2 * half, 2)
    return -sum(s * math.log2(s) for s in shares), sum(s * abs(c) for s, c in zip(shares, codes, strict=True))
