"""What search and retraining do alike: the learning rate over a run, and the groups of weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from litesnn.config import Recipe


def learning_rate(recipe: Recipe, highest: float, lowest: float, progress: float) -> float:
    """The rate at one moment: it rises linearly from 0 to ``highest``, then falls by the schedule to ``lowest``.

    Args:
        recipe: ``warmup_share`` and ``schedule``.
        highest: where the fall begins; without a warm-up the rate starts there.
        lowest: the rate at the end.
        progress: share of the run that is over, 0 to 1.
    """
    warm = recipe.warmup_share
    if progress < warm:
        return highest * progress / warm
    fallen = (progress - warm) / (1 - warm)
    left = 1 - fallen if recipe.schedule == "linear" else (1 + math.cos(math.pi * fallen)) / 2
    return lowest + (highest - lowest) * left


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all of an optimizer's groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def weight_optimizer(network: nn.Module, recipe: Recipe, rate: float) -> torch.optim.SGD:
    """SGD of all parameters that are no pruning scores; batch norm apart where it is not to decay.

    Args:
        network: whose parameters; their order is the optimizer's.
        recipe: momentum, Nesterov's or not, and the decays.
        rate: learning rate of the first step.
    """
    norms = {id(p) for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters(recurse=False)}
    weights = scores_and_weights(network)[1]
    groups: list[dict[str, Any]] = [{"params": weights}]
    if not recipe.norm_decay:
        groups = [
            {"params": [weight for weight in weights if id(weight) not in norms]},
            {"params": [weight for weight in weights if id(weight) in norms], "weight_decay": 0.0},
        ]
    return torch.optim.SGD(
        groups,
        lr=rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def scores_and_weights(network: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A network's pruning scores, and all its other parameters."""
    scores: list[torch.Tensor] = []
    weights: list[torch.Tensor] = []
    for name, parameter in network.named_parameters():
        (scores if name.rpartition(".")[2] == "scores" else weights).append(parameter)
    return scores, weights
