"""Spikes in bytes, as backward passes keep them: a quarter of the memory."""

import torch
from torch import Tensor

_KEPT = "_litesnn_in_bytes"


def in_bytes(spikes: Tensor) -> Tensor:
    """``spikes`` as bytes, in the same shape and layout.

    Several layers read the same spikes and keep them: the bytes are made once and stay with the tensor as long as it is not
    changed in place.

    Args:
        spikes: 0 and 1.
    """
    if spikes.is_inference():  # nobody knows whether it changes
        return spikes.to(torch.uint8)
    version, found = getattr(spikes, _KEPT, (None, None))
    if found is None or version != spikes._version:
        found = spikes.to(torch.uint8)
        setattr(spikes, _KEPT, (spikes._version, found))
    return found
