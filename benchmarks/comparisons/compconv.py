"""The naive CompConv, with weights and mask of its own per bit-width, against the shared one: accuracy, time and memory.

Eq. 4 to 7 (Fig. 2(a)) give every bit-width branch a weight, scores and so a mask; Eq. 8 to 11 share them. Here the naive one
is built of one-bit CompConvs, one per branch, so that quantiser, pruning and kernels are the same, and it is put into the
cells of the same supernet; stem and classifier have one bit-width and stay. Searches differ in that alone; what they find is
retrained alike. The steps are timed in a process of each side, in turn, on a real batch of digits and on synthetic ones
of CIFAR's shape; what counts is the processor's time on one thread.

    python -m benchmarks compconv digits --seeds 3
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import machine
from benchmarks.comparisons.repeats import (
    Record,
    Row,
    mean_text,
    of_variant,
    paired,
    parser,
    presets_of,
    run_command,
    train_genotype,
    train_point,
)
from benchmarks.record import heading, own_process, progress, spread, table
from benchmarks.sides import Step, prepare, random_data, timed
from litesnn.cell import EdgeConvs
from litesnn.checks import check_integer
from litesnn.compconv import CompConv
from litesnn.config import Recipe, SearchPoint
from litesnn.convolution import convolve
from litesnn.data import Dataset, load
from litesnn.joint_search import Search
from litesnn.run import complete
from litesnn.training import scores_and_weights, weight_optimizer

SHARED, NAIVE = "shared", "naive"
POINTS = {
    "digits": SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50),
    "cifar10-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
    "gsc-small": SearchPoint(lambda1=1e-6, lambda2=1e-10, p=50),
}


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


KINDS: dict[str, type[Search]] = {SHARED: Search, NAIVE: BranchedSearch}


def train(record: Record, variant: str, seed: int, data: Dataset) -> Row:
    """One search of either kind and the retraining of what it found."""
    point, start = POINTS[record.options.preset], record.start(variant, seed)
    if variant == SHARED:
        return train_point(point, record.recipe, data, seed, start)
    search = BranchedSearch(point, record.recipe, data, seed=seed, device=torch.device("cpu"))
    complete(search, start.with_name(f"{start.name}.search"), None, None)
    return train_genotype(search.genotype(), record.recipe, data, seed, start)


def _step(kind: type[Search], recipe: Recipe) -> Step:
    """An iteration on one batch: of digits where the recipe wants them, else of random numbers."""
    size = recipe.search_batch
    dataset = load(recipe) if recipe.dataset == "digits" else random_data(recipe, size)
    search = kind(SearchPoint.named("medium"), recipe, dataset, seed=0, device=torch.device("cpu"))
    search.network.train()
    batch = dataset.train.take(torch.arange(size))
    x, labels = dataset.normalise(batch.inputs), batch.labels
    return lambda: search.step(x, labels, x, labels)


def shared_step(recipe: Recipe) -> Step:
    """The step as ``litesnn`` does it."""
    return _step(Search, recipe)


def naive_step(recipe: Recipe) -> Step:
    """The step with naive CompConvs."""
    return _step(BranchedSearch, recipe)


BUILDS: dict[str, Callable[[Recipe], Step]] = {SHARED: shared_step, NAIVE: naive_step}


def _timed() -> dict[str, float]:
    """As ``benchmarks.sides.timed``, and the processor's own seconds of a step, which other programs disturb less."""
    before = time.process_time()
    found = timed()  # two steps
    return {**found, "processor_seconds": (time.process_time() - before) / 2}


def measure_step(recipe: Recipe, repeats: int, threads: int) -> dict[str, Any]:
    """Seconds and memory of a step of both sides, each in a process of its own, taking turns."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in BUILDS}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(own_process()) for name in BUILDS}
        for name, build in BUILDS.items():
            workers[name].submit(prepare, build, recipe, threads).result()
        for repeat in range(repeats + 1):
            for name in BUILDS:
                run = workers[name].submit(_timed).result()
                if repeat:  # the first call allocates and chooses kernels
                    runs[name].append(run)
    point = SearchPoint.named("medium")
    sides: dict[str, dict[str, Any]] = {
        name: {
            **{key: spread([run[key] for run in found]) for key in ("seconds", "processor_seconds")},
            "step_memory_mib": max(run["step_memory_mib"] for run in found),
            "peak_memory_mib": max(run["peak_memory_mib"] for run in found),
            "trained_numbers": _trained_numbers(KINDS[name], point, recipe),
        }
        for name, found in runs.items()
    }
    pairs = [b["processor_seconds"] / a["processor_seconds"] for a, b in zip(*runs.values(), strict=True)]
    shared, naive = sides.values()
    return {
        "data": "digits" if recipe.dataset == "digits" else "synthetic, of CIFAR's shape",
        "channels": recipe.search_channels,
        "batch": recipe.search_batch,
        "timesteps": recipe.timesteps,
        "cells": recipe.cells,
        "threads": threads,
        "load": machine.load_average(),
        "sides": sides,
        "naive_over_shared": {
            **{key: naive[key]["median"] / shared[key]["median"] for key in ("seconds", "processor_seconds")},
            "step_memory": naive["step_memory_mib"] / shared["step_memory_mib"],
            "pairs": spread(pairs),
        },
    }


def _trained_numbers(kind: type[Search], point: SearchPoint, recipe: Recipe) -> int:
    """How many weights and scores a search learns."""
    search = kind(point, recipe, random_data(recipe, 1), device=torch.device("cpu"))
    return sum(tensor.numel() for tensor in (*search.weights, *search.scores))


def measure_steps(record: Record, channels: Sequence[int], batch: int, repeats: int) -> None:
    """Measures those sizes that the record does not have yet."""
    steps = record.here.setdefault("steps", [])
    recipes = [record.recipe] if record.recipe.dataset == "digits" else []
    recipes += [Recipe.preset("cifar10", search_channels=c, search_batch=batch) for c in channels]
    done = {(step["data"], step["channels"], step["batch"]) for step in steps}
    for recipe in recipes:
        data = "digits" if recipe.dataset == "digits" else "synthetic, of CIFAR's shape"
        if (data, recipe.search_channels, recipe.search_batch) in done:
            continue
        steps.append(measure_step(recipe, repeats, record.options.threads))
        record.write()
        progress(f"step of C = {recipe.search_channels}, batch {recipe.search_batch}")


def report(result: dict[str, Any]) -> str:
    """The stored record as two tables: what the searches led to, and what their steps cost."""
    lines = heading(result)
    for preset, found in presets_of(result):
        body = []
        for variant in KINDS:
            rows = of_variant(found["runs"], variant)
            if rows:
                body.append(
                    [
                        f"{preset} {variant}",
                        mean_text([row["test_accuracy"] for row in rows], ".2f"),
                        " ".join(f"{row['test_accuracy']:.2f}" for row in rows),
                        mean_text([row["model_size_bits"] / 8e3 for row in rows], ".2f"),
                        mean_text([row["bit_synops"] / 1e6 for row in rows], ".3f"),
                    ]
                )
        lines += table(["", "test %", "by seed", "size kB", "Bit-SynOps M"], body)
        changes = paired(found["runs"], SHARED, NAIVE, "test_accuracy")
        lines += [f"naive less shared, by seed: {mean_text(changes, '.2f')} points", ""] if changes else [""]
        steps = found.get("steps", [])
        body = [
            [
                f"{step['data']}, C {step['channels']}, batch {step['batch']}, T {step['timesteps']} {name}",
                *(f"{side['processor_seconds'][key]:.3f} s" for key in ("median", "min", "max")),
                f"{side['seconds']['median']:.3f} s",
                f"{side['step_memory_mib']:.0f} MiB",
                f"{side['peak_memory_mib']:.0f} MiB",
                f"{side['trained_numbers']:,}",
            ]
            for step in steps
            for name, side in step["sides"].items()
        ]
        header = [
            "a step of the search",
            "processor",
            "min",
            "max",
            "clock",
            "memory",
            "its process",
            "numbers learned",
        ]
        lines += table(header, body)
        for step in steps:
            ratio = step["naive_over_shared"]
            pairs = ratio["pairs"]
            lines.append(
                f"C {step['channels']}, batch {step['batch']}: naive takes {ratio['processor_seconds']:.2f} times the processor "
                f"time ({pairs['count']} pairs: {pairs['min']:.2f}-{pairs['max']:.2f}; {ratio['seconds']:.2f} by the clock, load "
                f"{step['load']}), {ratio['step_memory']:.2f} times the memory"
            )
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("compconv", __doc__, list(POINTS))
    made.add_argument("--repeats", type=int, default=10, help="timed steps of each side (default 10)")
    made.add_argument("--sizes", type=int, nargs="*", default=[16, 48], metavar="C", help="synthetic steps (16 48)")
    made.add_argument("--batch", type=int, default=8, help="samples of a synthetic step (default 8)")
    options = made.parse_args(arguments)

    def work(record: Record) -> None:
        check_integer("repeats", options.repeats, minimum=1)
        check_integer("batch", options.batch, minimum=2)
        record.complete(list(KINDS), lambda variant, seed, data: train(record, variant, seed, data))
        measure_steps(record, options.sizes, options.batch, options.repeats)

    return run_command("compconv", options, work, report)


if __name__ == "__main__":
    sys.exit(main())
