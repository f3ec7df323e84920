"""Convolution by torch's library and the batch norm behind it by kernels, with nothing converted in between.

In the precision ``"bf16"`` a state's spikes are rounded once for all that read it, and what lies between convolution and norm stays in
16 bits both ways; sums are in single precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from litesnn.edge_norm import EdgeNorm
from litesnn.gpu.norm import spread_in_training
from litesnn.spike_bytes import in_bfloat16


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, rounded: bool) -> Tensor:
        ctx.types = x.dtype, weight.dtype
        if rounded:
            x, weight = in_bfloat16(x), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return torch.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        padding, strides, wanted = [weight.shape[-1] // 2] * 2, [ctx.stride] * 2, [*ctx.needs_input_grad[:2], False]
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, strides, padding, [1, 1], False, [0, 0], 1, wanted
        )
        found = zip((of_x, of_weight), ctx.types, strict=True)
        return *(None if each is None else each.to(dtype) for each, dtype in found), None, None


def convolve_and_spread(
    x: Tensor, weight: Tensor, stride: int, norm: EdgeNorm, op_shares: Tensor | None, precision: str = "fp32"
) -> tuple[Tensor, ...]:
    """``norm.spread(convolve(x, weight, stride), op_shares)`` in training; see ``litesnn.convolution`` and ``EdgeNorm``.

    Args:
        x: ``[N, inputs, H, W]``, single precision.
        weight: ``[outputs, inputs, K, K]``, K odd; may be rounded to bfloat16 already.
        stride: in both directions.
        norm: of the outputs.
        op_shares: softmax(alpha), ``[edges, ops]``; None counts every operation fully.
        precision: ``"fp32"`` or ``"bf16"``.

    Returns:
        ``norm.targets`` tensors ``[N, norm.width, ceil(H / stride), ceil(W / stride)]`` in single precision.

    Raises:
        ValueError: there is a single value per channel.
    """
    x, weight = (each.contiguous(memory_format=torch.channels_last) for each in (x, weight))
    return spread_in_training(_Convolution.apply(x, weight, stride, precision == "bf16"), norm, op_shares)
