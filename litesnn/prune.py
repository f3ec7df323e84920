"""Pruning masks from importance scores: the largest |score| of each layer is kept (Sehwag et al., NeurIPS 2020)."""

import math

import numpy as np
import torch
from torch import Tensor

from litesnn.kept import kept_count
from litesnn.straight_through import straight_through


def keep_largest(size: Tensor, kept: int) -> Tensor:
    """Marks the ``kept`` largest entries of every row; of equal ones the first are taken.

    Args:
        size: ``[layers, weights]``, not negative.
        kept: how many of a row, 0 to its length.

    Returns:
        Booleans, the shape of ``size``.
    """
    rows, length = size.shape
    if kept == 0 or kept == length:
        return torch.full_like(size, kept > 0, dtype=torch.bool)
    smallest_kept = _kth_smallest(size, length - kept)
    mask = size >= smallest_kept
    # Nearly always nothing is tied. Looking is free on a CPU; on a GPU it would make the host wait.
    if size.device.type == "cpu" and int(mask.count_nonzero()) == rows * kept:
        return mask
    above = size > smallest_kept
    tied = mask & ~above
    room = kept - above.sum(-1, keepdim=True)
    return above | (tied & (tied.cumsum(-1) <= room))


def _kth_smallest(size: Tensor, index: int) -> Tensor:
    """Entry ``index`` of every sorted row, ``[rows, 1]``; NumPy's selection is several times faster on a CPU."""
    if size.device.type == "cpu":
        return torch.from_numpy(np.partition(size.numpy(), index, axis=-1)[:, index : index + 1].copy())
    return size.kthvalue(index + 1, dim=-1, keepdim=True).values


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
    rows = size.detach().reshape(math.prod(scores.shape[:start_dim]), -1)
    mask = keep_largest(rows, kept_count(rows.shape[-1], p))
    return straight_through(size, mask.to(scores.dtype).view_as(scores))
