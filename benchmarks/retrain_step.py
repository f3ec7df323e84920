"""Times one retraining iteration of a network like the paper's, fused against naive execution.

The genotype is drawn by seed: eight cells of four nodes, bits of every width, p = 80. An iteration is ``Retrain.step``
on random data of CIFAR's shape, without the auxiliary head. The naive side is that of ``benchmarks.naive``; see
``benchmarks.search_step`` for what the sides share.

    python -m benchmarks.retrain_step --repeats 5
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.limits import array_bytes
from benchmarks.naive import NaiveNetwork
from benchmarks.record import command
from benchmarks.sides import NAIVE, Side, Step, measure, parser, random_data, report
from benchmarks.work import retrain_work
from litesnn.config import Recipe
from litesnn.genotype import PRIMITIVES, Genotype
from litesnn.retraining import Retrain

P = 80.0


class NaiveRetrain(Retrain):
    """The same retraining with naive execution and torch's default optimizers."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        assert self.score_optimizer is not None
        for optimizer in (self.weight_optimizer, self.score_optimizer):
            for group in optimizer.param_groups:
                group["fused"] = False

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


def _step(kind: type[Retrain], recipe: Recipe) -> Step:
    """Every side starts from the same values and sees the same batch of ``retrain_batch`` samples."""
    dataset = random_data(recipe, recipe.retrain_batch)
    retrain = kind(drawn_genotype(recipe), recipe, dataset, seed=0, device=torch.device("cpu"))
    retrain.network.train()
    x, labels = dataset.normalise(dataset.train.inputs), dataset.train.labels
    return lambda: retrain.step(x, labels)


def fused_step(recipe: Recipe) -> Step:
    """The step as ``litesnn`` does it."""
    return _step(Retrain, recipe)


def bf16_step(recipe: Recipe) -> Step:
    """The same in the other precision."""
    return fused_step(replace(recipe, precision="bf16"))


def naive_step(recipe: Recipe) -> Step:
    """The step as research code does it."""
    return _step(NaiveRetrain, recipe)


SIDES = (
    Side(name="fused", build=fused_step),
    Side(name="fused bf16", build=bf16_step, dtype="bf16"),
    Side(name=NAIVE, build=naive_step),
)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("retrain_step", __doc__)
    made.add_argument("--channels", type=int, default=144, help="C of the network (default 144)")
    made.add_argument("--timesteps", type=int, default=5, help="T (default 5)")
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        array = array_bytes(options)
        recipe = Recipe.preset(
            "cifar10",
            retrain_batch=options.batch,
            retrain_channels=options.channels,
            timesteps=options.timesteps,
            aux_cell=0,
        )
        genotype = drawn_genotype(recipe)
        settings = {
            "batch": recipe.retrain_batch,
            "channels": recipe.retrain_channels,
            "timesteps": recipe.timesteps,
            "p": genotype.p,
            "bits": " ".join(map(str, genotype.bits)),
            "nodes": str(genotype.nodes),
        }
        work = retrain_work(recipe, genotype)
        return measure("retrain_step", SIDES, recipe, work, options.repeats, settings, array)

    return command(options, run, report)


if __name__ == "__main__":
    sys.exit(main())
