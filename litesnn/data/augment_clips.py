"""Random changes of a batch of speech features, each clip by its own draw, without a loop over clips.

All act on normalised features, where 0 is the mean of a coefficient. Draws come from a CPU generator and move to the batch's
device, so that a seed gives the same batch on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def warp_time(x: Tensor, shift: int, stretch: float, generator: torch.Generator) -> Tensor:
    """Plays each clip faster or slower, earlier or later; frames in between are interpolated, the ends go on as they are.

    Args:
        x: float32 [B, 1, coefficients, frames].
        shift: largest shift in frames, either way.
        stretch: largest change of the tempo, 0.1 for 10 % either way, below 1; with 0 and no shift nothing is drawn.
        generator: CPU generator; gives the tempi, then the shifts, both uniform.

    Returns:
        The shape of ``x``; frame f is what stood at ``(f - middle) * tempo + middle + shift``.
    """
    if not shift and not stretch:
        return x
    frames = x.shape[3]
    tempo = 1 + stretch * _either_way(len(x), generator)
    moved = shift * _either_way(len(x), generator)
    middle = (frames - 1) / 2
    places = ((torch.arange(frames) - middle) * tempo + middle + moved).clamp(0, frames - 1)  # [B, frames]
    before = places.floor().clamp(max=frames - 2)
    part = (places - before)[:, None, None].to(x.device, non_blocking=True)
    index = before.long()[:, None, None].to(x.device, non_blocking=True).expand(-1, *x.shape[1:3], -1)
    return torch.lerp(x.gather(3, index), x.gather(3, index + 1), part)


def add_noise(x: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Adds Gaussian noise whose deviation is drawn for each clip, uniform in 0 .. ``largest``; 0 draws nothing.

    Args:
        x: float32 [B, 1, coefficients, frames].
        largest: in deviations of a coefficient over the training clips.
        generator: CPU generator; gives the deviations, then the noise.
    """
    if not largest:
        return x
    deviation = largest * torch.rand(len(x), 1, 1, 1, generator=generator)
    return x + (deviation * torch.randn(x.shape, generator=generator)).to(x.device, non_blocking=True)


def mask_span(x: Tensor, dim: int, largest: int, generator: torch.Generator) -> Tensor:
    """Sets a span of neighbours to 0 in each clip (Park et al., *SpecAugment*, Interspeech 2019).

    Args:
        x: float32 [B, 1, coefficients, frames].
        dim: 2 for coefficients, 3 for frames.
        largest: the span's width is uniform in 0 .. ``largest``, at most the dimension; 0 draws nothing.
        generator: CPU generator; gives the widths, then the first places.
    """
    if not largest:
        return x
    length = x.shape[dim]
    width = torch.randint(0, min(largest, length) + 1, (len(x), 1), generator=generator)
    first = (torch.rand(len(x), 1, generator=generator) * (length - width + 1)).long()
    place = torch.arange(length)
    inside = ((place >= first) & (place < first + width)).to(x.device, non_blocking=True)  # [B, length]
    return x.masked_fill(inside[:, None, :, None] if dim == 2 else inside[:, None, None, :], 0)


def _either_way(count: int, generator: torch.Generator) -> Tensor:
    """Uniform in -1 .. 1, [count, 1]."""
    return 2 * torch.rand(count, 1, generator=generator) - 1
