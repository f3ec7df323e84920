"""Which λ are worth trying on a recipe: those at which the cost terms of the loss are seen beside its cross entropy."""

from __future__ import annotations

import math

import torch

from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.data.batches import train_batches
from litesnn.data.dataset import Dataset
from litesnn.joint_search import Search
from litesnn.objective import search_loss
from tune.plan.space import Range

LEAST, MOST = 1e-4, 1e-1  # a cost term as a share of the cross entropy, both before any training
P = 50.0  # percent pruned while measuring


def measure(
    recipe: Recipe, dataset: Dataset, *, device: torch.device | None = None, seed: int = 0
) -> tuple[Range, Range]:
    """Ranges of λ1 and λ2 in which each cost term of Eq. 15 is 1e-4 to 1e-1 of the cross entropy at the start.

    One forward pass of the untrained supernet on one batch of ``search_batch`` samples; nothing is trained. It is done
    at p = 50. Both costs are proportional to 1 - p/100 (but for the spike rates, which change a little with p), so at
    p = 95 the same λ give terms a tenth as large.

    Args:
        recipe: the recipe of the search.
        dataset: ``load(recipe, searching=True)``, on ``device``.
        device: where to compute; None is the CPU.
        seed: seed of initial values and of the batch.

    Returns:
        (smallest λ1, largest λ1) per bit and (smallest λ2, largest λ2) per bit-SynOp of ``cost_batch`` samples, rounded
        to two digits.

    Raises:
        InputError: loss or costs are not finite and positive, so no λ can be told from them.
    """
    cross_entropy, per_lambda1, per_lambda2 = initial_terms(recipe, dataset, device=device, seed=seed)
    if not all(0 < value < math.inf for value in (cross_entropy, per_lambda1, per_lambda2)):
        raise InputError(
            "lambda-range: expected a finite loss and costs of the untrained network to measure λ from, got cross "
            f"entropy {cross_entropy:g}, {per_lambda1:g} bits, {per_lambda2:g} Bit-SynOps; give four numbers instead"
        )
    return _range(cross_entropy / per_lambda1), _range(cross_entropy / per_lambda2)


def initial_terms(
    recipe: Recipe, dataset: Dataset, *, device: torch.device | None = None, seed: int = 0
) -> tuple[float, float, float]:
    """The three terms of the loss before any training: cross entropy, and the cost terms for a λ of 1."""
    device = device or torch.device("cpu")
    run = Search(SearchPoint(lambda1=0, lambda2=0, p=P), recipe, dataset, seed=seed, device=device)
    generator = torch.Generator().manual_seed(seed)
    x, labels = next(
        train_batches(dataset, dataset.train, recipe.search_batch, recipe, generator, use_cutout=False, drop_last=True)
    )
    run.network.train()
    with torch.no_grad():
        shares = run.arch.shares()
        output = run.network(x, recipe.timesteps, shares, measure_rates=True)
        cost = run.cost_model(shares, output.rates)
        free = SearchPoint(lambda1=0, lambda2=0, p=P)
        cross_entropy = float(search_loss(output.logits, labels, shares.timesteps, None, free, recipe))
    return cross_entropy, float(cost.pressed_bits), recipe.cost_batch * float(cost.bit_synops)


def _range(scale: float) -> Range:
    """λ at which a term is LEAST and MOST of the cross entropy; ``scale`` is that at which it equals it."""
    low, high = (float(f"{share * scale:.1e}") for share in (LEAST, MOST))
    return low, high
