"""Times one retraining iteration of a network like the paper's, fused against naive execution.

The genotype is drawn by seed: eight cells of four nodes, bits of every width, p = 80. An iteration is ``Retrain.step``
on random data of CIFAR's shape, without the auxiliary head. The naive side is that of ``benchmarks.naive``; see
``benchmarks.search_step`` for what the sides share.

    python -m benchmarks retrain_step --repeats 5
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.naive import NaiveNetwork
from benchmarks.sides import NAIVE, Step, add_sizes, compare, random_data, unfused
from benchmarks.sides import report as report
from benchmarks.work import retrain_work
from litesnn.config import Recipe
from litesnn.genotype import Genotype
from litesnn.operations import PRIMITIVES
from litesnn.retraining import Retrain

P = 80.0


class NaiveRetrain(Retrain):
    """The same retraining with naive execution and torch's default optimizers."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        unfused(self.weight_optimizer, self.score_optimizer)

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """As ``Retrain.step``."""
        assert self.score_optimizer is not None
        self.network.zero_grad()
        run = NaiveNetwork(self.network, self.recipe, self.genotype, library_norm=True)
        loss = F.cross_entropy(run(x, self.genotype.timesteps).logits.mean(0), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, self.recipe.grad_clip)
        self.weight_optimizer.step()
        self.score_optimizer.step()
        return loss.detach()


def drawn_genotype(recipe: Recipe, p: float = P) -> Genotype:
    """A genotype for the recipe with its largest T, the same at every call."""
    draw = random.Random(0)
    nodes = []
    for node in range(recipe.nodes):
        sources = sorted(draw.sample(range(node + 2), 2))
        nodes.append(tuple((source, draw.choice(PRIMITIVES)) for source in sources))
    bits = tuple(draw.choice(recipe.bit_widths) for _ in range(recipe.cells))
    return Genotype(nodes=tuple(nodes), bits=bits, timesteps=recipe.timesteps, p=p)


def step(kind: type[Retrain], recipe: Recipe) -> Step:
    """Every side starts from the same values and sees the same batch of ``retrain_batch`` samples."""
    dataset = random_data(recipe, recipe.retrain_batch)
    retrain = kind(drawn_genotype(recipe), recipe, dataset, seed=0, device=torch.device("cpu"))
    retrain.network.train()
    x, labels = dataset.normalise(dataset.train.inputs), dataset.train.labels
    return lambda: retrain.step(x, labels)


SIDES = {"fused": partial(step, Retrain), "fused bf16": partial(step, Retrain), NAIVE: partial(step, NaiveRetrain)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes and repeats."""
    add_sizes(parser, channels=144, timesteps=5)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All sides."""
    sizes = {"retrain_batch": options.batch, "retrain_channels": options.channels, "timesteps": options.timesteps}
    recipe = Recipe.preset("cifar10", **sizes, aux_cell=0)
    genotype = drawn_genotype(recipe)
    drawn = {"p": genotype.p, "bits": " ".join(map(str, genotype.bits)), "nodes": str(genotype.nodes)}
    return compare(SIDES, recipe, retrain_work(recipe, genotype), options, **drawn)
