"""Batches of a split that lies in memory: shuffled and augmented for training, in order and untouched otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from litesnn.checks import check_integer
from litesnn.config import Recipe
from litesnn.data.augment import cutout, flip, flip_alternating, flip_by_chance, random_crop
from litesnn.data.augment_clips import add_noise, mask_span, warp_time
from litesnn.data.dataset import Dataset, Split


def batch_count(samples: int, batch_size: int, *, drop_last: bool) -> int:
    """Number of batches; ``drop_last`` leaves out an incomplete last one unless it is the only one."""
    check_integer("batch size", batch_size, minimum=1)
    if drop_last and samples >= batch_size:
        return samples // batch_size
    return -(-samples // batch_size)


def train_batches(
    dataset: Dataset,
    split: Split,
    batch_size: int,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    use_cutout: bool,
    drop_last: bool,
    seed: int = 0,
    epoch: int = 0,
    members: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One shuffled pass over ``split``, or over some samples of it.

    Args:
        dataset: gives the statistics.
        split: ``dataset.train`` or a part of it, on the data set's device.
        batch_size: samples per batch, at least 1.
        recipe: its data group says what is done to an image.
        generator: CPU generator; one draw for the order, then draws for each batch's augmentation.
        use_cutout: whether ``recipe.cutout`` applies (it does in retraining only).
        drop_last: leave out an incomplete last batch; a pass smaller than one batch is given whole even so.
        seed: which half of the images alternating flips mirror first.
        epoch: from 0; says whose turn it is to be flipped.
        members: int64 [m] on the data set's device, which samples of ``split`` the pass is over; None: all.

    Yields:
        x float32 [B, C, H, W] and y int64 [B]. Crop and flip act on raw pixels, so that a border of zeros is black;
        cutout acts after the normalisation, so that its square is the mean.

    Raises:
        InputError: ``batch_size`` is less than 1.
    """
    samples = len(split) if members is None else len(members)
    count = batch_count(samples, batch_size, drop_last=drop_last)
    order = torch.randperm(samples, generator=generator).to(split.labels.device)
    alternating = recipe.horizontal_flip and recipe.flip_order == "alternating"
    mirrored = flip_alternating(samples, seed, epoch).to(order.device) if alternating else None
    for number in range(count):
        place = order[number * batch_size : (number + 1) * batch_size]
        index = place if members is None else members[place]
        x = random_crop(split.inputs[index], recipe.crop_padding, generator, recipe.crop_border)
        if recipe.horizontal_flip:
            x = flip(x, flip_by_chance(len(x), generator) if mirrored is None else mirrored[place])
        x = dataset.normalise(x)
        if split.inputs.dtype == torch.float32:  # features of clips
            x = warp_time(x, recipe.time_shift, recipe.time_stretch, generator)
            x = add_noise(x, recipe.feature_noise, generator)
            x = mask_span(x, 3, recipe.time_mask, generator)
            x = mask_span(x, 2, recipe.feature_mask, generator)
        if use_cutout:
            x = cutout(x, recipe.cutout, generator)
        yield x, split.labels[index]


def eval_batches(dataset: Dataset, split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The samples of ``split`` in order, normalised only, the incomplete last batch included.

    Args:
        dataset: gives the statistics.
        split: one of the data set's splits, or a part of one.
        batch_size: samples per batch, at least 1.

    Yields:
        x float32 [B, C, H, W] and y int64 [B].

    Raises:
        InputError: ``batch_size`` is less than 1.
    """
    for start in range(0, len(split), check_integer("batch size", batch_size, minimum=1)):
        part = slice(start, start + batch_size)
        yield dataset.normalise(split.inputs[part]), split.labels[part]
