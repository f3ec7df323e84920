"""Marks the scores of largest magnitude in every layer, of all layers at once: a radix selection in six launches.

The bits of |score| as integers are in the order of the values. Three counts, of 11, 10 and 10 bits, narrow the smallest kept
value down; of scores that equal it the first stay, as in ``litesnn.prune.keep_largest``. Only integers are added up, so the
order of additions does not matter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from litesnn.gpu import launch
from litesnn.gpu.layers import BLOCK, LAYER, Tables

BINS = 2048


@triton.jit
def _narrowed(histogram, rank, BINS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The bin in which the value of a rank lies, and its rank within the bin."""
    counts = tl.load(histogram + tl.arange(0, BINS))
    below = tl.cumsum(counts, 0) <= rank
    return tl.sum(below.to(tl.int32), 0), rank - tl.sum(tl.where(below, counts, 0), 0)


@triton.jit
def count_bits(scores, histograms, layers, programs, COLUMNS: tl.constexpr, LEVEL: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Adds a block to ``histograms[layer, LEVEL]``, of those that share all leading bits with the value looked for."""
    layer = tl.load(programs + 2 * tl.program_id(0))
    row = layers + layer * COLUMNS
    start, count, kept = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    i = tl.load(programs + 2 * tl.program_id(0) + 1) + tl.arange(0, BLOCK)
    score = tl.load(scores + start + i, mask=i < count, other=0.0)
    bits = score.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    own = histograms + layer * 3 * BINS
    counted = i < count
    rank = (count - kept).to(tl.int32)
    if LEVEL == 0:
        key = bits >> 20
    else:
        lead, rank = _narrowed(own, rank, BINS)
        counted = counted & (bits >> 20 == lead)
        key = (bits >> 10) & 1023
        if LEVEL == 2:
            lead, rank = _narrowed(own + BINS, rank, BINS)
            counted = counted & (key == lead)
            key = bits & 1023
    found = tl.histogram(key, BINS, mask=counted)
    b = tl.arange(0, BINS)
    tl.atomic_add(own + LEVEL * BINS + b, found, mask=found > 0)


@triton.jit
def count_ties(scores, histograms, ties, smallest, layers, programs, COLUMNS: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """``ties[program]``: how many equal the smallest kept value; ``smallest[layer]``: its bits, and how many of them stay."""
    layer = tl.load(programs + 2 * tl.program_id(0))
    row = layers + layer * COLUMNS
    start, count, kept = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    first = tl.load(programs + 2 * tl.program_id(0) + 1)
    i = first + tl.arange(0, BLOCK)
    score = tl.load(scores + start + i, mask=i < count, other=0.0)
    bits = score.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    own = histograms + layer * 3 * BINS
    high, rank = _narrowed(own, (count - kept).to(tl.int32), BINS)
    middle, rank = _narrowed(own + BINS, rank, BINS)
    low, rank = _narrowed(own + 2 * BINS, rank, BINS)
    value = (high << 20) | (middle << 10) | low
    tl.store(ties + tl.program_id(0), tl.sum(((bits == value) & (i < count)).to(tl.int32), 0))
    if first == 0:
        here = tl.load(own + 2 * BINS + low, mask=kept > 0, other=0)
        tl.store(smallest + 2 * layer, value)
        tl.store(smallest + 2 * layer + 1, here - rank)


@triton.jit
def mark(scores, ties, smallest, mask, layers, programs, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """``mask``: 1 where a score stays."""
    layer = tl.load(programs + 2 * tl.program_id(0))
    row = layers + layer * COLUMNS
    start, count, kept = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    first_program = tl.load(row + 5)
    before = tl.zeros((BLOCK,), tl.int32)
    for p in range(first_program, tl.program_id(0), BLOCK):
        q = p + tl.arange(0, BLOCK)
        before += tl.load(ties + q, mask=q < tl.program_id(0), other=0)
    room = tl.load(smallest + 2 * layer + 1) - tl.sum(before, 0)
    value = tl.load(smallest + 2 * layer)
    i = tl.load(programs + 2 * tl.program_id(0) + 1) + tl.arange(0, BLOCK)
    bits = tl.load(scores + start + i, mask=i < count, other=0.0).to(tl.int32, bitcast=True) & 0x7FFFFFFF
    tied = (bits == value) & (i < count)
    stays = (bits > value) | (tied & (tl.cumsum(tied.to(tl.int32), 0) <= room))
    tl.store(mask + start + i, (stays & (kept > 0)).to(tl.uint8), mask=i < count)


def mark_largest(scores: Tensor, tables: Tables) -> Tensor:
    """Marks the ``kept`` scores of largest magnitude of every layer; of equal ones the first.

    Args:
        scores: of all layers, ``[weights]``, single precision.
        tables: of the same layers.

    Returns:
        uint8 ``[weights]``, 0 or 1.
    """
    layers, programs = len(tables.layers), len(tables.programs)
    histograms = torch.zeros(layers, 3, BINS, dtype=torch.int32, device=scores.device)
    where = tables.layers, tables.programs
    constants = {"COLUMNS": len(LAYER), "BLOCK": BLOCK}
    for level in range(3):
        launch(count_bits, (programs,), scores, scores, histograms, *where, LEVEL=level, BINS=BINS, **constants)
    ties = torch.empty(programs, dtype=torch.int32, device=scores.device)
    smallest = torch.empty(layers, 2, dtype=torch.int32, device=scores.device)
    launch(count_ties, (programs,), scores, scores, histograms, ties, smallest, *where, BINS=BINS, **constants)
    mask = torch.empty(len(scores), dtype=torch.uint8, device=scores.device)
    launch(mark, (programs,), scores, scores, ties, smallest, mask, *where, **constants)
    return mask
