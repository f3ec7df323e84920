"""The straight-through estimator: a value in the forward pass, the identity in the backward pass."""

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, variable, value):  # type: ignore[no-untyped-def]
        return value

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return grad, None


def straight_through(variable: Tensor, value: Tensor) -> Tensor:
    """Returns ``value`` exactly; its gradient goes to ``variable`` unchanged.

    Args:
        variable: any shape; receives the gradient.
        value: the same shape, computed from ``variable`` without gradient.
    """
    return _StraightThrough.apply(variable, value)
