"""Times one search iteration of the paper's CIFAR-10 supernet, fused against naive execution.

An iteration is ``Search.step``: both forward and backward passes and every optimizer step, on random data of CIFAR's
shape. The naive side executes the same network with the same parameters (see ``benchmarks.naive``), and its two passes
are written plainly: every gradient in both, torch's default optimizers. Its batch norm is torch's own kernel, so that
the ratio does not profit from a slow formula; the fused side has the kernels of ``litesnn.native`` where there is a C
compiler. All reuse freed memory alike. Shares of the machine's limits: see ``benchmarks.sides`` and ``benchmarks.work``.

    python -m benchmarks search_step --repeats 5
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.naive import NaiveNetwork
from benchmarks.sides import NAIVE, Step, add_sizes, compare, random_data, unfused
from benchmarks.sides import report as report
from benchmarks.work import search_work
from litesnn.config import Recipe, SearchPoint
from litesnn.joint_search import Search
from litesnn.objective import search_loss

POINT = "medium"


class NaiveSearch(Search):
    """The same search with naive execution and two plain passes."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        unfused(self.weight_optimizer, self.arch_optimizer)

    def step(self, x: Tensor, labels: Tensor, arch_x: Tensor, arch_labels: Tensor) -> Tensor:
        """As ``Search.step``; each pass computes every gradient and uses those that it steps."""
        self.network.zero_grad()
        self._loss(x, labels, with_cost=True).backward()
        torch.nn.utils.clip_grad_norm_(self.weights, self.recipe.grad_clip)
        self.weight_optimizer.step()
        self.network.zero_grad()
        self.arch.zero_grad()
        loss = self._loss(arch_x, arch_labels, with_cost=True)
        loss.backward()
        assert self.arch_optimizer is not None and self.psi_optimizer is not None
        self.arch_optimizer.step()
        self.psi_optimizer.step()
        return loss.detach()

    def _loss(self, x: Tensor, labels: Tensor, *, with_cost: bool) -> Tensor:
        shares = self.arch.shares()
        run = NaiveNetwork(self.network, self.recipe, None, library_norm=True)
        output = run(x, self.recipe.timesteps, shares, measure_rates=True)
        assert output.rates is not None
        cost = self.cost_model(shares, output.rates.detach())
        return search_loss(output.logits, labels, shares.timesteps, cost, self.point, self.recipe)


def step(kind: type[Search], recipe: Recipe) -> Step:
    """Every side starts from the same values and sees the same batch of ``search_batch`` samples."""
    dataset = random_data(recipe, recipe.search_batch)
    search = kind(SearchPoint.named(POINT), recipe, dataset, seed=0, device=torch.device("cpu"))
    search.network.train()
    x, labels = dataset.normalise(dataset.train.inputs), dataset.train.labels
    return lambda: search.step(x, labels, x, labels)


SIDES = {"fused": partial(step, Search), "fused bf16": partial(step, Search), NAIVE: partial(step, NaiveSearch)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes and repeats."""
    add_sizes(parser, channels=48, timesteps=6)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All sides."""
    sizes = {"search_batch": options.batch, "search_channels": options.channels, "timesteps": options.timesteps}
    recipe = Recipe.preset("cifar10", **sizes)
    work = search_work(recipe, SearchPoint.named(POINT).p)
    return compare(SIDES, recipe, work, options, cells=recipe.cells, nodes=recipe.nodes, point=POINT)
