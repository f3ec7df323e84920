"""Several executions of the same training step against each other, and against what the machine can do.

Each side has a process of its own, so that none works in a heap that another has cut up; they take turns, so that a slow
spell of the machine hits all. The machine's limits are measured in the same run, before the first turn and after the
last, in a further process; the better of the two counts. Two figures of memory are kept: the process' peak, Python and
torch included, and the step's own, its peak less what was resident before the first step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.limits import DTYPES, add_array, bandwidth, conv_rates, conv_seconds
from benchmarks.record import begin, heading, own_process, progress, spread, table
from benchmarks.record import parser as record_parser
from benchmarks.work import Work
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.device import prepare_cpu

NAIVE = "naive"
"""The side that ratios are taken to; there must be one of this name."""
LIMIT_REPEATS = 5

Step = Callable[[], Tensor]
"""One iteration on a batch that stays the same; returns the loss."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One way to execute a step.

    Args:
        name: ``naive``, ``fused``, …
        build: makes the step from a recipe; a function of a module, since it goes to another process.
        dtype: of its convolutions, a key of ``DTYPES``: which of the machine's rates it is held against.
    """

    name: str
    build: Callable[[Recipe], Step]
    dtype: str = "fp32"

    def __post_init__(self) -> None:
        assert self.dtype in DTYPES


def random_data(recipe: Recipe, count: int) -> Dataset:
    """One batch of ``count`` random samples, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (count, *recipe.input_shape), dtype=torch.uint8, generator=generator)
    split = Split(inputs, torch.randint(recipe.classes, (count,), generator=generator))
    return Dataset.build("random", tuple(str(k) for k in range(recipe.classes)), split, split, split)


_step: Step | None = None  # of a worker process
_resident = 0.0
_built = 0.0


def prepare(build: Callable[[Recipe], Step], recipe: Recipe, threads: int) -> None:
    """Runs in the process of one side: builds its step and notes the memory that is resident before the first."""
    global _step, _resident, _built
    prepare_cpu(threads)
    _step = build(recipe)
    _built = machine.peak_memory_mib()
    _resident = machine.begin_peak()


def timed() -> dict[str, float]:
    """Runs in a side's process: seconds of one iteration, and memory in MiB so far.

    As in training, the iteration that is timed comes right after another one.
    """
    assert _step is not None
    _step()
    started = time.perf_counter()
    loss = _step()
    elapsed = time.perf_counter() - started
    assert torch.isfinite(loss)
    peak = machine.peak_memory_mib()
    return {"seconds": elapsed, "peak_memory_mib": max(peak, _built), "step_memory_mib": peak - _resident}


def _limits(work: Work, dtypes: list[str], threads: int, repeats: int, array: int | None) -> dict[str, Any]:
    """Runs in a process of its own: least seconds of every convolution per dtype, and bandwidth."""
    prepare_cpu(threads)
    return {**{name: conv_seconds(work, name, repeats) for name in dtypes}, "memory": bandwidth(repeats, array)}


def _best(work: Work, found: list[dict[str, Any]], dtypes: list[str]) -> dict[str, Any]:
    """The better of several measurements, as rates."""
    rates: dict[str, Any] = {}
    for name in dtypes:
        least = {key: min(run[name][key] for run in found) for key in found[0][name]}
        rates[name] = conv_rates(work, least)
    kinds = ("read", "copy", "triad", "best")
    return {**rates, "bandwidth_gb_s": {kind: max(run["memory"][kind] for run in found) for kind in kinds}}


def measure(
    name: str,
    sides: Sequence[Side],
    recipe: Recipe,
    work: Work,
    repeats: int,
    settings: dict[str, Any],
    array: int | None = None,
) -> dict[str, Any]:
    """Measures all sides; everything that is kept of the run, ready for JSON.

    Args:
        name: of the benchmark.
        sides: what is compared, one of them named ``naive``.
        recipe: given to each.
        work: what a step computes.
        repeats: measured iterations of each side.
        settings: what to say of the sizes.
        array: as for ``bandwidth``.
    """
    names = [side.name for side in sides]
    assert NAIVE in names and len(set(names)) == len(names)
    result = begin(name, {**settings, "repeats": repeats})
    dtypes = sorted({side.dtype for side in sides}, reverse=True)
    threads = torch.get_num_threads()
    runs: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    with ExitStack() as stack:
        limiter = stack.enter_context(own_process())

        def limits() -> dict[str, Any]:
            return limiter.submit(_limits, work, dtypes, threads, LIMIT_REPEATS, array).result()

        found = [limits()]
        workers = {side.name: stack.enter_context(own_process()) for side in sides}
        for side in sides:
            workers[side.name].submit(prepare, side.build, recipe, threads).result()
        for repeat in range(repeats + 1):
            for side in sides:
                run = workers[side.name].submit(timed).result()
                label = f"{repeat}/{repeats}" if repeat else "warm-up"  # the first call allocates and chooses kernels
                progress(f"{label} {side.name} {run['seconds']:.2f} s")
                if repeat:
                    runs[side.name].append(run)
        found.append(limits())
    result["work"] = {"flops": work.flops, "least_bytes": {name: work.least_bytes(name) for name in dtypes}}
    result["limits"] = best = _best(work, found, dtypes)
    result["sides"] = {side.name: _row(side, runs, work, best) for side in sides}
    return result


def _row(side: Side, runs: dict[str, list[dict[str, float]]], work: Work, limits: dict[str, Any]) -> dict[str, Any]:
    """One side: its times and memory, both against the naive side, and its share of the machine's limits."""
    own, naive = runs[side.name], runs[NAIVE]
    seconds = [run["seconds"] for run in own]
    row: dict[str, Any] = {"dtype": side.dtype, "all_seconds": seconds, "seconds": spread(seconds)}
    for key in ("peak_memory_mib", "step_memory_mib"):
        row[key] = max(run[key] for run in own)
        row[f"{key.removesuffix('_mib')}_of_naive"] = row[key] / max(run[key] for run in naive)
    pairs = [other["seconds"] / run["seconds"] for run, other in zip(own, naive, strict=True)]
    median = row["seconds"]["median"]
    of_medians = spread([run["seconds"] for run in naive])["median"] / median
    row["naive_over_this"] = {"of_medians": of_medians, "min": min(pairs), "max": max(pairs)}
    rates = limits[side.dtype]
    row["gflop_s"] = work.flops / median / 1e9
    row["share_of_convolution_rate"] = row["gflop_s"] / rates["own_shapes"]
    row["share_of_peak_convolution_rate"] = row["gflop_s"] / rates["peak"]
    row["share_of_bandwidth"] = work.least_bytes(side.dtype) / median / 1e9 / limits["bandwidth_gb_s"]["best"]
    return row


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    header = ["", "median", "min", "max", "naive /", "pairs", "memory", "of naive", "process", "of naive"]
    rows = []
    for name, row in result["sides"].items():
        times = [f"{row['seconds'][key]:.3f} s" for key in ("median", "min", "max")]
        ratio = row["naive_over_this"]
        memory = [
            *(f"{row['step_memory_mib']:.0f} MiB", f"{row['step_memory_of_naive']:.2f}"),
            *(f"{row['peak_memory_mib']:.0f} MiB", f"{row['peak_memory_of_naive']:.2f}"),
        ]
        pairs = f"{ratio['min']:.2f}-{ratio['max']:.2f}"
        rows.append([name, *times, f"{ratio['of_medians']:.2f}", pairs, *memory])
    lines += table(header, rows)
    work, limits = result["work"], result["limits"]
    lines += ["", f"a step: {work['flops'] / 1e9:.1f} GFLOP in convolutions, at least "
              + ", ".join(f"{count / 2**20:.0f} MiB moved in {name}" for name, count in work["least_bytes"].items())]  # fmt: skip
    header = ["", "GFLOP/s", "of the rate", "of its peak", "of bandwidth"]
    rows = [
        [
            name,
            f"{row['gflop_s']:.0f}",
            f"{100 * row['share_of_convolution_rate']:.0f} %",
            f"{100 * row['share_of_peak_convolution_rate']:.0f} %",
            f"{100 * row['share_of_bandwidth']:.0f} %",
        ]
        for name, row in result["sides"].items()
    ]
    lines += table(header, rows)
    for dtype in dict.fromkeys(row["dtype"] for row in result["sides"].values()):
        rates = limits[dtype]
        lines.append(
            f"convolution rate in {dtype}: {rates['own_shapes']:.0f} GFLOP/s over the step's own shapes as they occur, "
            f"peak {rates['peak']:.0f} ({rates['peak_shape']})"
        )
    moved = limits["bandwidth_gb_s"]
    lines.append("memory: " + ", ".join(f"{kind} {rate:.1f} GB/s" for kind, rate in moved.items()))
    return "\n".join(lines)


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The options that the benchmarks of steps have."""
    made = record_parser(name, text, repeats=5)
    made.add_argument("--batch", type=int, default=8, help="samples per batch (default 8)")
    add_array(made)
    return made
