"""Convolutions of spikes, alone and with the batch norm behind them; on a CPU the 3 x 3 ones by kernels of our own.

They use Winograd's algorithm, or none where channels are few.

In the precision ``"bf16"`` the numbers that are multiplied, in the backward pass too, are rounded to bfloat16 and summed in
single precision; everything that goes in and comes out stays in single precision. A direct convolution, as torch's, has
an error of 0.2 % of the outputs' size then (root of the mean square); Winograd's, which rounds what it has transformed,
1.1 % for spikes and 1.3 % for the gradients. Tensors in double precision are not rounded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from litesnn import native
from litesnn.edge_norm import MOMENTUM, EdgeNorm
from litesnn.spike_bytes import in_bytes


def convolve(x: Tensor, weight: Tensor, stride: int, *, spikes: bool, precision: str = "fp32") -> Tensor:
    """Convolution with a border of zeros that keeps H and W at stride 1.

    Args:
        x: ``[N, inputs, H, W]``.
        weight: ``[outputs, inputs, K, K]``, K odd.
        stride: in both directions.
        spikes: whether ``x`` holds nothing but 0 and 1; the backward pass then takes it from bytes.
        precision: ``"fp32"`` or ``"bf16"``.

    Returns:
        ``[N, outputs, ceil(H / stride), ceil(W / stride)]``.
    """
    out: Tensor = _Convolution.apply(_channels_last(x), _channels_last(weight), stride, spikes, _rounded(x, precision))
    return out


def convolve_and_spread(
    x: Tensor, weight: Tensor, stride: int, norm: EdgeNorm, op_shares: Tensor | None, precision: str = "fp32"
) -> tuple[Tensor, ...]:
    """``norm.spread(convolve(x, weight, stride, spikes=True), op_shares)`` in training, by the kernels alone; see both."""
    rounded = _rounded(x, precision)
    shares = None if op_shares is None else op_shares.contiguous()
    spread: tuple[Tensor, ...] = _ConvolutionAndNorm.apply(
        _channels_last(x), _channels_last(weight), norm.weight, norm.bias, shares, norm, stride, rounded
    )
    return spread


def _rounded(x: Tensor, precision: str) -> bool:
    return precision == "bf16" and x.dtype == torch.float32


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, spikes: bool, rounded: bool) -> Tensor:
        kept = None
        if ctx.needs_input_grad[1]:
            kept = in_bytes(x) if spikes else x
        ctx.save_for_backward(kept, weight)
        ctx.stride, ctx.shape, ctx.rounded = stride, x.shape, rounded
        if not _native(weight) or not native.usable(x, weight):
            return _library_forward(x, weight, stride, rounded)
        out = torch.empty(_out_shape(x.shape, weight, stride), memory_format=torch.channels_last)
        _forward(x, weight, stride, out, rounded)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight = ctx.saved_tensors
        grad, needs = _channels_last(grad), ctx.needs_input_grad[:2]
        if not _native(weight) or not native.usable(grad, weight):
            results = _library_backward(grad, kept, weight, ctx.shape, ctx.stride, needs, ctx.rounded)
            return *results, None, None, None
        layer, results, scratch = _backward_arguments(kept, weight, ctx.shape, ctx.stride, needs, ctx.rounded)
        native.call(_kernel("convolve_backward", ctx.rounded), *layer, grad, *results, scratch)
        return *results, None, None, None


class _ConvolutionAndNorm(torch.autograd.Function):
    """Training by the kernels. What lies between convolution and norm is never kept.

    The backward pass needs the normalised values; they are kept in half precision. They are bounded by the root of the
    number of rows, and only the term that corrects the gradient for the variance reads them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        shares: Tensor | None,
        norm: EdgeNorm,
        stride: int,
        rounded: bool,
    ) -> tuple[Tensor, ...]:
        batch, channels, height, width = _out_shape(x.shape, weight, stride)
        rows = batch * height * width
        if rows == 1:
            raise ValueError("expected more than 1 value per channel in training")  # as torch's own batch norm
        if _native(weight):
            between = native.kept_memory("between", rows * channels)
            _forward(x, weight, stride, between, rounded)
        else:
            between = _library_forward(x, weight, stride, rounded)
        outputs = tuple(
            torch.empty((batch, norm.width, height, width), memory_format=torch.channels_last)
            for _ in range(norm.targets)
        )
        inverse_std = torch.empty_like(gamma)
        normal = torch.empty(rows, channels, dtype=torch.float16) if any(ctx.needs_input_grad) else None
        sizes = rows, norm.rounds, norm.targets, norm.width
        layer = *sizes, between, gamma, beta, shares, norm.places, norm.eps, MOMENTUM
        native.call("norm_forward", *layer, norm.running_mean, norm.running_var, inverse_std, normal, outputs)
        kept = in_bytes(x) if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(kept, weight, normal, gamma, beta, shares, norm.places, inverse_std)
        ctx.sizes, ctx.shape, ctx.stride, ctx.rounded = sizes, x.shape, stride, rounded
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight, normal, gamma, beta, shares, places, inverse_std = ctx.saved_tensors
        rows, rounds, targets, width = ctx.sizes
        arriving = [_channels_last(grad) for grad in grads]
        of_gamma, of_beta = torch.empty_like(gamma), torch.empty_like(beta)
        of_shares = None if shares is None else torch.zeros_like(shares)
        factors = torch.empty(3, len(gamma)).unbind()
        layer = *ctx.sizes, normal, gamma, beta, shares, places, inverse_std
        native.call("norm_backward", *layer, arriving, *factors, of_gamma, of_beta, of_shares)
        needs = ctx.needs_input_grad[:2]
        if _native(weight):
            convolution, results, scratch = _backward_arguments(kept, weight, ctx.shape, ctx.stride, needs, ctx.rounded)
            norm = rounds, targets, normal, arriving, *factors
            native.call(_kernel("convolve_norm_backward", ctx.rounded), *convolution, *norm, *results, scratch)
        else:
            grad = torch.empty(_out_shape(ctx.shape, weight, ctx.stride), memory_format=torch.channels_last)
            native.call("norm_input_grad", 0, rows, rounds, targets, width, normal, arriving, *factors, grad)
            results = _library_backward(grad, kept, weight, ctx.shape, ctx.stride, needs, ctx.rounded)
        return *results, of_gamma, of_beta, of_shares, None, None, None


def _native(weight: Tensor) -> bool:
    return weight.shape[-1] == 3


def _kernel(name: str, rounded: bool) -> str:
    return f"{name}_bf16" if rounded else name


def _out_shape(shape: torch.Size, weight: Tensor, stride: int) -> tuple[int, int, int, int]:
    images, _, height, width = shape
    return images, len(weight), -(-height // stride), -(-width // stride)


def _sizes(shape: torch.Size, weight: Tensor, stride: int) -> tuple[int, int, int, int, int, int]:
    images, inputs, height, width = shape
    return images, height, width, inputs, len(weight), stride


def _forward(x: Tensor, weight: Tensor, stride: int, out: Tensor, rounded: bool) -> None:
    sizes = _sizes(x.shape, weight, stride)
    scratch = native.workspace(_kernel("forward_scratch", rounded), *sizes)
    native.call(_kernel("convolve_forward", rounded), *sizes, x, weight, out, scratch)


def _backward_arguments(
    kept: Tensor | None, weight: Tensor, shape: torch.Size, stride: int, needs: tuple[bool, bool], rounded: bool
) -> tuple[tuple[Any, ...], list[Tensor | None], Tensor]:
    """What describes the layer, where the gradients of x and weight go, and memory to work in."""
    sizes = _sizes(shape, weight, stride)
    of_x = torch.empty(shape, memory_format=torch.channels_last) if needs[0] else None
    of_weight = torch.empty_like(weight) if needs[1] else None
    narrow = int(kept is not None and kept.dtype == torch.uint8)
    scratch = native.workspace(_kernel("backward_scratch", rounded), *sizes)
    return (*sizes, narrow, kept, weight), [of_x, of_weight], scratch


def _library_forward(x: Tensor, weight: Tensor, stride: int, rounded: bool) -> Tensor:
    padding = weight.shape[-1] // 2
    if rounded:
        return torch.conv2d(x.bfloat16(), weight.bfloat16(), stride=stride, padding=padding).float()
    return torch.conv2d(x, weight, stride=stride, padding=padding)


def _library_backward(
    grad: Tensor,
    kept: Tensor | None,
    weight: Tensor,
    shape: torch.Size,
    stride: int,
    needs: tuple[bool, bool],
    rounded: bool,
) -> list[Tensor | None]:
    if rounded:
        grad, weight = grad.bfloat16(), weight.bfloat16()
    x = grad.new_empty(shape) if kept is None else kept.to(grad.dtype)
    padding, strides = [weight.shape[-1] // 2] * 2, [stride] * 2
    wanted = [*needs, False]
    results: list[Tensor | None] = list(
        torch.ops.aten.convolution_backward(grad, x, weight, None, strides, padding, [1, 1], False, [0, 0], 1, wanted)
    )
    return [None if result is None else result.float() for result in results[:2]] if rounded else results[:2]
