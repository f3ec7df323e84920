"""Batch norm of the stacked convolutions of one state, weighted by alpha and summed for each node (Eq. 3)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from litesnn import native

MOMENTUM = 0.1  # of the running statistics


class EdgeNorm(nn.BatchNorm2d):
    """Batch norm over ``rounds * targets`` operations of ``width`` channels each, summed over the rounds.

    Channels are ordered by round, then target node, then channel. An operation's share is folded into the affine part:
    the same product, one pass over the activations less.

    Args:
        rounds: how many operations lead to each target.
        targets: how many nodes receive.
        width: channels of an operation.
        places: index of each operation in the flattened ``op_shares``.
    """

    places: Tensor
    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, rounds: int, targets: int, width: int, places: list[int]) -> None:
        super().__init__(rounds * targets * width, momentum=MOMENTUM)
        self.rounds, self.targets, self.width = rounds, targets, width
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def spread(self, x: Tensor, op_shares: Tensor | None) -> tuple[Tensor, ...]:
        """What arrives at each target.

        Args:
            x: outputs of the convolutions, ``[T*B, rounds * targets * width, H, W]``.
            op_shares: softmax(alpha), ``[edges, ops]``; None counts every operation fully.

        Returns:
            ``targets`` tensors ``[T*B, width, H, W]``.
        """
        if (
            self.training
            and x.is_contiguous(memory_format=torch.channels_last)
            and native.usable(x, self.weight, op_shares)
        ):
            spread: tuple[Tensor, ...] = _Spread.apply(x, self.weight, self.bias, op_shares, self)
            return spread
        return self._spread_plainly(x, op_shares)

    def _spread_plainly(self, x: Tensor, op_shares: Tensor | None) -> tuple[Tensor, ...]:
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if op_shares is not None:
            shares = op_shares.flatten()[self.places].repeat_interleave(self.width)
            weight, bias = weight * shares, bias * shares
        out = F.batch_norm(
            x, self.running_mean, self.running_var, weight, bias, self.training, momentum=MOMENTUM, eps=self.eps
        )
        first, *others = out.unflatten(1, (self.rounds, -1)).unbind(1)
        for other in others:
            first = first + other
        return first.unflatten(1, (self.targets, -1)).unbind(1)


class _Spread(torch.autograd.Function):
    """``EdgeNorm`` in training by the kernels: two passes over memory each way."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, op_shares: Tensor | None, norm: EdgeNorm
    ) -> tuple[Tensor, ...]:
        batch, channels, height, width = x.shape
        rows = batch * height * width
        if rows == 1:
            raise ValueError("expected more than 1 value per channel in training")  # as torch's own batch norm
        statistics = x.new_empty(2, channels)
        outputs = tuple(
            torch.empty((batch, norm.width, height, width), memory_format=torch.channels_last)
            for _ in range(norm.targets)
        )
        shares = None if op_shares is None else op_shares.contiguous()
        layer = rows, norm.rounds, norm.targets, norm.width, x, weight, bias, shares, norm.places
        running = norm.running_mean, norm.running_var
        native.call("norm_forward", *layer, norm.eps, MOMENTUM, *running, *statistics, outputs)
        ctx.save_for_backward(x, weight, bias, shares, norm.places, statistics)
        ctx.sizes = layer[:4]
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, shares, places, statistics = ctx.saved_tensors
        arriving = [grad.contiguous(memory_format=torch.channels_last) for grad in grads]
        results = [torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)]
        grad_shares = None if shares is None else torch.zeros_like(shares)
        layer = *ctx.sizes, x, weight, bias, shares, places
        native.call("norm_backward", *layer, *statistics, arriving, *results, grad_shares)
        return *results, grad_shares, None
