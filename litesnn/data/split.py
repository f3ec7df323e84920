"""Stratified splits of a list of labels: pure functions of the labels and a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from litesnn.checks import check_integer, check_number


def stratified_split(labels: Tensor, fraction: float, seed: int, field: str = "val_fraction") -> tuple[Tensor, Tensor]:
    """Holds out the same share of every class.

    A class of n samples gives ``fraction * n`` of them, rounded half up, but at least 1 and at most n - 1; a class
    with a single sample keeps it in the training part.

    Args:
        labels: int64 [n], on any device.
        fraction: share to hold out, 0 < fraction < 1.
        seed: at least 0; the same labels, fraction and seed give the same split.
        field: what a complaint about ``fraction`` names.

    Returns:
        Indices of the training part and of the held-out part, int64 on the CPU, each in rising order; together they
        are 0 .. n - 1, each index once.

    Raises:
        InputError: ``fraction`` or ``seed`` is out of range.
    """
    check_number(field, fraction, above=0, below=1)
    kept, held = [], []
    for members in _shuffled_classes(labels, seed):
        count = 0
        if len(members) > 1:
            count = min(max(math.floor(fraction * len(members) + 0.5), 1), len(members) - 1)
        held.append(members[:count])
        kept.append(members[count:])
    return _joined(kept), _joined(held)


def halves(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Cuts the samples into two halves with the same class shares, for the search's held-out mode.

    Args:
        labels: int64 [n], on any device.
        seed: at least 0.

    Returns:
        Indices of the two halves, int64 on the CPU, each in rising order, disjoint and complete. Their sizes differ
        by at most 1, and so do the numbers of samples of any one class.

    Raises:
        InputError: ``seed`` is out of range.
    """
    first: list[Tensor] = []
    second: list[Tensor] = []
    for members in _shuffled_classes(labels, seed):
        # The classes take turns in giving their odd sample, or the first half would get one more from each of them.
        larger, smaller = (first, second) if _size(first) <= _size(second) else (second, first)
        middle = (len(members) + 1) // 2
        larger.append(members[:middle])
        smaller.append(members[middle:])
    return _joined(first), _joined(second)


def _shuffled_classes(labels: Tensor, seed: int) -> Iterator[Tensor]:
    """The indices of each class in random order, class after class."""
    generator = torch.Generator().manual_seed(check_integer("split_seed", seed, minimum=0, maximum=2**63 - 1))
    labels = labels.cpu()
    for label in labels.unique().tolist():  # unique() sorts, so the order does not depend on the samples' order
        members = torch.nonzero(labels == label).squeeze(1)
        yield members[torch.randperm(len(members), generator=generator)]


def _size(parts: list[Tensor]) -> int:
    return sum(len(part) for part in parts)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).sort().values if parts else torch.empty(0, dtype=torch.int64)
