"""Pruning masks from importance scores: the largest |score| of each layer is kept (Sehwag et al., NeurIPS 2020)."""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from litesnn.kept import kept_count, mask_groups
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
    if _on_host(size) and int(mask.count_nonzero()) == rows * kept:
        return mask
    above = size > smallest_kept
    tied = mask & ~above
    room = kept - above.sum(-1, keepdim=True)
    return above | (tied & (tied.cumsum(-1) <= room))


def keep_in_groups(size: Tensor, kept: int, n: int) -> Tensor:
    """``keep_largest`` in every group of ``mask_groups``, the same in all rows.

    Args:
        size: ``[layers, weights]``, not negative.
        kept: how many of a row.
        n: N of N:M masks, at least 1.

    Returns:
        Booleans, the shape of ``size``.
    """
    rows, length = size.shape
    places, few = _group_places(length, kept, n, size.device)  # [groups, M], [groups, 1]
    padded = torch.cat([size, size.new_full((rows, 1), -1)], 1)[:, places]  # [rows, groups, M]
    order = padded.sort(dim=-1, descending=True, stable=True).indices
    chosen = torch.arange(places.shape[1], device=size.device).expand_as(order) < few
    marks = torch.empty_like(chosen).scatter_(-1, order, chosen)
    mask = torch.zeros((rows, length + 1), dtype=torch.bool, device=size.device)
    mask[:, places.flatten()] = marks.flatten(1)
    return mask[:, :length]


@functools.lru_cache(maxsize=256)
def _group_places(weights: int, kept: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices of each group's weights, filled up with ``weights``, and how many of each are kept."""
    starts, ends, few = np.array(list(mask_groups(weights, kept, n))).T
    places = starts[:, None] + np.arange((ends - starts).max())
    places[places >= ends[:, None]] = weights
    return torch.from_numpy(places).to(device), torch.from_numpy(few.copy()).to(device)[:, None]


def _kth_smallest(size: Tensor, index: int) -> Tensor:
    """Entry ``index`` of every sorted row, ``[rows, 1]``; NumPy's selection is several times faster on a CPU."""
    if _on_host(size):
        return torch.from_numpy(np.partition(size.numpy(), index, axis=-1)[:, index : index + 1].copy())
    return size.kthvalue(index + 1, dim=-1, keepdim=True).values


def _on_host(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def kept_mask(size: Tensor, p: float, n: int) -> Tensor:
    """Marks the largest of every row, or of every group of N:M masks where ``n`` is not 0; ``size`` is ``[layers, weights]``."""
    kept = kept_count(size.shape[-1], p)
    return keep_in_groups(size, kept, n) if n else keep_largest(size, kept)


def prune_mask(scores: Tensor, p: float, *, start_dim: int = 0, n: int = 0) -> Tensor:
    """Binary mask with exactly ``kept_count`` ones per layer; of equal scores the first ones by index are kept.

    The backward pass is straight through from the mask to |score|. The sign of a score so decides in which direction
    it grows: without it, a useful weight with a negative score would be pushed towards being pruned.

    Args:
        scores: importance scores of one layer, any shape, or of several (see ``start_dim``).
        p: percent pruned, 0 <= p < 100.
        start_dim: first dimension that belongs to a layer: ``[G, O, I, K, K]`` with 1 holds G layers.
        n: N of N:M masks, see ``litesnn.kept.mask_groups``; 0: any weights of a layer may stay.

    Returns:
        0 or 1, the shape and dtype of ``scores``.

    Raises:
        InputError: ``p`` outside its range.
    """
    size = scores.abs()
    rows = size.detach().reshape(math.prod(scores.shape[:start_dim]), -1)
    mask = kept_mask(rows, p, n)
    return straight_through(size, mask.to(scores.dtype).view_as(scores))
