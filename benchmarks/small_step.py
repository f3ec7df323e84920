"""Times one retraining iteration of small networks on one core, now and in an older checkout, and where the time goes.

An iteration is ``Retrain.step`` in bf16 on random data of CIFAR's shape, T = 1, 2 bits, without pruning. Seconds are those in which the
process has had a core: other programs may run beside it, though they take memory bandwidth and cache. Each checkout has a
process of its own, and they take turns. The parts are those of the last steps, which are timed call by call; "epochs" counts the time
that the batch itself takes too, crop, flip and cutout included.

    python -m benchmarks small_step --before ../older-checkout
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import begin, command, heading, parser, progress, spread, table
from benchmarks.sides import random_data
from benchmarks.work import retrain_work
from litesnn import native
from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.data.batches import train_batches
from litesnn.device import prepare_cpu
from litesnn.genotype import Genotype
from litesnn.retraining import Retrain

NODES = (((0, "conv3x3"), (1, "conv3x3")), ((1, "conv3x3"), (2, "skip")))
NETWORKS = {
    "C = 16, widths 2 2 4 4 4": (16, (2, 2, 4, 4, 4)),
    "C = 16, widths 1 2 4": (16, (1, 2, 4)),
    "C = 32, widths 2 2 4 4 4": (32, (2, 2, 4, 4, 4)),
}
EPOCH = 45_000
"""Images of CIFAR-10's training set less a tenth for validation."""
PARTS = {"convolve": "convolutions", "norm": "norm", "lif": "neurons", "compress": "weights"}
REST = "torch, Python"


class _Case:
    """One network in a worker, with a batch that stays the same."""

    def __init__(self, network: str, batch: int) -> None:
        channels, widths = NETWORKS[network]
        settings = {"nodes": 2, "precision": "bf16", "aux_cell": 0, "timesteps": 1, "retrain_batch": batch}
        self.recipe = Recipe.preset("cifar10-small", widths=widths, retrain_channels=channels, **settings)
        genotype = Genotype(nodes=NODES, bits=(2,) * self.recipe.cells, timesteps=1, p=0)
        self.dataset = random_data(self.recipe, batch)
        self.retrain = Retrain(genotype, self.recipe, self.dataset, seed=0, device=torch.device("cpu"))
        self.retrain.network.train()
        self.batch = self.dataset.normalise(self.dataset.train.inputs), self.dataset.train.labels
        self.flops = retrain_work(self.recipe, genotype).flops

    def answer(self, question: str) -> Any:
        if question == "flops":
            return self.flops
        if question == "parts":
            return {"parts": _parts(self.retrain, *self.batch), "data": _data(self.dataset, self.recipe)}
        self.retrain.step(*self.batch)  # as in training, the one that is timed comes right after another
        started = time.process_time()
        self.retrain.step(*self.batch)
        return time.process_time() - started


def worker(batch: int) -> None:
    """Runs in a process of its own, of any checkout: answers questions on its input, each a network and what to tell."""
    prepare_cpu(1)
    cases: dict[str, _Case] = {}
    for line in sys.stdin:
        network, question = json.loads(line)
        if network not in cases:
            cases[network] = _Case(network, batch)
        print(json.dumps(cases[network].answer(question)), flush=True)


def _parts(retrain: Retrain, x: torch.Tensor, labels: torch.Tensor, steps: int = 5) -> dict[str, float]:
    """CPU seconds of a step by part."""
    taken: Counter[str] = Counter()
    call = native.call

    def timed(kernel: str, *arguments: native.Argument) -> None:
        started = time.process_time()
        call(kernel, *arguments)
        taken[PARTS[kernel.partition("_")[0]]] += time.process_time() - started  # type: ignore[assignment]

    native.call = timed
    started = time.process_time()
    for _ in range(steps):
        retrain.step(x, labels)
    whole = time.process_time() - started
    native.call = call
    return {**{part: taken[part] / steps for part in PARTS.values()}, REST: (whole - sum(taken.values())) / steps}


def _data(dataset: Any, recipe: Recipe) -> float:
    """CPU seconds that a training batch takes, the faster of some."""
    taken = []
    for seed in range(5):
        started = time.process_time()
        generator = torch.Generator().manual_seed(seed)
        settings = {"use_cutout": True, "drop_last": True}
        for _ in train_batches(dataset, dataset.train, recipe.retrain_batch, recipe, generator, **settings):
            pass
        taken.append(time.process_time() - started)
    return min(taken)


class _Process:
    """The worker of one checkout."""

    def __init__(self, checkout: Path, batch: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        arguments = [sys.executable, "-P", __file__, "--worker", str(batch)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=checkout)

    def ask(self, *question: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise InputError(f"small_step: expected a worker that runs, got exit code {self.process.wait()}")
        return json.loads(line)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _measure(network: str, workers: dict[str, _Process], batch: int, repeats: int) -> dict[str, Any]:
    runs: dict[str, list[float]] = {name: [] for name in workers}
    for repeat in range(repeats + 1):
        for name, process in workers.items():
            seconds = process.ask(network, "step")
            if repeat:  # the first allocates
                runs[name].append(seconds)
    flops = workers["now"].ask(network, "flops")
    found: dict[str, Any] = {"flops": flops, "sides": {}, **workers["now"].ask(network, "parts")}
    for name, seconds in runs.items():
        times = spread(seconds)
        found["sides"][name] = {"cpu_seconds": times, "gflop_s": flops / times["median"] / 1e9}
    if "before" in runs:
        pairs = [before / now for before, now in zip(runs["before"], runs["now"], strict=True)]
        found["before_over_now"] = {"median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}
    step = found["sides"]["now"]["cpu_seconds"]["median"] + found["data"]
    found["epochs_per_core_hour"] = 3600 / (step * EPOCH / batch)
    progress(f"{network}: {found['sides']['now']['gflop_s']:.0f} GFLOP/s")
    return found


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    rows = [
        [
            name,
            *(
                f"{1e3 * side['cpu_seconds']['median']:.1f} ms, {side['gflop_s']:.0f}"
                for side in found["sides"].values()
            ),
            f"{found['epochs_per_core_hour']:.0f}",
            *(f"{1e3 * seconds:.1f}" for seconds in found["parts"].values()),
        ]
        for name, found in result["networks"].items()
    ]
    first = next(iter(result["networks"].values()))
    header = ["", *(f"{side}, GFLOP/s" for side in first["sides"]), "epochs an hour", *first["parts"]]
    return "\n".join([*heading(result), *table(header, rows)])


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("small_step", __doc__, repeats=15)
    made.add_argument("--batch", type=int, default=64, help="samples per batch (default 64)")
    made.add_argument("--before", type=Path, help="an older checkout to measure too")
    options = made.parse_args(arguments)
    options.threads = 1

    def run() -> dict[str, Any]:
        checkouts = {"now": Path(__file__).parents[1]}
        if options.before is not None:
            if not (options.before / "litesnn").is_dir():
                raise InputError(f"before: expected a checkout, got {options.before}")
            checkouts = {"before": options.before.resolve(), **checkouts}
        settings = {"batch": options.batch, "repeats": options.repeats}
        if options.before is not None:
            settings["before"] = options.before.name
        result = begin("small_step", settings)
        workers = {name: _Process(path, options.batch) for name, path in checkouts.items()}
        result["networks"] = {name: _measure(name, workers, options.batch, options.repeats) for name in NETWORKS}
        for process in workers.values():
            process.end()
        return result

    return command(options, run, report)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(int(sys.argv[2]))
    else:
        sys.exit(main())
