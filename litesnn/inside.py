"""What a search has decided so far, and what the network that it would decode now does with the supernet's weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from litesnn.config import Recipe
from litesnn.data.batches import eval_batches
from litesnn.data.dataset import Dataset
from litesnn.edge_norm import MOMENTUM, EdgeNorm
from litesnn.evaluate import EVAL_BATCH, evaluate
from litesnn.genotype import Genotype
from litesnn.held import Held
from litesnn.narrow import load_weights, narrowed
from litesnn.network import Network, Output, Shares

STATISTICS_SAMPLES = 512
"""Training samples from which batch norm's statistics are measured anew: those of the mixture are not the network's."""


def decisions(shares: Mapping[str, Tensor]) -> dict[str, float]:
    """How far a choice has been made: per name its entropy and its margin.

    Args:
        shares: softmax over the last dimension, such as alpha's ``[edges, ops]`` or psi's ``[T]``; at least two candidates.

    Returns:
        ``<name>_entropy``, mean over rows in units of the even choice's: 1 where all candidates count alike, 0 where one counts alone;
        and ``<name>_margin``, mean over rows of the largest share less the second largest.
    """
    found: dict[str, float] = {}
    for name, share in shares.items():
        entropy = -torch.special.xlogy(share, share).sum(-1) / math.log(share.shape[-1])
        first, second = share.topk(2).values.unbind(-1)
        found[f"{name}_entropy"] = round(float(entropy.mean()), 6)
        found[f"{name}_margin"] = round(float((first - second).mean()), 6)
    return found


def inherited_accuracy(
    supernet: Network, shares: Shares, genotype: Genotype, recipe: Recipe, dataset: Dataset
) -> float:
    """Validation accuracy in percent of the decoded network with the supernet's weights, before any retraining.

    Its batch norms get the statistics that it has itself on training samples, of which nothing is learnt.

    Args:
        supernet: of the search; it stays as it is.
        shares: what its candidates count now.
        genotype: what decoding gives now.
        recipe: the search's.
        dataset: the search's data, on the device of the supernet.
    """
    with torch.random.fork_rng(devices=[]):  # initial values that are replaced at once
        network = Network(
            recipe,
            recipe.search_channels,
            recipe.searched_classes,
            genotype.p,
            None,
            nodes=genotype.nodes,
            bits=genotype.bits,
        )
    load_weights(network, narrowed(supernet, network))
    network.to(shares.ops.device)
    held = Held(nodes=genotype.nodes, bits=genotype.bits, timesteps=genotype.timesteps)
    with torch.no_grad():
        chosen = held.shares(shares, recipe)

    def forward(x: Tensor) -> Output:
        return network(x, genotype.timesteps, chosen, measure_rates=True)

    measure_statistics(network, forward, dataset)
    network.eval()
    return evaluate(forward, dataset, dataset.val, genotype.timesteps).accuracy


@torch.no_grad()
def measure_statistics(network: Network, forward: Callable[[Tensor], Output], dataset: Dataset) -> None:
    """Sets every batch norm's running statistics to the means of those of batches from all over the training split."""
    count = min(len(dataset.train), STATISTICS_SAMPLES)
    chosen = torch.linspace(0, len(dataset.train) - 1, count, device=dataset.train.labels.device).long()
    norms = [module for module in network.modules() if isinstance(module, EdgeNorm)]
    buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
    totals = [torch.zeros_like(buffer) for buffer in buffers]
    network.train()
    for x, labels in eval_batches(dataset, dataset.train.take(chosen), EVAL_BATCH):
        for buffer in buffers:
            buffer.zero_()  # what a batch leaves there is MOMENTUM times its own
        forward(x)
        for total, buffer in zip(totals, buffers, strict=True):
            total += buffer * (len(labels) / count / MOMENTUM)
    for total, buffer in zip(totals, buffers, strict=True):
        buffer.copy_(total)
