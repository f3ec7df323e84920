"""Leaky integrate-and-fire neurons on a weighted sum of inputs, over all timesteps in one launch each way (Eq. 1-3).

A program takes ``BLOCK`` neurons through all timesteps, their membrane in registers. The membrane is written down for the backward
pass, which so needs neither the inputs nor their sum. Sums are in single precision whatever the inputs are. What is summed over
programs is summed in their order: equal calls give equal bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from litesnn.gpu import blocks, launch

BLOCK = 1024


@triton.jit
def lif_forward(xs, shares, membrane, spikes, length, timesteps, tau, threshold, COUNT: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Spikes ``[timesteps, length]`` of ``sum_k share_k x_k``; ``membrane`` is filled where it is not None."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < length
    rest = tl.zeros((BLOCK,), tl.float32)  # u * (1 - y) of the timestep before
    at = i
    for _ in range(timesteps):
        now = tl.zeros((BLOCK,), tl.float32)
        for k in tl.static_range(COUNT):
            x = tl.load(xs[k] + at, mask=inside, other=0.0).to(tl.float32)
            if shares[k] is not None:
                x *= tl.load(shares[k]).to(tl.float32)
            now += x
        u = now + tau * rest
        fired = u > threshold
        rest = tl.where(fired, 0.0, u)
        y = tl.where(fired, 1.0, 0.0)
        tl.store(spikes + at, y.to(spikes.dtype.element_ty), mask=inside)
        if membrane is not None:
            tl.store(membrane + at, u, mask=inside)
        at += length


@triton.jit
def lif_backward(membrane, grad_spikes, width, step, xs, shares, grad, grad_xs, dots, length, timesteps, tau, threshold, b, factor, COUNT: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Gradients of ``lif_forward``: ``grad`` is dL/dI; where an input has a share, ``grad_xs[k]`` and its part of ``dots``.

    Of ``grad_spikes``, ``width`` entries lie side by side, then ``step`` entries further the next. ``dots`` is
    ``[programs, COUNT]``: sums over a program's neurons. ``factor`` is b/2 / tanh(b/2).
    """
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < length
    apart = length // width * step  # of timesteps in grad_spikes
    place = i // width * step + i % width
    at = i
    for _ in range(timesteps - 1):
        at += length
        place += apart
    later = tl.zeros((BLOCK,), tl.float32)  # tau * dL/du of the timestep after
    for _ in range(timesteps):
        u = tl.load(membrane + at, mask=inside, other=0.0)
        z = u - threshold
        # 1 - tanh(x)^2 = 4 s (1 - s) with s = sigmoid(2 x).
        s = tl.sigmoid(2.0 * b * z)
        slope = tl.where(tl.abs(z) < 0.5, 4.0 * factor * s * (1.0 - s), 0.0)
        arriving = tl.load(grad_spikes + place, mask=inside, other=0.0).to(tl.float32)
        # du_{t+1}/du_t = tau * (1 - y_t - u_t * dy/du): the reset is part of the graph.
        keep = tl.where(u > threshold, 0.0, 1.0) - u * slope
        now = arriving * slope + later * keep
        later = tau * now
        tl.store(grad + at, now.to(grad.dtype.element_ty), mask=inside)
        for k in tl.static_range(COUNT):
            if shares[k] is not None:
                scaled = now * tl.load(shares[k]).to(tl.float32)
                tl.store(grad_xs[k] + at, scaled.to(grad_xs[k].dtype.element_ty), mask=inside)
        at -= length
        place -= apart
    if dots is not None:
        tl.debug_barrier()  # what this program has written is read again
        for k in tl.static_range(COUNT):
            if shares[k] is not None:
                dot = tl.zeros((BLOCK,), tl.float32)
                at = i
                for _ in range(timesteps):
                    x = tl.load(xs[k] + at, mask=inside, other=0.0).to(tl.float32)
                    dot += x * tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
                    at += length
                tl.store(dots + tl.program_id(0) * COUNT + k, tl.sum(dot))


class _Lif(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, timesteps: int, neuron: tuple[float, ...], count: int, *terms: Any) -> Tensor:
        inputs, shares = terms[:count], terms[count:]
        spikes = torch.empty_like(inputs[0])
        membrane = torch.empty_like(spikes, dtype=torch.float32) if any(ctx.needs_input_grad) else None
        length, (tau, threshold, _) = spikes.numel() // timesteps, neuron
        sizes = length, timesteps, tau, threshold
        programs = (blocks(length, BLOCK),)
        arguments = tuple(inputs), tuple(shares), membrane, spikes, *sizes
        launch(lif_forward, programs, spikes, *arguments, COUNT=count, BLOCK=BLOCK)
        read = [None if share is None else x for x, share in zip(inputs, shares, strict=True)]
        ctx.save_for_backward(membrane, *read, *shares)
        ctx.timesteps, ctx.neuron, ctx.dtype = timesteps, neuron, spikes.dtype
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor | None, ...]:
        membrane, *terms = ctx.saved_tensors
        count = len(terms) // 2
        inputs, shares = tuple(terms[:count]), tuple(terms[count:])
        rows = side_by_side(grad_spikes, membrane)
        if rows is None:
            grad_spikes, rows = torch.empty_like(membrane, dtype=ctx.dtype).copy_(grad_spikes), (1, 1)
        grad = torch.empty_like(membrane, dtype=ctx.dtype)
        grad_inputs = tuple(None if x is None else torch.empty_like(grad) for x in inputs)
        length, (tau, threshold, b) = grad.numel() // ctx.timesteps, ctx.neuron
        programs = blocks(length, BLOCK)
        dots = None
        if any(share is not None for share in shares):
            dots = torch.empty(programs, count, device=grad.device)
        constants = length, ctx.timesteps, tau, threshold, b, b / 2 / math.tanh(b / 2)
        arguments = membrane, grad_spikes, *rows, inputs, shares, grad, grad_inputs, dots, *constants
        launch(lif_backward, (programs,), grad, *arguments, COUNT=count, BLOCK=BLOCK)
        totals = None if dots is None else dots.sum(0).to(ctx.dtype)
        grad_shares = [None if s is None or totals is None else totals[k].view_as(s) for k, s in enumerate(shares)]
        return None, None, None, *(grad if g is None else g for g in grad_inputs), *grad_shares


def side_by_side(grad: Tensor, like: Tensor) -> tuple[int, int] | None:
    """How many values of ``grad`` lie side by side, and how far the next are: of channels of a wider, dense tensor.

    Returns:
        (1, 1) if it lies as ``like``; None if it is to be copied.
    """
    if grad.stride() == like.stride():
        return 1, 1
    if grad.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        _, channels, height, width = grad.shape
        step = grad.stride(3)
        if grad.stride() == (height * width * step, 1, width * step, step) and step > channels:
            return channels, step
    return None


def lif_of_sum(
    inputs: Sequence[Tensor], shares: Sequence[Tensor | None], timesteps: int, neuron: tuple[float, float, float]
) -> Tensor:
    """Spikes of the weighted sum of what arrives at a node, see ``litesnn.neuron.lif_of_sum``.

    Args:
        inputs: ``[T*B, …]`` or ``[T, …]`` each, time slowest, all of one dense layout.
        shares: the weight of each, a scalar tensor; None for 1. What has a share is spikes.
        timesteps: T.
        neuron: tau, V_th and b.

    Returns:
        Spikes of the inputs' shape and type.
    """
    spikes: Tensor = _Lif.apply(timesteps, neuron, len(inputs), *inputs, *shares)
    return spikes
