"""The losses: of the search over every number of timesteps with the weighted costs (Eq. 15-17), and of retraining."""

import torch
import torch.nn.functional as F
from torch import Tensor

from litesnn.config import Recipe, SearchPoint
from litesnn.cost import ExpectedCost
from litesnn.network import Output


class DivergedError(RuntimeError):
    """The loss became NaN or infinite: an outcome of a point, not a fault of the program."""


def cross_entropy(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """The recipe's cross entropy: of scaled logits, against smoothed labels; the plain one in the paper's recipes.

    Args:
        logits: ``[n, K]``.
        labels: ``[n]``.
        recipe: ``logit_scale`` and ``label_smoothing``.

    Returns:
        ``[n]``.
    """
    scaled = logits * recipe.logit_scale
    return F.cross_entropy(scaled, labels, reduction="none", label_smoothing=recipe.label_smoothing)


def cross_entropy_per_timestep(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """CE^(t) for t = 1…T: the cross entropy of the mean of the first t outputs (Eq. 16).

    Args:
        logits: ``[T, B, K]``.
        labels: ``[B]``.
        recipe: see ``cross_entropy``.

    Returns:
        ``[T]``, each the mean over the batch.
    """
    timesteps, batch, _ = logits.shape
    count = torch.arange(1, timesteps + 1, device=logits.device, dtype=logits.dtype)
    mean = logits.cumsum(0) / count[:, None, None]
    losses = cross_entropy(mean.flatten(0, 1), labels.repeat(timesteps), recipe)
    return losses.view(timesteps, batch).mean(1)


def retrain_loss(output: Output, labels: Tensor, recipe: Recipe) -> Tensor:
    """The loss of retraining: that of the mean output, and of the auxiliary head where there is one.

    ``timestep_loss`` gives a share of it to the cross entropy of every timestep's own output (Deng et al., *Temporal
    Efficient Training of Spiking Neural Network via Gradient Re-weighting*, ICLR 2022, Eq. 10).

    Args:
        output: logits ``[T, B, K]``.
        labels: ``[B]``.
        recipe: ``timestep_loss``, ``aux_weight`` and what ``cross_entropy`` takes.

    Returns:
        A scalar.
    """
    logits, share = output.logits, recipe.timestep_loss
    loss = cross_entropy(logits.mean(0), labels, recipe).mean()
    if share and len(logits) > 1:
        each = cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), recipe).mean()
        loss = (1 - share) * loss + share * each
    if output.aux_logits is not None:
        loss = loss + recipe.aux_weight * cross_entropy(output.aux_logits.mean(0), labels, recipe).mean()
    return loss


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
        recipe: ``cost_batch``, the number of samples whose Bit-SynOps enter, and what ``cross_entropy`` takes.

    Returns:
        A scalar.
    """
    loss = timestep_shares @ cross_entropy_per_timestep(logits, labels, recipe)
    if cost is None:
        return loss
    if point.lambda1:
        loss = loss + point.lambda1 * cost.pressed_bits
    if point.lambda2:
        loss = loss + point.lambda2 * recipe.cost_batch * cost.bit_synops
    return loss
