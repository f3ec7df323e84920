"""The compressive convolution: one weight, one score tensor and one mask for all bit-widths (Eq. 8-11)."""

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from litesnn import gpu, native
from litesnn.convolution import convolve
from litesnn.kept import kept_count
from litesnn.prune import kept_mask
from litesnn.quantize import layer_std, levels
from litesnn.steps import STEP_PER_STD


class _Compress(torch.autograd.Function):
    """``(sum_j share_j * fake_quantize(W, bits_j)) * prune_mask(scores, p)`` of stacked layers, in few passes.

    The gradients are those of the two functions composed: straight through to W and, by way of |score|, to the scores.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scores: Tensor, bit_shares: Tensor, bits: tuple[int, ...], p: float, n: int
    ) -> Tensor:
        std = layer_std(weight, start_dim=1)
        mixed = torch.zeros_like(weight)
        mask = None
        if p:
            mask = kept_mask(scores.detach().abs().flatten(1), p, n).view_as(weight)
        per_bits = [levels(weight, std, b) for b in bits]
        for (level, step), share in zip(per_bits, bit_shares, strict=True):
            mixed.addcmul_(level, step * share)
        needs_shares, needs_scores = ctx.needs_input_grad[2], ctx.needs_input_grad[1] and mask is not None
        ctx.save_for_backward(
            bit_shares,
            mask,
            mixed if needs_scores else None,
            scores if needs_scores else None,
            *([tensor for pair in per_bits for tensor in pair] if needs_shares else []),
        )
        return mixed if mask is None else mixed * mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        bit_shares, mask, mixed, scores, *per_bits = ctx.saved_tensors
        masked = grad if mask is None else grad * mask
        grad_weight = grad_scores = grad_shares = None
        if ctx.needs_input_grad[0]:
            grad_weight = masked * bit_shares.sum()
        if mixed is not None:
            grad_scores = grad * mixed * scores.sign()
        if per_bits:
            pairs = zip(per_bits[::2], per_bits[1::2], strict=True)
            per_layer = [((masked * level).sum((1, 2, 3, 4)), step.flatten()) for level, step in pairs]
            grad_shares = torch.stack([total @ step for total, step in per_layer])
        return grad_weight, grad_scores, grad_shares, None, None, None


@functools.cache
def _quantiser_constants(bits: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Half the levels and the step per standard deviation of each bit-width, as the kernels take them."""
    return torch.tensor([2.0 ** (b - 1) for b in bits]), torch.tensor([STEP_PER_STD[b] for b in bits])


class _NativeCompress(torch.autograd.Function):
    """``_Compress`` by the kernels of ``litesnn.native``, each weight read once, in the layout that convolutions want."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scores: Tensor, bit_shares: Tensor, bits: tuple[int, ...], p: float, n: int
    ) -> Tensor:
        layers, outputs, inputs, height, width = weight.shape
        sizes = layers, outputs, inputs, height * width
        count = weight[0].numel()
        half, factor = _quantiser_constants(bits)
        std = torch.empty(layers)
        mask = torch.empty(weight.shape, dtype=torch.bool) if p else None
        out = torch.empty((layers * outputs, inputs, height, width), memory_format=torch.channels_last)
        shares = bit_shares.contiguous()
        quantiser = weight, scores, shares, half, factor, std, mask
        native.call("compress_forward", *sizes, kept_count(count, p), n, len(bits), *quantiser, out)
        ctx.save_for_backward(*quantiser)
        ctx.sizes = *sizes, len(bits)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, scores, shares, half, factor, std, mask = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[1] and mask is not None, ctx.needs_input_grad[2]
        grads = [torch.empty_like(t) if w else None for t, w in zip((weight, scores, shares), wanted, strict=True)]
        quantiser = weight, scores, shares, half, factor, std, mask
        grad = grad.contiguous(memory_format=torch.channels_last)
        native.call("compress_backward", *ctx.sizes, *quantiser, grad, *grads)
        return *grads, None, None, None


def initial_scores(weight: Tensor) -> Tensor:
    """Importance scores that pruning starts from: sqrt(6/fan_in) * W / max|W| of every layer (Sehwag et al., 2020).

    Args:
        weight: ``[G, out_channels, in_channels, kernel, kernel]``.

    Returns:
        Scores of the same shape.
    """
    largest = weight.abs().amax(dim=(1, 2, 3, 4), keepdim=True)
    return math.sqrt(6 / weight[0, 0].numel()) * weight / largest


class CompConv(nn.Module):
    """G CompConvs of equal shape that read the same state, run as one convolution with concatenated outputs.

    Each of the G is a layer of its own: its own standard deviation, step and mask. A convolution's output channels do
    not see each other, so running them together is exact. Where ``scores`` is None, the largest weights stay. Where channels
    are grouped, only the weights of each group are learnt, compressed and counted; the convolution is a dense one in which
    the others are 0.

    Args:
        convs: G, how many CompConvs.
        in_channels: input channels of each.
        out_channels: output channels of each.
        kernel: side of the square kernel, odd.
        stride: stride in both directions; the padding keeps H and W at stride 1.
        bits: candidate bit-widths.
        p: percent pruned of each layer.
        groups: of input and of output channels; an output channel reads the input channels of its group.
        mask_n: N of N:M masks; 0: any weights of a layer may stay.
        spikes: whether the inputs are all 0 or 1.
        precision: of the numbers that are multiplied, ``"fp32"`` or ``"bf16"``; see ``litesnn.convolution``.
    """

    only_share: Tensor

    def __init__(
        self,
        convs: int,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        bits: tuple[int, ...],
        p: float,
        *,
        groups: int = 1,
        mask_n: int = 0,
        spikes: bool = True,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.bits, self.p = kernel, stride, bits, p
        self.groups, self.mask_n, self.spikes, self.precision = groups, mask_n, spikes, precision
        shape = (convs, out_channels, in_channels // groups, kernel, kernel)
        fan_in = shape[2] * kernel * kernel
        self.weight = nn.Parameter(torch.randn(shape) * math.sqrt(2 / fan_in))
        self.scores: nn.Parameter | None = nn.Parameter(initial_scores(self.weight.detach()))
        self.register_buffer("only_share", torch.ones(1), persistent=False)

    @property
    def importance(self) -> Tensor:
        """What the mask ranks, ``weight``'s shape: the learnt scores or, where there are none, the weights."""
        return self.weight.detach() if self.scores is None else self.scores

    def compressed_weight(self, bit_shares: Tensor | None) -> Tensor:
        """The weight that the convolution uses: mixed over bit-widths, then masked (Eq. 10, 11).

        Args:
            bit_shares: softmax(beta) of this cell, ``[len(bits)]``; None where there is one bit-width.

        Returns:
            ``[G * out_channels, in_channels, kernel, kernel]``.
        """
        shares = self.only_share if bit_shares is None else bit_shares
        scores = self.importance
        if native.usable(self.weight, scores, shares):
            weight: Tensor = _NativeCompress.apply(self.weight, scores, shares, self.bits, self.p, self.mask_n)
            return self.dense(weight)
        if gpu.usable(self.weight, scores, shares):
            from litesnn.gpu.compress import compress_all  # needs Triton

            row, matrix = (-1, None) if bit_shares is None else (0, bit_shares[None])
            return self.dense(compress_all([self.weight], [scores], [self.bits], [row], matrix, self.p, self.mask_n)[0])
        return self.dense(_Compress.apply(self.weight, scores, shares, self.bits, self.p, self.mask_n).flatten(0, 1))

    def dense(self, weight: Tensor) -> Tensor:
        """``[G * out_channels, in_channels / groups, kernel, kernel]`` with all input channels, 0 outside the groups."""
        if self.groups == 1:
            return weight
        outputs, inputs = self.weight.shape[1:3]
        sides = self.groups, outputs // self.groups, self.groups, inputs, self.kernel, self.kernel
        parts = weight.view(len(self.weight), *sides[:2], *sides[3:])  # [G, groups, O / groups, I / groups, K, K]
        whole = torch.diagonal_scatter(weight.new_zeros(len(self.weight), *sides), parts.movedim(1, -1), 0, 1, 3)
        return whole.reshape(len(weight), self.groups * inputs, self.kernel, self.kernel)

    def forward(self, x: Tensor, bit_shares: Tensor | None) -> Tensor:
        """Convolves ``[N, in_channels, H, W]`` to ``[N, G * out_channels, ceil(H / stride), ceil(W / stride)]``."""
        weight = self.compressed_weight(bit_shares)
        return convolve(x, weight, self.stride, spikes=self.spikes, precision=self.precision)
