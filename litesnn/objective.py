"""The loss: cross entropy over every number of timesteps, plus the weighted costs (Eq. 15-17)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.config import Recipe, SearchPoint
from litesnn.cost import ExpectedCost


class DivergedError(RuntimeError):
    """The loss became NaN or infinite: an outcome of a point, not a fault of the program."""


def cross_entropy_per_timestep(logits: Tensor, labels: Tensor) -> Tensor:
    """CE^(t) for t = 1…T: the cross entropy of the mean of the first t outputs (Eq. 16).

    Args:
        logits: ``[T, B, K]``.
        labels: ``[B]``.

    Returns:
        ``[T]``, each the mean over the batch.
    """
    timesteps, batch, _ = logits.shape
    count = torch.arange(1, timesteps + 1, device=logits.device, dtype=logits.dtype)
    mean = logits.cumsum(0) / count[:, None, None]
    losses = F.cross_entropy(mean.flatten(0, 1), labels.repeat(timesteps), reduction="none")
    return losses.view(timesteps, batch).mean(1)


def search_loss(
    logits: Tensor,
    labels: Tensor,
    timestep_shares: Tensor,
    cost: ExpectedCost | None,
    point: SearchPoint,
    recipe: Recipe,
) -> Tensor:
    """The loss of both passes of a search iteration (Eq. 15, 17).

    Args:
        logits: ``[T, B, K]``.
        labels: ``[B]``.
        timestep_shares: softmax(psi), ``[T]``.
        cost: expected costs of the supernet; None leaves them out, where they would be a constant.
        point: lambda1, lambda2.
        recipe: ``cost_batch``, the number of samples whose Bit-SynOps enter.

    Returns:
        A scalar.
    """
    loss = timestep_shares @ cross_entropy_per_timestep(logits, labels)
    if cost is None:
        return loss
    if point.lambda1:
        loss = loss + point.lambda1 * cost.model_size_bits
    if point.lambda2:
        loss = loss + point.lambda2 * recipe.cost_batch * cost.bit_synops
    return loss
