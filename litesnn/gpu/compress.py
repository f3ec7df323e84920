"""Compressed weights of all layers of a network at once: quantised, mixed over bit-widths and masked (Eq. 8-11).

The mask is made outside and given, so that whatever chooses it fits. Gradients are those of ``litesnn.compconv``: straight
through to the weights and, by way of |score|, to the scores. Sums are made in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from litesnn.gpu import launch
from litesnn.gpu.layers import BLOCK, LAYER, Stack, Tables, tables
from litesnn.gpu.select import mark_largest
from litesnn.kept import kept_count
from litesnn.prune import kept_mask
from litesnn.steps import STEP_PER_STD

_STEPS = tuple(STEP_PER_STD[bits] for bits in (1, 2, 3, 4))


@triton.jit
def deviations(weights, sums, layers, programs, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """``sums[program]``: of the weights of a block and of their squares, around the layer's first weight."""
    row = layers + tl.load(programs + 2 * tl.program_id(0)) * COLUMNS
    start, count = tl.load(row), tl.load(row + 1)
    i = tl.load(programs + 2 * tl.program_id(0) + 1) + tl.arange(0, BLOCK)
    value = tl.load(weights + start + i, mask=i < count, other=0.0) - tl.load(weights + start)
    value = tl.where(i < count, value, 0.0)
    tl.store(sums + 2 * tl.program_id(0), tl.sum(value, 0))
    tl.store(sums + 2 * tl.program_id(0) + 1, tl.sum(value * value, 0))


@triton.jit
def _deviation(sums, first_program, many, count, PARTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Standard deviation of a layer with the unbiased estimate of the variance; above 0."""
    first, second = tl.zeros((PARTS,), tl.float64), tl.zeros((PARTS,), tl.float64)
    for p in range(0, many, PARTS):
        q = p + tl.arange(0, PARTS)
        first += tl.load(sums + 2 * (first_program + q), mask=q < many, other=0.0).to(tl.float64)
        second += tl.load(sums + 2 * (first_program + q) + 1, mask=q < many, other=0.0).to(tl.float64)
    total = tl.sum(first, 0)
    square = tl.maximum(tl.sum(second, 0) - total * total / count, 0.0)
    return tl.maximum(tl.sqrt(square / tl.maximum(count - 1, 1)).to(tl.float32), 1.1754943508222875e-38)


@triton.jit
def _step(bits, S1: tl.constexpr, S2: tl.constexpr, S3: tl.constexpr, S4: tl.constexpr):  # type: ignore[no-untyped-def]
    """Quantisation step per standard deviation."""
    return tl.where(bits == 1, S1, tl.where(bits == 2, S2, tl.where(bits == 3, S3, S4)))


@triton.jit
def _level(weight, step, bits):  # type: ignore[no-untyped-def]
    """±1/2, ±3/2, …: Q_b(W) / step."""
    half = (1 << (bits - 1)).to(tl.float32)
    return tl.minimum(tl.maximum(tl.floor(tl.div_rn(weight, step)), -half), half - 1.0) + 0.5


@triton.jit
def compress(weights, shares, mask, sums, stds, out, layers, programs, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, S1: tl.constexpr, S2: tl.constexpr, S3: tl.constexpr, S4: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """``out = sum_j share_j * Q_bj(weight) * mask``, each layer channels last; ``stds[layer]`` is kept."""
    layer = tl.load(programs + 2 * tl.program_id(0))
    row = layers + layer * COLUMNS
    start, count, inputs, area = tl.load(row), tl.load(row + 1), tl.load(row + 3), tl.load(row + 4)
    place, widths, packed = tl.load(row + 7), tl.load(row + 8), tl.load(row + 9)
    first = tl.load(programs + 2 * tl.program_id(0) + 1)
    std = _deviation(sums, tl.load(row + 5), tl.load(row + 6), count, 128)
    if first == 0:
        tl.store(stds + layer, std)
    i = first + tl.arange(0, BLOCK)
    weight = tl.load(weights + start + i, mask=i < count, other=0.0)
    mixed = tl.zeros((BLOCK,), tl.float32)
    for j in range(widths):
        bits = ((packed >> (4 * j)) & 15).to(tl.int32)
        step = std * _step(bits, S1, S2, S3, S4)
        share = tl.load(shares + place + j, mask=place >= 0, other=1.0)
        mixed += _level(weight, step, bits) * (step * share)
    if mask is not None:
        mixed = tl.where(tl.load(mask + start + i, mask=i < count, other=0) != 0, mixed, 0.0)
    filters = inputs * area
    to = i // filters * filters + i % area * inputs + i % filters // area
    tl.store(out + start + to, mixed, mask=i < count)


@triton.jit
def compress_backward(grads, weights, scores, shares, mask, stds, of_weights, of_scores, dots, layers, programs, COLUMNS: tl.constexpr, MOST: tl.constexpr, BLOCK: tl.constexpr, S1: tl.constexpr, S2: tl.constexpr, S3: tl.constexpr, S4: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Gradients of ``compress``, each where it is not None; ``dots[program, MOST]`` are a block's part of the shares'."""
    layer = tl.load(programs + 2 * tl.program_id(0))
    row = layers + layer * COLUMNS
    start, count, inputs, area = tl.load(row), tl.load(row + 1), tl.load(row + 3), tl.load(row + 4)
    place, widths, packed = tl.load(row + 7), tl.load(row + 8), tl.load(row + 9)
    i = tl.load(programs + 2 * tl.program_id(0) + 1) + tl.arange(0, BLOCK)
    inside = i < count
    filters = inputs * area
    at = i // filters * filters + i % area * inputs + i % filters // area
    grad = tl.load(grads + start + at, mask=inside, other=0.0).to(tl.float32)
    masked = grad
    if mask is not None:
        masked = tl.where(tl.load(mask + start + i, mask=inside, other=0) != 0, grad, 0.0)
    weight = tl.load(weights + start + i, mask=inside, other=0.0)
    std = tl.load(stds + layer)
    mixed = tl.zeros((BLOCK,), tl.float32)
    total = 0.0
    for j in range(widths):
        bits = ((packed >> (4 * j)) & 15).to(tl.int32)
        step = std * _step(bits, S1, S2, S3, S4)
        share = tl.load(shares + place + j, mask=place >= 0, other=1.0)
        level = _level(weight, step, bits)
        total += share
        mixed += level * (step * share)
        if dots is not None:
            tl.store(dots + tl.program_id(0) * MOST + j, tl.sum(masked * level, 0) * step)
    if of_weights is not None:
        tl.store(of_weights + start + i, masked * total, mask=inside)
    if of_scores is not None:
        score = tl.load(scores + start + i, mask=inside, other=0.0)
        sign = tl.where(score > 0, 1.0, tl.where(score < 0, -1.0, 0.0))
        tl.store(of_scores + start + i, grad * mixed * sign, mask=inside)


@triton.jit
def add_up(dots, spans, of_shares, widths, MOST: tl.constexpr, PARTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """``of_shares[row, j]``: the sum of ``dots`` over the programs of a row of shares."""
    row, j = tl.program_id(0), tl.program_id(1)
    first, end = tl.load(spans + 2 * row), tl.load(spans + 2 * row + 1)
    total = tl.zeros((PARTS,), tl.float64)
    for p in range(first, end, PARTS):
        q = p + tl.arange(0, PARTS)
        total += tl.load(dots + q * MOST + j, mask=q < end, other=0.0).to(tl.float64)
    tl.store(of_shares + row * widths + j, tl.sum(total, 0).to(tl.float32))


class _Compress(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tables,
        masked: tuple[Tensor, Tensor] | None,
        shares: Tensor | None,
        shapes: tuple[tuple[int, ...], ...],
        rounded: Sequence[bool],
        *tensors: Any,
    ) -> Any:
        weights = torch.cat([weight.reshape(-1) for weight in tensors[: len(shapes)]])
        mask, scores = (None, None) if masked is None else masked
        if not any(ctx.needs_input_grad[5 + len(shapes) :]):
            scores = None
        programs = (len(table.programs),)
        sums = torch.empty(len(table.programs), 2, device=weights.device)
        stds = torch.empty(len(table.layers), device=weights.device)
        out = torch.empty_like(weights)
        where = table.layers, table.programs
        constants = {"COLUMNS": len(LAYER), "BLOCK": BLOCK}
        steps = dict(zip(("S1", "S2", "S3", "S4"), _STEPS, strict=True))
        launch(deviations, programs, weights, weights, sums, *where, **constants)
        read = stds if shares is None else shares  # of no shares nothing is read
        launch(compress, programs, weights, weights, read, mask, sums, stds, out, *where, **constants, **steps)
        ctx.save_for_backward(weights, scores, shares, mask, stds)
        ctx.table, ctx.shapes = table, shapes
        exact = _as_convolved(out, shapes)
        if not any(rounded):
            return tuple(exact)
        few = _as_convolved(out.bfloat16(), shapes)
        return tuple(a if is_few else b for is_few, a, b in zip(rounded, few, exact, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        weights, scores, shares, mask, stds = ctx.saved_tensors
        table, shapes, many = ctx.table, ctx.shapes, len(ctx.shapes)
        # As they lie: channels last.
        arriving = torch.cat([_laid_out(grad, shape, weights) for grad, shape in zip(grads, shapes, strict=True)])
        of_weights = torch.empty_like(weights) if any(ctx.needs_input_grad[5 : 5 + many]) else None
        of_scores = None if scores is None else torch.empty_like(weights)
        wants_shares = shares is not None and ctx.needs_input_grad[2]
        of_shares = torch.empty_like(shares) if wants_shares else None
        dots = torch.empty(len(table.programs), table.most_widths, device=weights.device) if wants_shares else None
        constants = {"COLUMNS": len(LAYER), "MOST": table.most_widths, "BLOCK": BLOCK}
        steps = dict(zip(("S1", "S2", "S3", "S4"), _STEPS, strict=True))
        given = arriving, weights, scores, stds if shares is None else shares, mask, stds
        wanted = of_weights, of_scores, dots, table.layers, table.programs
        launch(compress_backward, (len(table.programs),), weights, *given, *wanted, **constants, **steps)
        if of_shares is not None:
            rows, widths = of_shares.shape
            arguments = dots, table.spans, of_shares, widths
            launch(add_up, (rows, widths), weights, *arguments, MOST=table.most_widths, PARTS=256)
        none = [None] * many
        to_weights = none if of_weights is None else _split(of_weights, shapes)
        to_scores = none if of_scores is None else _split(of_scores, shapes)
        count = len(ctx.needs_input_grad) - 5
        return None, None, of_shares, None, None, *[*to_weights, *to_scores][:count]


def _split(flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    sizes = [torch.Size(shape).numel() for shape in shapes]
    return [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]


def _as_convolved(flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """``[G * O, I, K, K]``, channels last, of what lies side by side."""
    found = []
    for part, (layers, outputs, inputs, height, width) in zip(_split(flat, shapes), shapes, strict=True):
        found.append(part.view(layers * outputs, height, width, inputs).permute(0, 3, 1, 2))
    return found


def _laid_out(grad: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    if grad is None:
        return like.new_zeros(torch.Size(shape).numel())
    return grad.permute(0, 2, 3, 1).reshape(-1)


def compress_all(
    weights: Sequence[Tensor],
    importance: Sequence[Tensor],
    bits: Sequence[tuple[int, ...]],
    rows: Sequence[int],
    bit_shares: Tensor | None,
    p: float,
    mask_n: int,
    rounded: Sequence[bool] = (),
) -> list[Tensor]:
    """The weights that convolutions use, of many ``CompConv`` in eleven launches, more where masks are N:M (Eq. 8-11).

    Args:
        weights: ``[G, O, I, K, K]`` each.
        importance: what masks rank, each of its weight's shape.
        bits: candidate bit-widths of each.
        rows: the row of ``bit_shares`` that each uses, -1 for a single bit-width; equal ones side by side.
        bit_shares: softmax(beta), ``[cells, bit-widths]``; None where nobody uses it.
        p: percent pruned of each layer.
        mask_n: N of N:M masks, or 0.
        rounded: which are wanted in bfloat16; empty: none.

    Returns:
        ``[G * O, I, K, K]`` each, channels last.
    """
    stacks = []
    for weight, candidates, row in zip(weights, bits, rows, strict=True):
        layers, outputs, inputs, height, width = weight.shape
        kept = kept_count(outputs * inputs * height * width, p)
        stacks.append(Stack(layers, outputs, inputs, height * width, kept, candidates, row))
    table = tables(tuple(stacks), weights[0].device)
    masked = None
    if p:
        with torch.no_grad():
            masked = _masked(importance, table, p, mask_n)
    shapes = tuple(tuple(weight.shape) for weight in weights)
    shares = None if bit_shares is None else bit_shares.contiguous()
    found: tuple[Tensor, ...] = _Compress.apply(table, masked, shares, shapes, rounded, *weights, *importance)
    return list(found)


def _masked(importance: Sequence[Tensor], table: Tables, p: float, mask_n: int) -> tuple[Tensor, Tensor]:
    """The mask, uint8, and what it ranks, both ``[weights]``."""
    flat = torch.cat([each.reshape(-1) for each in importance])
    if not mask_n:
        return mark_largest(flat, table), flat
    marks = [kept_mask(each.abs().flatten(1), p, mask_n).reshape(-1) for each in importance]
    return torch.cat(marks).view(torch.uint8), flat
