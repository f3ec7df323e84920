"""Pruning masks from importance scores: the largest |score| of each layer is kept (Sehwag et al., NeurIPS 2020)."""

import math
from fractions import Fraction

import torch
from torch import Tensor

from litesnn.checks import check_number
from litesnn.straight_through import straight_through


def kept_count(weights: int, p: float) -> int:
    """How many of a layer's weights survive: (1 - p/100) * weights, half rounded up, free of binary rounding.

    Args:
        weights: number of weights in the layer.
        p: percent pruned, 0 <= p < 100.
    """
    check_number("p", p, minimum=0, below=100)
    share = 1 - Fraction(repr(float(p))) / 100  # the decimal the user wrote, so that 90 % of 15 is 13.5 exactly
    return math.floor(share * weights + Fraction(1, 2))


def prune_mask(scores: Tensor, p: float, *, start_dim: int = 0) -> Tensor:
    """Binary mask with exactly ``kept_count`` ones per layer; of equal scores the first ones by index are kept.

    The backward pass is straight through from the mask to |score|. The sign of a score so decides in which direction
    it grows: without it, a useful weight with a negative score would be pushed towards being pruned.

    Args:
        scores: importance scores of one layer, any shape, or of several (see ``start_dim``).
        p: percent pruned, 0 <= p < 100.
        start_dim: first dimension that belongs to a layer: ``[G, O, I, K, K]`` with 1 holds G layers.

    Returns:
        0 or 1, the shape and dtype of ``scores``.

    Raises:
        InputError: ``p`` outside its range.
    """
    size = scores.abs()
    flat = size.detach().flatten(start_dim)
    kept = kept_count(flat.shape[-1], p)
    if kept == flat.shape[-1]:
        return straight_through(size, torch.ones_like(scores))
    if kept == 0:
        return straight_through(size, torch.zeros_like(scores))
    smallest_kept = flat.kthvalue(flat.shape[-1] - kept + 1, dim=-1, keepdim=True).values
    above = flat > smallest_kept
    tied = flat == smallest_kept
    room = kept - above.sum(-1, keepdim=True)
    mask = above | (tied & (tied.cumsum(-1) <= room))
    return straight_through(size, mask.to(scores.dtype).view_as(scores))
