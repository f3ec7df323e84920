"""The naive CompConv, with weights and mask of its own per bit-width, against the shared one: what the search finds with it.

Eq. 4 to 7 (Fig. 2(a)) give every bit-width branch a weight, scores and so a mask; Eq. 8 to 11 share them. Here the naive one
is built of one-bit CompConvs, one per branch, so that quantiser, pruning and kernels are the same, and it is put into the
cells of the same supernet; stem and classifier have one bit-width and stay. Searches differ in that alone; what they find is
retrained alike.

    python -m benchmarks compconv digits --seeds 3
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import litesnn
from benchmarks.comparisons.repeats import COSTS, POINTS, TEST, Record, Row, mean_text, measured, paired, train_point
from litesnn.cell import EdgeConvs
from litesnn.compconv import CompConv
from litesnn.convolution import convolve
from litesnn.data import Dataset
from litesnn.joint_search import Search
from litesnn.phase import complete
from litesnn.training import scores_and_weights, weight_optimizer

PRESETS = ("digits", "cifar10-small", "gsc-small")
VARIANTS = SHARED, NAIVE = "shared", "naive"
COLUMNS = {**TEST, "by seed": lambda rows: " ".join(f"{row['test_accuracy']:.2f}" for row in rows), **COSTS}


class BranchedCompConv(nn.Module):
    """The naive CompConv (Eq. 4-7) in the place of a shared one: a weight, scores and so a mask per bit-width.

    Args:
        shared: what it replaces; only its shapes and settings are taken, the weights are drawn anew.
    """

    def __init__(self, shared: CompConv) -> None:
        super().__init__()
        self.stride, self.bits, self.p = shared.stride, shared.bits, shared.p
        self.spikes, self.precision = shared.spikes, shared.precision
        convs, outputs, inputs, kernel, _ = shared.weight.shape
        self.branches = nn.ModuleList(
            CompConv(convs, inputs, outputs, kernel, self.stride, (bits,), self.p) for bits in self.bits
        )

    def compressed_weight(self, bit_shares: Tensor | None) -> Tensor:
        """The weight that the convolution uses: each branch quantised and masked, then mixed (Eq. 5-7).

        Args:
            bit_shares: softmax(beta) of this cell, ``[len(bits)]``; None where there is one bit-width.

        Returns:
            ``[G * out_channels, in_channels, kernel, kernel]``, as the shared one's.
        """
        shares = torch.ones(1) if bit_shares is None else bit_shares
        first, *others = (
            share * branch.compressed_weight(None)  # type: ignore[operator]
            for share, branch in zip(shares.unbind(), self.branches, strict=True)
        )
        mixed: Tensor = sum(others, start=first)
        return mixed

    def forward(self, x: Tensor, bit_shares: Tensor | None) -> Tensor:
        """As the shared one's."""
        weight = self.compressed_weight(bit_shares)
        return convolve(x, weight, self.stride, spikes=self.spikes, precision=self.precision)


class BranchedSearch(Search):
    """The same search with naive CompConvs in all cells."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        groups = [module for module in self.network.modules() if isinstance(module, EdgeConvs)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for group in groups:
                group.add_module("conv", BranchedCompConv(group.conv).to(self.device))
        scores, self.weights = scores_and_weights(self.network)
        self.weight_optimizer = weight_optimizer(self.network, self.recipe, self.recipe.weight_lr)
        if self.scores:
            self.scores = scores
            assert self.arch_optimizer is not None
            self.arch_optimizer.param_groups[-1]["params"] = scores
        else:
            for unused in scores:
                unused.requires_grad_(False)

    def _inside(self) -> dict[str, Any]:
        return {}  # no single candidate has weights of its own to inherit


def train(record: Record, variant: str, seed: int, data: Dataset) -> Row:
    """One search of either kind and the retraining of what it found."""
    point = POINTS[record.preset]
    if variant == SHARED:
        return train_point(point, record.recipe, data, seed)
    search = BranchedSearch(point, record.recipe, data, seed=seed, device=torch.device("cpu"))
    complete(search, None, None, None)
    return measured(litesnn.retrain(search.genotype(), record.recipe, dataset=data, seed=seed))


def notes(found: dict[str, Any]) -> list[str]:
    """The difference of accuracy by seed, and what the naive one costs to keep."""
    changes = paired(found["runs"], SHARED, NAIVE, "test_accuracy")
    return [f"- naive less shared, by seed: {mean_text(changes, '+.2f')} points"] if changes else []
