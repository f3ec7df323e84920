"""Batch norm in training, weighted by the operations' shares and summed for each node (Eq. 3): three launches each way.

Activations lie channels last, ``[rows, channels]`` with rows = T * B * H * W and channels ordered by round, target and
channel of a target. First every program sums a few rows, then one program per operation adds the sums up and makes
factors of them, then they are applied. Sums are made in a fixed order: equal calls give equal bits.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from litesnn.edge_norm import MOMENTUM, EdgeNorm
from litesnn.gpu import blocks, launch

TILE = 2048  # entries that a program holds at a time
MOST_PARTS = 128


@triton.jit
def moments(x, sums, rows, channels, rows_each, ROWS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """``sums[part]``, ``[2, channels]``: of x and x^2 around the first row, over the rows of a part."""
    part = tl.program_id(0)
    c = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    middle = tl.load(x + c, mask=c < channels, other=0.0).to(tl.float32)
    first, second = tl.zeros((ROWS, WIDE), tl.float32), tl.zeros((ROWS, WIDE), tl.float32)
    end = tl.minimum(rows, (part + 1) * rows_each)
    for start in range(part * rows_each, end, ROWS):
        r = start + tl.arange(0, ROWS)
        inside = (r < end)[:, None] & (c < channels)[None, :]
        at = r.to(tl.int64)[:, None] * channels + c[None, :]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) - middle[None, :]
        value = tl.where(inside, value, 0.0)
        first += value
        second += value * value
    tl.store(sums + part * 2 * channels + c, tl.sum(first, 0), mask=c < channels)
    tl.store(sums + part * 2 * channels + channels + c, tl.sum(second, 0), mask=c < channels)


@triton.jit
def statistics(x, sums, parts, rows, channels, gamma, shares, places, eps, momentum, running_mean, running_var, mean, inverse_std, scale, width, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of one operation: mean, 1 / deviation, running statistics, and ``scale``, ``[channels]`` each."""
    member = tl.program_id(0)
    i = tl.arange(0, WIDE)
    c, inside = member * width + i, i < width
    first, second = tl.zeros((WIDE,), tl.float64), tl.zeros((WIDE,), tl.float64)
    for part in range(parts):
        first += tl.load(sums + part * 2 * channels + c, mask=inside, other=0.0).to(tl.float64)
        second += tl.load(sums + part * 2 * channels + channels + c, mask=inside, other=0.0).to(tl.float64)
    offset = first / rows
    variance = tl.maximum(second / rows - offset * offset, 0.0)
    middle = (tl.load(x + c, mask=inside, other=0.0).to(tl.float64) + offset).to(tl.float32)
    unbiased = (variance * (rows / tl.maximum(rows - 1, 1))).to(tl.float32)
    inverse = (1.0 / tl.sqrt(variance + eps)).to(tl.float32)
    share = 1.0
    if shares is not None:
        share = tl.load(shares + tl.load(places + member)).to(tl.float32)
    before = tl.load(running_mean + c, mask=inside, other=0.0)
    tl.store(running_mean + c, before + momentum * (middle - before), mask=inside)
    before = tl.load(running_var + c, mask=inside, other=0.0)
    tl.store(running_var + c, before + momentum * (unbiased - before), mask=inside)
    tl.store(mean + c, middle, mask=inside)
    tl.store(inverse_std + c, inverse, mask=inside)
    tl.store(scale + c, tl.load(gamma + c, mask=inside, other=0.0) * share * inverse, mask=inside)


@triton.jit
def spread(x, mean, scale, beta, shares, places, outs, rows, channels, rounds, width, TARGETS: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """``outs[t]``, ``[rows, width]``: the sum over the rounds of ``scale * (x - mean) + beta * share``."""
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    per_target = tl.cdiv(width, WIDE)
    target = tl.program_id(1) // per_target
    i = tl.program_id(1) % per_target * WIDE + tl.arange(0, WIDE)
    inside = (r < rows)[:, None] & (i < width)[None, :]
    total = tl.zeros((ROWS, WIDE), tl.float32)
    for number in range(rounds):
        member = number * TARGETS + target
        c = member * width + i
        factor = tl.load(scale + c, mask=i < width, other=0.0)
        middle = tl.load(mean + c, mask=i < width, other=0.0)
        added = tl.load(beta + c, mask=i < width, other=0.0)
        if shares is not None:
            added *= tl.load(shares + tl.load(places + member)).to(tl.float32)
        value = tl.load(x + r.to(tl.int64)[:, None] * channels + c[None, :], mask=inside, other=0.0).to(tl.float32)
        total += (value - middle[None, :]) * factor[None, :] + added[None, :]
    to = r.to(tl.int64)[:, None] * width + i[None, :]
    for t in tl.static_range(TARGETS):
        tl.store(outs[t] + to, total.to(outs[t].dtype.element_ty), mask=inside & (target == t))


@triton.jit
def gradient_sums(x, mean, inverse_std, grads, sums, rows, channels, width, rows_each, TARGETS: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """``sums[part]``, ``[2, channels]``: of g and of g times the normalised value, over the rows of a part."""
    part = tl.program_id(0)
    per_member = tl.cdiv(width, WIDE)
    member = tl.program_id(1) // per_member
    i = tl.program_id(1) % per_member * WIDE + tl.arange(0, WIDE)
    c, target = member * width + i, member % TARGETS
    middle = tl.load(mean + c, mask=i < width, other=0.0)
    inverse = tl.load(inverse_std + c, mask=i < width, other=0.0)
    first, second = tl.zeros((ROWS, WIDE), tl.float32), tl.zeros((ROWS, WIDE), tl.float32)
    end = tl.minimum(rows, (part + 1) * rows_each)
    for start in range(part * rows_each, end, ROWS):
        r = (start + tl.arange(0, ROWS)).to(tl.int64)
        inside = (r < end)[:, None] & (i < width)[None, :]
        value = tl.load(x + r[:, None] * channels + c[None, :], mask=inside, other=0.0).to(tl.float32)
        g = tl.zeros((ROWS, WIDE), tl.float32)
        for t in tl.static_range(TARGETS):
            here = inside & (target == t)
            g += tl.load(grads[t] + r[:, None] * width + i[None, :], mask=here, other=0.0).to(tl.float32)
        first += g
        second += g * (value - middle[None, :]) * inverse[None, :]
    tl.store(sums + part * 2 * channels + c, tl.sum(first, 0), mask=i < width)
    tl.store(sums + part * 2 * channels + channels + c, tl.sum(second, 0), mask=i < width)


@triton.jit
def factors(sums, parts, rows, channels, gamma, beta, shares, places, inverse_std, grad_gamma, grad_beta, grad_shares, by_grad, by_x, add, width, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of one operation: gradients of gamma, beta and share, and what dL/dx = by_grad * g + by_x * (x - mean) + add is made of."""
    member = tl.program_id(0)
    i = tl.arange(0, WIDE)
    c, inside = member * width + i, i < width
    first, second = tl.zeros((WIDE,), tl.float64), tl.zeros((WIDE,), tl.float64)
    for part in range(parts):
        first += tl.load(sums + part * 2 * channels + c, mask=inside, other=0.0).to(tl.float64)
        second += tl.load(sums + part * 2 * channels + channels + c, mask=inside, other=0.0).to(tl.float64)
    to_beta, to_gamma = first.to(tl.float32), second.to(tl.float32)
    weight = tl.load(gamma + c, mask=inside, other=0.0)
    share = 1.0
    if shares is not None:
        place = tl.load(places + member)
        share = tl.load(shares + place).to(tl.float32)
        both = to_gamma * weight + to_beta * tl.load(beta + c, mask=inside, other=0.0)
        tl.store(grad_shares + place, tl.sum(tl.where(inside, both, 0.0)))
    tl.store(grad_gamma + c, to_gamma * share, mask=inside)
    tl.store(grad_beta + c, to_beta * share, mask=inside)
    inverse = tl.load(inverse_std + c, mask=inside, other=0.0)
    scale = weight * share * inverse
    tl.store(by_grad + c, scale, mask=inside)
    tl.store(by_x + c, -scale * (to_gamma / rows) * inverse, mask=inside)
    tl.store(add + c, -scale * (to_beta / rows), mask=inside)


@triton.jit
def input_gradient(x, mean, grads, by_grad, by_x, add, grad_x, rows, channels, width, TARGETS: tl.constexpr, ROWS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """dL/dx, ``[rows, channels]``."""
    r = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    per_member = tl.cdiv(width, WIDE)
    member = tl.program_id(1) // per_member
    i = tl.program_id(1) % per_member * WIDE + tl.arange(0, WIDE)
    c, target = member * width + i, member % TARGETS
    inside = (r < rows)[:, None] & (i < width)[None, :]
    g = tl.zeros((ROWS, WIDE), tl.float32)
    for t in tl.static_range(TARGETS):
        here = inside & (target == t)
        g += tl.load(grads[t] + r[:, None] * width + i[None, :], mask=here, other=0.0).to(tl.float32)
    at = r[:, None] * channels + c[None, :]
    value = (
        tl.load(x + at, mask=inside, other=0.0).to(tl.float32) - tl.load(mean + c, mask=i < width, other=0.0)[None, :]
    )
    value = value * tl.load(by_x + c, mask=i < width, other=0.0)[None, :]
    value += g * tl.load(by_grad + c, mask=i < width, other=0.0)[None, :]
    value += tl.load(add + c, mask=i < width, other=0.0)[None, :]
    tl.store(grad_x + at, value.to(grad_x.dtype.element_ty), mask=inside)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, shares: Tensor | None, norm: EdgeNorm) -> Any:
        images, channels, height, across = x.shape
        rows, width, targets = images * height * across, norm.width, norm.targets
        wide, tall = _tile(width)
        parts, rows_each = _parts(rows, tall)
        sums = torch.empty(parts, 2, channels, device=x.device)
        mean, inverse_std, scale = torch.empty(3, channels, device=x.device).unbind()
        over_all, many = _tile(channels)
        sizes = rows, channels
        launch(moments, (parts, blocks(channels, over_all)), x, x, sums, *sizes, rows_each, ROWS=many, WIDE=over_all)
        learnt = gamma, shares, norm.places
        running = norm.eps, MOMENTUM, norm.running_mean, norm.running_var
        made = mean, inverse_std, scale
        members = norm.rounds * targets
        one = triton.next_power_of_2(width)
        launch(statistics, (members,), x, x, sums, parts, *sizes, *learnt, *running, *made, width, WIDE=one)
        outs = tuple(
            torch.empty((images, width, height, across), device=x.device, memory_format=torch.channels_last)
            for _ in range(targets)
        )
        programs = blocks(rows, tall), targets * blocks(width, wide)
        constants = {"TARGETS": targets, "ROWS": tall, "WIDE": wide}
        affine = mean, scale, beta, shares, norm.places
        launch(spread, programs, x, x, *affine, outs, *sizes, norm.rounds, width, **constants)
        ctx.save_for_backward(x, gamma, beta, shares, norm.places, mean, inverse_std)
        ctx.sizes = rows, channels, width, members, targets
        return outs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, shares, places, mean, inverse_std = ctx.saved_tensors
        rows, channels, width, members, targets = ctx.sizes
        arriving = tuple(grad.contiguous(memory_format=torch.channels_last) for grad in grads)
        wide, tall = _tile(width)
        parts, rows_each = _parts(rows, tall)
        sums = torch.empty(parts, 2, channels, device=x.device)
        across = members * blocks(width, wide)
        constants = {"TARGETS": targets, "ROWS": tall, "WIDE": wide}
        sizes = rows, channels, width
        arguments = x, mean, inverse_std, arriving, sums, *sizes, rows_each
        launch(gradient_sums, (parts, across), x, *arguments, **constants)
        of_gamma, of_beta = torch.empty_like(gamma), torch.empty_like(beta)
        of_shares = None if shares is None else torch.zeros_like(shares)
        by = torch.empty(3, channels, device=x.device).unbind()
        affine = gamma, beta, shares, places, inverse_std, of_gamma, of_beta, of_shares
        one = triton.next_power_of_2(width)
        launch(factors, (members,), x, sums, parts, rows, channels, *affine, *by, width, WIDE=one)
        of_x = torch.empty_like(x)
        launch(input_gradient, (blocks(rows, tall), across), x, x, mean, arriving, *by, of_x, *sizes, **constants)
        return of_x, of_gamma, of_beta, of_shares, None


def _tile(width: int) -> tuple[int, int]:
    """Channels and rows that a program holds, powers of two."""
    wide = min(128, triton.next_power_of_2(width))
    return wide, TILE // wide


def _parts(rows: int, tall: int) -> tuple[int, int]:
    """Into how many parts rows are cut for sums, and how many each has: whole tiles."""
    each = blocks(blocks(rows, MOST_PARTS), tall) * tall
    return blocks(rows, each), each


def spread_in_training(x: Tensor, norm: EdgeNorm, op_shares: Tensor | None) -> tuple[Tensor, ...]:
    """``norm.spread(x, op_shares)`` in training.

    Args:
        x: ``[T*B, rounds * targets * width, H, W]``, single precision or bfloat16.
        norm: its parameters; its running statistics move on.
        op_shares: softmax(alpha), ``[edges, ops]``; None counts every operation fully.

    Returns:
        ``targets`` tensors ``[T*B, width, H, W]`` in single precision.

    Raises:
        ValueError: there is a single value per channel, as torch's own batch norm has it.
    """
    if x.numel() == x.shape[1]:
        raise ValueError("expected more than 1 value per channel in training")
    shares = None if op_shares is None else op_shares.contiguous()
    dense = x.contiguous(memory_format=torch.channels_last)
    spread_out: tuple[Tensor, ...] = _Spread.apply(dense, norm.weight, norm.bias, shares, norm)
    return spread_out
