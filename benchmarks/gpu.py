"""Times steps, evaluation and neurons on this machine's GPU, plain PyTorch against the kernels in Triton.

Every row of GPUs that is open elsewhere, in one command. Without a GPU it says so and ends with exit code 2. A step is
the paper's: CIFAR-10's shapes, random data, the presets' batches; ``--small`` takes the preset ``cifar10-small``.

    python -m benchmarks gpu
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.launches import Call, operations, steps
from benchmarks.record import add_repeats, made_on, markdown, progress, settings
from benchmarks.retrain_step import drawn_genotype
from benchmarks.sides import random_data
from benchmarks.stand_in import Watch
from litesnn import gpu
from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.neuron import lif_of_sum
from litesnn.retraining import Retrain

WAYS = ("plain", "kernels")
WARM_UP = 3
NEURONS = (6, 64, 48, 32, 32)
"""T, B, C, H, W of the neurons that are timed alone."""


def way(name: str) -> AbstractContextManager[object]:
    """With the kernels where they are usable, or without."""
    return nullcontext() if name == "kernels" else patch.object(gpu, "device_type", lambda: None)


def seconds_of(work: Call, device: torch.device, repeats: int) -> list[float]:
    """Seconds of some calls after a warm-up, the device's work included."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(WARM_UP):
        work()
    found = []
    for _ in range(repeats):
        wait()
        started = time.perf_counter()
        work()
        wait()
        found.append(time.perf_counter() - started)
    return found


def launches_of(work: Call) -> int:
    """Operators and kernels of ours that a call starts."""
    watch = Watch(strict=False)
    with patch.object(gpu, "_start", wraps=gpu._start) as start, watch:
        work()
    return watch.count + start.call_count


def works(recipe: Recipe, device: torch.device) -> dict[str, tuple[Call, float]]:
    """What is timed: by name a call, and the operations of its convolutions (0: not counted)."""
    data = random_data(recipe, max(recipe.retrain_batch, recipe.search_batch)).to(device)
    x, labels = data.normalise(data.train.inputs), data.train.labels
    flops, names = operations(recipe), {"search": "search step", "retrain": "retraining step"}
    found = {names[phase]: (step, flops[phase]) for phase, step in steps(recipe, data, x, labels, device).items()}
    evaluated = Retrain(drawn_genotype(recipe), recipe, data, device=device)
    return {**found, "evaluation": (lambda: evaluated.evaluate(data.val), 0)}


def neurons(device: torch.device) -> Call:
    """Neurons forwards and backwards."""
    timesteps, batch, *rest = NEURONS
    x = torch.randn(timesteps * batch, *rest, device=device).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    arriving = torch.randn_like(x)

    def work() -> None:
        lif_of_sum([x], [None], timesteps, (0.2, 0.5, 3.0)).backward(arriving)
        x.grad = None

    return work


def rows(recipe: Recipe, device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """Everything in both precisions and both ways."""
    found = []
    for precision in ("fp32", "bf16"):
        for name, (work, flops) in works(replace(recipe, precision=precision), device).items():
            found.append({"what": f"{name}, {precision}", "flops": flops, **_both(work, device, repeats)})
            progress(str(found[-1]["what"]))
    return [*found, {"what": "neurons, fp32", "flops": 0, **_both(neurons(device), device, repeats)}]


def _both(work: Call, device: torch.device, repeats: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in WAYS:
        with way(name):
            found[name] = {"seconds": seconds_of(work, device, repeats), "launches": launches_of(work)}
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Repeats and size."""
    add_repeats(parser, 20)
    parser.add_argument("--small", action="store_true", help="the networks of the preset cifar10-small")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything on the GPU.

    Raises:
        InputError: torch sees none.
    """
    if not torch.cuda.is_available():
        raise InputError("expected a GPU that torch can use, got none: nothing is measured")
    device = torch.device("cuda", torch.cuda.current_device())
    recipe = Recipe.preset("cifar10-small" if options.small else "cifar10")
    sizes = {"search_batch": recipe.search_batch, "retrain_batch": recipe.retrain_batch, "repeats": options.repeats}
    found = rows(recipe, device, options.repeats)
    return {"settings": sizes, "device": torch.cuda.get_device_name(device), "rows": found}


def report(result: dict[str, Any]) -> str:
    """A row for everything that is timed."""
    header = ["", *(f"{name}, {what}" for what in ("median", "launches", "TFLOP/s") for name in WAYS)]
    body = []
    for row in result["rows"]:
        medians = [statistics.median(row[name]["seconds"]) for name in WAYS]
        body.append(
            [
                row["what"],
                *(f"{1e3 * median:.2f} ms" for median in medians),
                *(str(row[name]["launches"]) for name in WAYS),
                *(f"{row['flops'] / median / 1e12:.1f}" if row["flops"] else "–" for median in medians),
                f"{medians[0] / medians[1]:.2f}",
            ]
        )
    table = markdown([*header, "plain / kernels"], body)
    return f"{table}\n\n{result['device']}: {settings(result)}.\n\n{made_on(result)}"
