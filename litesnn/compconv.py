"""The compressive convolution: one weight, one score tensor and one mask for all bit-widths (Eq. 8-11)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litesnn.prune import prune_mask
from litesnn.quantize import fake_quantize


class CompConv(nn.Module):
    """G CompConvs of equal shape that read the same state, run as one convolution with concatenated outputs.

    Each of the G is a layer of its own: its own standard deviation, step and mask. A convolution's output channels do
    not see each other, so running them together is exact.

    Args:
        convs: G, how many CompConvs.
        in_channels: input channels of each.
        out_channels: output channels of each.
        kernel: side of the square kernel, odd.
        stride: stride in both directions; the padding keeps H and W at stride 1.
        bits: candidate bit-widths.
        p: percent pruned of each layer.
    """

    def __init__(
        self, convs: int, in_channels: int, out_channels: int, kernel: int, stride: int, bits: tuple[int, ...], p: float
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.bits, self.p = kernel, stride, bits, p
        shape = (convs, out_channels, in_channels, kernel, kernel)
        fan_in = in_channels * kernel * kernel
        self.weight = nn.Parameter(torch.randn(shape) * math.sqrt(2 / fan_in))
        largest = self.weight.detach().abs().amax(dim=(1, 2, 3, 4), keepdim=True)
        self.scores = nn.Parameter(math.sqrt(6 / fan_in) * self.weight.detach() / largest)

    def compressed_weight(self, bit_shares: Tensor | None) -> Tensor:
        """The weight that the convolution uses: mixed over bit-widths, then masked (Eq. 10, 11).

        Args:
            bit_shares: softmax(beta) of this cell, ``[len(bits)]``; None where there is one bit-width.

        Returns:
            ``[G * out_channels, in_channels, kernel, kernel]``.
        """
        quantized = [fake_quantize(self.weight, bits, start_dim=1) for bits in self.bits]
        if bit_shares is None:
            (mixed,) = quantized
        else:
            mixed = torch.stack([q * share for q, share in zip(quantized, bit_shares, strict=True)]).sum(0)
        if self.p:
            mixed = mixed * prune_mask(self.scores, self.p, start_dim=1)
        return mixed.flatten(0, 1)

    def forward(self, x: Tensor, bit_shares: Tensor | None) -> Tensor:
        """Convolves ``[N, in_channels, H, W]`` to ``[N, G * out_channels, ceil(H / stride), ceil(W / stride)]``."""
        weight = self.compressed_weight(bit_shares)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, weight, stride=self.stride, padding=self.kernel // 2)
