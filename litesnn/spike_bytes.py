"""Spikes in bytes, as backward passes keep them, a quarter of the memory; or in bfloat16, as products want them on a GPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

_KEPT, _KEPT_ROUNDED = "_litesnn_in_bytes", "_litesnn_in_bfloat16"


def in_bytes(spikes: Tensor) -> Tensor:
    """``spikes`` as bytes, in the same shape and layout.

    Several layers read the same spikes and keep them: the bytes are made once and stay with the tensor as long as it is not
    changed in place.

    Args:
        spikes: 0 and 1.
    """
    if spikes.is_inference():  # nobody knows whether it changes
        return spikes.to(torch.uint8)
    found = _found(spikes)
    if found is None:
        found = spikes.to(torch.uint8)
        keep_bytes(spikes, found)
    return found


def in_bfloat16(x: Tensor) -> Tensor:
    """``x`` rounded to bfloat16, in the same layout; as ``in_bytes`` made once for all that read it."""
    if x.is_inference():
        return x.bfloat16()
    version, found = getattr(x, _KEPT_ROUNDED, (None, None))
    if found is None or version != x._version:
        found = x.bfloat16()
        setattr(x, _KEPT_ROUNDED, (x._version, found))
    return found


def keep_bytes(spikes: Tensor, narrow: Tensor) -> None:
    """Lets ``in_bytes(spikes)`` give ``narrow``, which is of the same values, shape and layout."""
    if not spikes.is_inference():
        setattr(spikes, _KEPT, (spikes._version, narrow))


def side_by_side(nodes: Sequence[Tensor]) -> Tensor:
    """The channels of all nodes in one tensor, and in bytes too where all nodes are.

    Args:
        nodes: spikes ``[N, C, H, W]`` each.
    """
    out = torch.cat(list(nodes), dim=1)
    narrow = [None if node.is_inference() else _found(node) for node in nodes]
    if all(each is not None for each in narrow):
        keep_bytes(out, torch.cat([each for each in narrow if each is not None], dim=1))
    return out


def _found(spikes: Tensor) -> Tensor | None:
    version, found = getattr(spikes, _KEPT, (None, None))
    return found if version == spikes._version else None
