"""Batch norm of the stacked convolutions of one state, weighted by alpha and summed for each node (Eq. 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
