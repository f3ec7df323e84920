"""Times classifying one sample with a small derived network: frozen, as trained, and in SpikingJelly 2's layers.

Two networks with genotypes drawn by seed, of the presets ``digits`` and ``cifar10-small``, p = 80: ``litesnn.inference.freeze``,
``Network`` in evaluation, and the same weights in SpikingJelly's layers (``benchmarks.jelly``), as written and after
its own fusion of convolution and batch norm. The networks have been trained for some steps on random patterns, one per class, so
that they tell classes apart. A call goes from a normalised input to the mean logits; ways take turns in blocks of calls. All
should name the same classes for ``SAMPLES`` other patterns; single precision may let a neuron within rounding of its threshold
fire in one and not in another, so the share of samples on which they agree is kept.

    python -m benchmarks inference
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from benchmarks.record import add_repeats, made_on, markdown, progress, seconds, spread
from benchmarks.retrain_step import drawn_genotype
from litesnn.checks import check_integer, check_integers
from litesnn.config import Recipe
from litesnn.inference import freeze
from litesnn.network import Network

PACKAGES = ("spikingjelly",)
PRESETS = ("digits", "cifar10-small")
P = 80.0
WARM_UP = 20
SAMPLES = 128
TRAINING_STEPS = 60
SEED = 10_000
"""Of inputs that the networks have not been trained on."""
OURS = "frozen"

Classify = Callable[[Tensor], Tensor]
"""``[B, C, H, W]`` to mean logits ``[B, K]``."""


def trained(recipe: Recipe) -> Network:
    """A derived network after some steps of training on ``patterns``; the same at every call."""
    genotype = drawn_genotype(recipe, P)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(recipe, recipe.retrain_channels, recipe.classes, P, genotype).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    with torch.enable_grad():
        for step in range(TRAINING_STEPS):
            x, labels = patterns(recipe, 16, seed=step)
            optimizer.zero_grad()
            cross_entropy(network(x, genotype.timesteps).logits.mean(0), labels).backward()
            optimizer.step()
    return network.eval()


def patterns(recipe: Recipe, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs ``[count, C, H, W]``, coarse patches that tell the class with noise on them, and labels ``[count]``."""
    channels, height, width = recipe.input_shape
    of_classes = torch.randn(recipe.classes, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1 + seed)
    labels = torch.randint(recipe.classes, (count,), generator=generator)
    noise = torch.randn(count, *recipe.input_shape, generator=generator)
    return interpolate(of_classes[labels], (height, width)) + noise, labels


def ways(recipe: Recipe) -> dict[str, Classify]:
    """All ways to run the recipe's network."""
    network, genotype = trained(recipe), drawn_genotype(recipe, P)
    frozen, timesteps = freeze(network), genotype.timesteps
    found: dict[str, Classify] = {
        OURS: lambda x: frozen(x, timesteps).logits.mean(0),
        "as trained": lambda x: network(x, timesteps).logits.mean(0),
    }
    if find_spec("spikingjelly"):
        from benchmarks.jelly import JellyNetwork, logits

        written = JellyNetwork(network, recipe, genotype).eval()
        fused = written.fused()
        found["SpikingJelly"] = lambda x: logits(written, x).mean(0)
        found["SpikingJelly, fused"] = lambda x: logits(fused, x).mean(0)
    return found


@torch.no_grad()
def compare(found: dict[str, Classify], x: Tensor, repeats: int, calls: int) -> dict[str, Any]:
    """Latency of one batch ``[B, C, H, W]`` per way, over so many blocks of so many calls."""
    for classify in found.values():
        for _ in range(min(WARM_UP, calls)):
            classify(x)
    taken: dict[str, list[float]] = {way: [] for way in found}
    for _ in range(repeats):
        for way, classify in found.items():
            classify(x)  # what the way before it has left in the caches is not its doing
            taken[way] += [seconds(lambda: classify(x)) for _ in range(calls)]  # noqa: B023
    latency = {way: spread(values) for way, values in taken.items()}
    slower = {way: row["median"] / latency[OURS]["median"] for way, row in latency.items()}
    return {"batch": len(x), "seconds": latency, "slower_than_frozen": slower}


@torch.no_grad()
def agreement(recipe: Recipe, found: dict[str, Classify]) -> dict[str, Any]:
    """Share of samples that each way classifies as the trained network does, and its largest difference of a logit."""
    x, _ = patterns(recipe, SAMPLES, SEED)
    logits = {way: classify(x) for way, classify in found.items()}
    expected = logits["as trained"]
    return {
        "same_class": {way: float((y.argmax(1) == expected.argmax(1)).float().mean()) for way, y in logits.items()},
        "logit_difference": {way: float((y - expected).abs().max()) for way, y in logits.items()},
        "classes_named": int(expected.argmax(1).unique().numel()),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Batches, blocks and calls."""
    add_repeats(parser, 10)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64], help="batch sizes (default 1 64)")
    parser.add_argument("--calls", type=int, default=50, help="calls of a block at batch 1 (default 50)")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every network in every way and batch size."""
    calls = check_integer("calls", options.calls, minimum=1)
    batches = check_integers("batches", options.batches, minimum=1)
    settings = {"p": P, "repeats": options.repeats, "calls": calls, "samples_compared": SAMPLES}
    networks = {}
    for preset in PRESETS:
        recipe = Recipe.preset(preset)
        genotype, found = drawn_genotype(recipe, P), ways(recipe)
        rows = []
        for batch in batches:
            inputs = patterns(recipe, batch, SEED)[0]
            rows.append(compare(found, inputs, options.repeats, max(3, calls // batch)))
            progress(f"{preset}, batch {batch}: {1e3 * rows[-1]['seconds'][OURS]['median']:.2f} ms")
        networks[preset] = {
            "channels": recipe.retrain_channels,
            "timesteps": genotype.timesteps,
            "bits": list(genotype.bits),
            "nodes": str(genotype.nodes),
            "batches": rows,
            **agreement(recipe, found),
        }
    return {"settings": settings, "networks": networks}


def report(result: dict[str, Any]) -> str:
    """A row for each way, network and batch size."""
    rows = [
        [
            f"{preset}, batch {found['batch']}" if not index else "",
            way,
            *(f"{1e3 * row[key]:.3f} ms" for key in ("median", "p90", "min")),
            f"{found['slower_than_frozen'][way]:.2f} ×",
            f"{100 * network['same_class'][way]:.1f} %",
        ]
        for preset, network in result["networks"].items()
        for found in network["batches"]
        for index, (way, row) in enumerate(found["seconds"].items())
    ]
    header = ["network", "", "median", "p90", "min", "over frozen", "same class"]
    return f"{markdown(header, rows)}\n\n{made_on(result)}"
