"""Random changes of a batch of images, each sample by its own draw, without a loop over samples.

Every function draws on the CPU from the given generator and moves the draws to the batch's device, so that a seed gives
the same batch on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def random_crop(x: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Cuts a window of the original size out of the zero-padded images.

    Args:
        x: [B, C, H, W], any dtype.
        padding: zeros added on each of the four sides, in pixels; 0 changes and draws nothing.
        generator: CPU generator; gives the top offsets, then the left ones, each uniform in 0 .. 2 * padding.

    Returns:
        [B, C, H, W]; sample b is ``padded[b, :, top : top + H, left : left + W]``.
    """
    if padding == 0:
        return x
    batch, channels, height, width = x.shape
    offsets = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator).to(x.device, non_blocking=True)
    rows = offsets[0, :, None] + torch.arange(height, device=x.device)  # [B, H]
    columns = offsets[1, :, None] + torch.arange(width, device=x.device)  # [B, W]
    sample = torch.arange(batch, device=x.device)[:, None, None, None]
    channel = torch.arange(channels, device=x.device)[None, :, None, None]
    return pad(x, (padding,) * 4)[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors each image left to right with probability 1/2.

    Args:
        x: [B, C, H, W], any dtype.
        generator: CPU generator; a sample is mirrored where its uniform number is below 1/2.

    Returns:
        [B, C, H, W].
    """
    mirrored = (torch.rand(len(x), generator=generator) < 0.5).to(x.device, non_blocking=True)
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def cutout(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Sets one square per image to 0, which is the mean of an input that is normalised (DeVries and Taylor, 2017).

    Args:
        x: [B, C, H, W], any dtype.
        size: side of the square in pixels; 0 changes and draws nothing.
        generator: CPU generator; gives the centre rows, uniform in 0 .. H - 1, then the columns, in 0 .. W - 1.

    Returns:
        [B, C, H, W]; rows ``centre - size // 2`` to ``centre - size // 2 + size - 1`` and likewise columns are 0 in
        all channels; what lies outside the image is lost, so less than size² pixels are blanked near a border.
    """
    if size == 0:
        return x
    batch, _, height, width = x.shape
    blanked = []
    for length in (height, width):
        centre = torch.randint(0, length, (batch, 1), generator=generator).to(x.device, non_blocking=True)
        distance = torch.arange(length, device=x.device) - (centre - size // 2)  # [B, length]
        blanked.append((distance >= 0) & (distance < size))
    square = blanked[0][:, None, :, None] & blanked[1][:, None, None, :]  # [B, 1, H, W]
    return x.masked_fill(square, 0)
