"""Times one search iteration of the paper's CIFAR-10 supernet, fused against naive execution.

An iteration is ``Search.step``: both forward and backward passes and every optimizer step, on random data of CIFAR's
shape. The naive side executes the same network with the same parameters (see ``benchmarks.naive``), and its two passes
are written plainly: every gradient in both, torch's default optimizers. Batch norm runs by torch's kernel on both
sides, so that the ratio does not profit from a slow formula, and both reuse freed memory alike.

    python -m benchmarks.search_step --repeats 5
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.naive import NaiveNetwork
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe, SearchPoint
from litesnn.data.dataset import Dataset, Split
from litesnn.device import prepare_cpu
from litesnn.files import write_text
from litesnn.joint_search import Search
from litesnn.objective import search_loss

SIDES = ("fused", "naive")
BUSY = 1.5
"""Load average above which other programs are likely to disturb the measurement."""


class NaiveSearch(Search):
    """The same search with naive execution and two plain passes."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for optimizer in (self.weight_optimizer, self.arch_optimizer):
            for group in optimizer.param_groups:
                group["fused"] = False

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


class Iteration:
    """A search of one side, ready to be stepped.

    Args:
        side: ``fused`` or ``naive``; both start from the same values and see the same batch.
        recipe: the recipe; ``search_batch`` samples make the batch.
    """

    def __init__(self, side: str, recipe: Recipe) -> None:
        dataset = random_data(recipe)
        kind = {"fused": Search, "naive": NaiveSearch}[side]
        self.search = kind(SearchPoint.named("medium"), recipe, dataset, seed=0, device=torch.device("cpu"))
        self.search.network.train()
        self.x, self.labels = dataset.normalise(dataset.train.inputs), dataset.train.labels

    def seconds(self) -> float:
        """Duration of one iteration."""
        started = time.perf_counter()
        loss = self.search.step(self.x, self.labels, self.x, self.labels)
        elapsed = time.perf_counter() - started
        assert torch.isfinite(loss)
        return elapsed


def random_data(recipe: Recipe) -> Dataset:
    """One batch of random pixels and labels, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    count = recipe.search_batch
    inputs = torch.randint(256, (count, *recipe.input_shape), dtype=torch.uint8, generator=generator)
    split = Split(inputs, torch.randint(recipe.classes, (count,), generator=generator))
    return Dataset.build("random", tuple(str(k) for k in range(recipe.classes)), split, split, split)


_iteration: Iteration | None = None  # of a worker process


def _prepare(side: str, recipe: Recipe, threads: int) -> None:
    """Runs in the worker process of one side."""
    global _iteration
    prepare_cpu(threads)
    _iteration = Iteration(side, recipe)


def _step() -> tuple[float, float]:
    """Runs in a worker: seconds of one iteration and the process' peak memory in MiB, Python and torch included.

    As in training, the iteration that is timed comes right after another one.
    """
    assert _iteration is not None
    _iteration.seconds()
    return _iteration.seconds(), machine.peak_memory_mib()


def measure_sides(recipe: Recipe, repeats: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds per iteration and peak memory of both sides.

    Each side has a process of its own, so that neither works in a heap that the other has cut up; they take turns, so
    that a slow spell of the machine hits both.
    """
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    peaks = dict.fromkeys(SIDES, 0.0)
    with ExitStack() as stack:
        workers = {}
        for side in SIDES:
            pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            workers[side] = stack.enter_context(pool)
            workers[side].submit(_prepare, side, recipe, torch.get_num_threads()).result()
        for repeat in range(repeats + 1):
            for side in SIDES:
                elapsed, peaks[side] = workers[side].submit(_step).result()
                label = f"{repeat}/{repeats}" if repeat else "warm-up"  # the first call allocates and chooses kernels
                _progress(f"{label} {side} {elapsed:.2f} s")
                if repeat:
                    seconds[side].append(elapsed)
    return seconds, peaks


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    settings = result["settings"]
    lines = [
        machine.one_line(result["machine"]),
        ", ".join(f"{key} {value}" for key, value in settings.items()),
        f"load before {result['load_before']}, after {result['load_after']}; {result['measured_at']}",
        "",
        f"{'':8}{'median':>10}{'min':>10}{'max':>10}{'peak memory':>16}",
    ]
    for side in SIDES:
        row = result[side]
        times = "".join(f"{row[k]:8.2f} s" for k in ("median", "min", "max"))
        lines.append(f"{side:8}{times}{row['peak_memory_mib']:12.0f} MiB")
    ratio = result["ratio"]
    lines += ["", f"naive / fused: {ratio['of_medians']:.2f} (pairs {ratio['min']:.2f} to {ratio['max']:.2f})"]
    return "\n".join(lines)


def measure(recipe: Recipe, repeats: int) -> dict[str, Any]:
    """Everything that is kept of one run, ready for JSON."""
    load_before = machine.load_average()
    if load_before is not None and load_before > BUSY:
        _progress(f"load is {load_before}: other programs are running, expect disturbed times")
    seconds, peaks = measure_sides(recipe, repeats)
    pairs = [naive / fused for fused, naive in zip(seconds["fused"], seconds["naive"], strict=True)]
    medians = {side: statistics.median(seconds[side]) for side in SIDES}
    return {
        "benchmark": "search_step",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "settings": {
            "batch": recipe.search_batch,
            "channels": recipe.search_channels,
            "timesteps": recipe.timesteps,
            "cells": recipe.cells,
            "nodes": recipe.nodes,
            "point": "medium",
            "repeats": repeats,
        },
        "load_before": load_before,
        "load_after": machine.load_average(),
        **{
            side: {
                "seconds": seconds[side],
                "median": medians[side],
                "min": min(seconds[side]),
                "max": max(seconds[side]),
                "peak_memory_mib": peaks[side],
            }
            for side in SIDES
        },
        "ratio": {"of_medians": medians["naive"] / medians["fused"], "min": min(pairs), "max": max(pairs)},
    }


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="search_step", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="measured iterations per side (default 5)")
    parser.add_argument("--batch", type=int, default=8, help="samples per batch (default 8)")
    parser.add_argument("--channels", type=int, default=48, help="C of the supernet (default 48)")
    parser.add_argument("--timesteps", type=int, default=6, help="T (default 6)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search_step.json")
    options = parser.parse_args(arguments)
    try:
        check_integer("repeats", options.repeats, minimum=1)
        prepare_cpu(options.threads)
        recipe = Recipe.preset(
            "cifar10",
            search_batch=options.batch,
            search_channels=options.channels,
            timesteps=options.timesteps,
        )
        result = measure(recipe, options.repeats)
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"search_step: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
