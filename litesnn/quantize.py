"""Uniform symmetric quantisation of weights (Eq. 8).

A layer's weights go to 2^b levels ±(i + 1/2) * step without zero (mid-rise), step = s_b * std(W). The factors s_b are
the steps of the optimal uniform quantiser of a unit Gaussian (Cai et al., CVPR 2017 use the same idea for activations).
"""

import math

import torch
from torch import Tensor

from litesnn.checks import check_choice
from litesnn.steps import STEP_PER_STD
from litesnn.straight_through import straight_through


def layer_std(weight: Tensor, start_dim: int = 0) -> Tensor:
    """Standard deviation of a layer's weights, without gradient.

    Args:
        weight: weights of one layer, or of several stacked on the dimensions before ``start_dim``.
        start_dim: first dimension that belongs to a layer: ``[G, O, I, K, K]`` with 1 holds G layers.

    Returns:
        ``weight``'s shape with the dimensions from ``start_dim`` on reduced to 1; above 0 even for constant weights.
    """
    dims = tuple(range(start_dim, weight.dim()))
    centred = weight.detach() - weight.detach().mean(dim=dims, keepdim=True)
    count = math.prod(weight.shape[start_dim:])
    # The unbiased estimate, as torch.std has it, in fewer passes; a lone weight has none and counts as constant.
    variance = centred.square_().sum(dim=dims, keepdim=True) / max(1, count - 1)
    return variance.sqrt_().clamp_min(torch.finfo(weight.dtype).tiny)


def levels(weight: Tensor, std: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The quantiser itself, without gradient: Q_b(W) = level * step.

    Args:
        weight: any shape.
        std: from ``layer_std``.
        bits: bit-width b, 1 to 4.

    Returns:
        Levels ±1/2, ±3/2, …, ±(2^b - 1)/2 in ``weight``'s shape, and the step in ``std``'s.

    Raises:
        InputError: an unknown bit-width.
    """
    step = STEP_PER_STD[check_choice("bits", bits, STEP_PER_STD)] * std
    half = 2 ** (bits - 1)
    return (weight.detach() / step).floor_().clamp_(-half, half - 1).add_(0.5), step


def fake_quantize(weight: Tensor, bits: int, *, start_dim: int = 0) -> Tensor:
    """Quantised weights Q_b(W) in floating point (Eq. 8); straight through backwards, std held constant.

    Args:
        weight: weights of one layer, any shape, or of several (see ``layer_std``).
        bits: bit-width b, 1 to 4.
        start_dim: as in ``layer_std``.

    Returns:
        ``weight``'s shape: each entry one of the 2^b levels of its layer.

    Raises:
        InputError: an unknown bit-width.
    """
    level, step = levels(weight, layer_std(weight, start_dim), bits)
    return straight_through(weight, level.mul_(step))
