"""Times steps, evaluation and neurons on this machine's GPU, plain PyTorch against the kernels in Triton.

Every row of GPUs that is open elsewhere, in one command. Without a GPU it says so and ends with exit code 2. A step is
the paper's: CIFAR-10's shapes, random data, the presets' batches; ``--small`` takes the preset ``cifar10-small``.

    python -m benchmarks gpu
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.record import begin, command, heading, parser, progress, table
from benchmarks.retrain_step import drawn_genotype
from benchmarks.sides import random_data
from benchmarks.stand_in import Watch
from benchmarks.work import retrain_work, search_work
from litesnn import gpu
from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.joint_search import Search
from litesnn.neuron import lif_of_sum
from litesnn.retraining import Retrain

POINT = "medium"
WAYS = ("plain", "kernels")
WARM_UP = 3
NEURONS = (6, 64, 48, 32, 32)
"""T, B, C, H, W of the neurons that are timed alone."""

Call = Callable[[], object]


def check_gpu() -> torch.device:
    """The GPU.

    Raises:
        InputError: torch sees none.
    """
    if not torch.cuda.is_available():
        raise InputError("expected a GPU that torch can use, got none: nothing is measured")
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def way(name: str) -> Iterator[None]:
    """With the kernels where they are usable, or without."""
    if name == "kernels":
        yield
    else:
        with patch.object(gpu, "device_type", lambda: None):
            yield


def seconds_of(work: Call, device: torch.device, repeats: int) -> list[float]:
    """Seconds of some calls after a warm-up, the device's work included."""
    for _ in range(WARM_UP):
        work()
    found = []
    for _ in range(repeats):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - started)
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def launches_of(work: Call) -> int:
    """Operators and kernels of ours that a call starts."""
    start, own = gpu._start, 0

    def counted(*given: Any) -> None:
        nonlocal own
        own += 1
        start(*given)

    watch = Watch(strict=False)
    with patch.object(gpu, "_start", counted), watch:
        work()
    return watch.count + own


def works(recipe: Recipe, device: torch.device) -> dict[str, tuple[Call, float]]:
    """What is timed: by name a call, and the operations of its convolutions (0: not counted)."""
    data = random_data(recipe, max(recipe.retrain_batch, recipe.search_batch)).to(device)
    point, genotype = SearchPoint.named(POINT), drawn_genotype(recipe)
    search = Search(point, recipe, data, device=device)
    retrain = Retrain(genotype, recipe, data, device=device)
    x, labels = data.normalise(data.train.inputs), data.train.labels
    few, fewer = x[: recipe.search_batch], labels[: recipe.search_batch]
    many, more = x[: recipe.retrain_batch], labels[: recipe.retrain_batch]

    def search_step() -> Tensor:
        search.network.train()
        return search.step(few, fewer, few, fewer)

    def retrain_step() -> Tensor:
        retrain.network.train()
        return retrain.step(many, more)

    return {
        "search step": (search_step, search_work(recipe, point.p).flops),
        "retraining step": (retrain_step, retrain_work(recipe, genotype).flops),
        "evaluation": (lambda: retrain.evaluate(data.val), 0),
    }


def neurons(device: torch.device, shape: tuple[int, int, int, int, int] = NEURONS) -> Call:
    """Neurons forwards and backwards."""
    timesteps, batch, *rest = shape
    x = torch.randn(timesteps * batch, *rest, device=device).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    arriving = torch.randn_like(x)

    def work() -> None:
        lif_of_sum([x], [None], timesteps, (0.2, 0.5, 3.0)).backward(arriving)
        x.grad = None

    return work


def measure(recipe: Recipe, device: torch.device, repeats: int) -> dict[str, Any]:
    """Everything that is kept of a run, ready for JSON."""
    settings = {"search_batch": recipe.search_batch, "retrain_batch": recipe.retrain_batch, "repeats": repeats}
    result = begin("gpu", settings)
    result["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    rows = result["rows"] = []
    for precision in ("fp32", "bf16"):
        made = works(replace(recipe, precision=precision), device)
        for name, (work, flops) in made.items():
            rows.append({"what": f"{name}, {precision}", "flops": flops, **_both(work, device, repeats)})
            progress(rows[-1]["what"])
    rows.append({"what": "neurons, fp32", "flops": 0, **_both(neurons(device), device, repeats)})
    return result


def _both(work: Call, device: torch.device, repeats: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in WAYS:
        with way(name):
            taken = seconds_of(work, device, repeats)
            found[name] = {"seconds": taken, "launches": launches_of(work)}
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
                work()
                found[name]["peak_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    header = [
        "",
        *(f"{name}, {what}" for what in ("median", "launches", "TFLOP/s") for name in WAYS),
        "plain / kernels",
    ]
    rows = []
    for row in result["rows"]:
        medians = [statistics.median(row[name]["seconds"]) for name in WAYS]
        rates = [f"{row['flops'] / median / 1e12:.1f}" if row["flops"] else "–" for median in medians]
        times = [f"{1e3 * median:.2f} ms" for median in medians]
        launches = [str(row[name]["launches"]) for name in WAYS]
        rows.append([row["what"], *times, *launches, *rates, f"{medians[0] / medians[1]:.2f}"])
    return "\n".join([result["device"], *heading(result), *table(header, rows)])


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("gpu", __doc__, repeats=20)
    made.add_argument("--small", action="store_true", help="the networks of the preset cifar10-small")
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        device = check_gpu()
        return measure(Recipe.preset("cifar10-small" if options.small else "cifar10"), device, options.repeats)

    return command(options, run, report)


if __name__ == "__main__":
    sys.exit(main())
