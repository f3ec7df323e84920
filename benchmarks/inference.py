"""Times classifying one sample with a small derived network: frozen, as trained, in SpikingJelly 2's and snnTorch's layers.

Two networks with genotypes drawn by seed, of the presets ``digits`` and ``cifar10-small``, p = 80: ``litesnn.inference.freeze``,
``Network`` in evaluation, the same weights in SpikingJelly's layers, as written and after its own fusion of convolution and batch
norm (see ``benchmarks.jelly``), and in snnTorch's (``benchmarks.torch_snn``). The networks have been trained for some steps on
random patterns, one per class, so that they tell classes apart. A call goes from a normalised input to the mean logits; ways take
turns in blocks of calls. All should name the same classes for ``SAMPLES`` other patterns; single precision may let a neuron
within rounding of its threshold fire in one and not in another, so the share of samples on which they agree is kept.

    python -m benchmarks inference
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from benchmarks.record import begin, command, heading, parser, progress, seconds, spread, table
from benchmarks.retrain_step import drawn_genotype
from litesnn.checks import check_integer
from litesnn.config import Recipe
from litesnn.inference import freeze
from litesnn.network import Network

PRESETS = ("digits", "cifar10-small")
P = 80.0
CALLS = 50
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
        from benchmarks import jelly

        written = jelly.JellyNetwork(network, recipe, genotype).eval()
        for name, module in (("SpikingJelly", written), ("SpikingJelly, fused", jelly.fused(written))):
            found[name] = _jelly(module)
    if find_spec("snntorch"):
        from benchmarks.torch_snn import SnnTorchNetwork

        leaky = SnnTorchNetwork(network, recipe, genotype).eval()
        found["snnTorch"] = lambda x: leaky(x).mean(0)
    return found


def _jelly(module: torch.nn.Module) -> Classify:
    from benchmarks import jelly

    def classify(x: Tensor) -> Tensor:
        jelly.reset(module)
        logits: Tensor = module(x)
        return logits.mean(0)

    return classify


@torch.no_grad()
def compare(found: dict[str, Classify], x: Tensor, repeats: int, calls: int) -> dict[str, Any]:
    """Latency of one batch per way, ready for JSON.

    Args:
        found: of ``ways``.
        x: ``[B, C, H, W]``.
        repeats: blocks of each way.
        calls: of a block.
    """
    for classify in found.values():
        for _ in range(min(WARM_UP, calls)):
            classify(x)
    taken: dict[str, list[float]] = {way: [] for way in found}
    for _ in range(repeats):
        for way, classify in found.items():
            classify(x)  # what the way before it has left in the caches is not its doing
            taken[way] += [seconds(lambda: classify(x)) for _ in range(calls)]  # noqa: B023
    latency = {way: spread(values) for way, values in taken.items()}
    ours = latency[OURS]["median"]
    slower = {way: row["median"] / ours for way, row in latency.items()}
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


def measure(batches: tuple[int, ...], repeats: int, calls: int) -> dict[str, Any]:
    """Everything that is kept of a run, ready for JSON."""
    settings = {"p": P, "repeats": repeats, "calls": calls, "samples_compared": SAMPLES}
    result = begin("inference", settings, ("spikingjelly", "snntorch"))
    result["networks"] = {}
    for preset in PRESETS:
        recipe = Recipe.preset(preset)
        genotype, found = drawn_genotype(recipe, P), ways(recipe)
        rows = []
        for batch in batches:
            rows.append(compare(found, patterns(recipe, batch, SEED)[0], repeats, max(3, calls // batch)))
            progress(f"{preset}, batch {batch}: {1e3 * rows[-1]['seconds'][OURS]['median']:.2f} ms")
        result["networks"][preset] = {
            "channels": recipe.retrain_channels,
            "timesteps": genotype.timesteps,
            "bits": list(genotype.bits),
            "nodes": str(genotype.nodes),
            "batches": rows,
            **agreement(recipe, found),
        }
    return result


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    for preset, network in result["networks"].items():
        lines.append(f"{preset}: C {network['channels']}, T {network['timesteps']}, {network['nodes']}")
        for found in network["batches"]:
            header = [f"batch {found['batch']}", "median", "p90", "min", "slower", "same class", "logits differ"]
            rows = [
                [
                    way,
                    *(f"{1e3 * row[key]:.3f} ms" for key in ("median", "p90", "min")),
                    f"{found['slower_than_frozen'][way]:.2f} x",
                    f"{100 * network['same_class'][way]:.1f} %",
                    f"{network['logit_difference'][way]:.1e}",
                ]
                for way, row in found["seconds"].items()
            ]
            lines += [*table(header, rows), ""]
    return "\n".join(lines[:-1])


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("inference", __doc__, repeats=10)
    made.add_argument("--batches", type=int, nargs="+", default=[1, 64], help="batch sizes (default 1 64)")
    made.add_argument("--calls", type=int, default=CALLS, help=f"calls of a block at batch 1 (default {CALLS})")
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        check_integer("calls", options.calls, minimum=1)
        for batch in options.batches:
            check_integer("batches", batch, minimum=1)
        return measure(tuple(options.batches), options.repeats, options.calls)

    return command(options, run, report)


if __name__ == "__main__":
    sys.exit(main())
