"""Batch norm of the stacked convolutions of one state, weighted by alpha and summed for each node (Eq. 3)."""

from typing import Self

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
        self.folded = False

    @torch.no_grad()
    def fold(self) -> None:
        """Makes it multiply by its weight and add its bias, exactly and in training too, as a packed file stores it."""
        self.folded = True
        self.running_mean.zero_()
        self.running_var.copy_(self._variance_of_folded())
        self.eval()

    def refold(self) -> None:
        """Folds it if its statistics are those that ``fold`` leaves; for networks that have been read from a file."""
        if bool((self.running_mean == 0).all()) and bool((self.running_var == self._variance_of_folded()).all()):
            self.fold()

    def train(self, mode: bool = True) -> Self:
        """As of every module, but one that is folded measures no statistics: it has none to go on from."""
        return super().train(mode and not self.folded)

    def _variance_of_folded(self) -> Tensor:
        """With ``eps`` it is 1 to the last bit."""
        return torch.full_like(self.running_var, 1.0) - self.eps

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
