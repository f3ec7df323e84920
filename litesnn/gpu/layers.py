"""Where the weights of all layers lie when they are worked on in one launch: side by side, cut into blocks.

Kernels learn from two tables of integers which layer a program works on, and what there is to know of that layer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from litesnn.gpu import blocks

BLOCK = 2048
"""Weights of a program."""
LAYER = ("start", "count", "kept", "inputs", "area", "first_program", "programs", "shares", "widths", "bits")
"""Columns of the table of layers; ``shares`` is where its bit-widths' shares lie, -1 for a single one of share 1."""


@dataclass(frozen=True)
class Stack:
    """G layers of one shape, as a ``CompConv`` holds them.

    Args:
        layers: G.
        outputs: output channels of each.
        inputs: input channels.
        area: kernel side squared.
        kept: how many of a layer's weights stay.
        bits: candidate bit-widths.
        shares: row of the matrix of shares, -1 where there is a single bit-width.
    """

    layers: int
    outputs: int
    inputs: int
    area: int
    kept: int
    bits: tuple[int, ...]
    shares: int

    @property
    def count(self) -> int:
        """Weights of a layer."""
        return self.outputs * self.inputs * self.area


@dataclass(frozen=True, eq=False)
class Tables:
    """What kernels read.

    Args:
        layers: int64 ``[layers, len(LAYER)]``.
        programs: int64 ``[programs, 2]``: the layer, and the first of its weights, counted within the layer.
        spans: int64 ``[rows of shares, 2]``: first program, and the one behind the last, of the layers that use a row.
        weights: of all layers.
        most_widths: bit-widths of the layer that has most.
    """

    layers: Tensor
    programs: Tensor
    spans: Tensor
    weights: int
    most_widths: int


@functools.lru_cache(maxsize=64)
def tables(stacks: tuple[Stack, ...], device: torch.device) -> Tables:
    """The tables of some stacks, those with the same row of shares next to each other; moved to the device once."""
    layers: list[list[int]] = []
    programs: list[tuple[int, int]] = []
    spans: dict[int, tuple[int, int]] = {}
    start = 0
    for stack in stacks:
        before = len(programs)
        for _ in range(stack.layers):
            many, packed = blocks(stack.count, BLOCK), sum(b << 4 * j for j, b in enumerate(stack.bits))
            place = -1 if stack.shares < 0 else stack.shares * len(stack.bits)
            sizes = start, stack.count, stack.kept, stack.inputs, stack.area
            layers.append([*sizes, len(programs), many, place, len(stack.bits), packed])
            programs += [(len(layers) - 1, block * BLOCK) for block in range(many)]
            start += stack.count
        if stack.shares >= 0:
            first, end = spans.get(stack.shares, (before, before))
            assert end == before, "expected stacks with the same shares side by side"
            spans[stack.shares] = first, len(programs)
    rows = [spans[row] for row in sorted(spans)]
    assert sorted(spans) == list(range(len(spans)))
    most = max(len(stack.bits) for stack in stacks)

    def moved(table: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(table, dtype=torch.int64).to(device)

    return Tables(moved(layers), moved(programs), moved(rows or [(0, 0)]), weights=start, most_widths=most)
