"""Uniform symmetric quantisation of weights (Eq. 8).

A layer's weights go to 2^b levels ±(i + 1/2) * step without zero (mid-rise), step = s_b * std(W). The factors s_b are
the steps of the optimal uniform quantiser of a unit Gaussian (Cai et al., CVPR 2017 use the same idea for activations).
"""

import math

import torch
from torch import Tensor

from litesnn.checks import check_choice
from litesnn.straight_through import straight_through

STEP_PER_STD = {1: 1.596, 2: 0.996, 3: 0.586, 4: 0.336}


def quantization_step(weight: Tensor, bits: int, start_dim: int = 0) -> Tensor:
    """Distance between two levels, without gradient.

    Args:
        weight: weights of one layer, or of several stacked on the dimensions before ``start_dim``.
        bits: bit-width, 1 to 4.
        start_dim: first dimension that belongs to a layer: ``[G, O, I, K, K]`` with 1 holds G layers.

    Returns:
        ``weight``'s shape with the dimensions from ``start_dim`` on reduced to 1; above 0 even for constant weights.

    Raises:
        InputError: an unknown bit-width.
    """
    factor = STEP_PER_STD[check_choice("bits", bits, STEP_PER_STD)]
    dims = tuple(range(start_dim, weight.dim()))
    # The unbiased estimate, as torch.std has it; a lone weight has none and counts as constant.
    correction = min(1, math.prod(weight.shape[start_dim:]) - 1)
    std = weight.detach().std(dim=dims, correction=correction, keepdim=True)
    return (factor * std).clamp_min(torch.finfo(weight.dtype).tiny)


def fake_quantize(weight: Tensor, bits: int, *, start_dim: int = 0) -> Tensor:
    """Quantised weights Q_b(W) in floating point (Eq. 8); straight through backwards, std held constant.

    Args:
        weight: weights of one layer, any shape, or of several (see ``start_dim``).
        bits: bit-width b, 1 to 4.
        start_dim: as in ``quantization_step``.

    Returns:
        ``weight``'s shape: each entry one of the 2^b levels of its layer.

    Raises:
        InputError: an unknown bit-width.
    """
    step = quantization_step(weight, bits, start_dim)
    half = 2 ** (bits - 1)
    level = (weight.detach() / step).floor_().clamp_(-half, half - 1).add_(0.5)
    return straight_through(weight, level.mul_(step))
