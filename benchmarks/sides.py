"""Several executions of the same training step against each other, and against what the machine can do.

Each side has a process of its own, so that none works in a heap that another has cut up; they take turns, so that a slow
spell of the machine hits all. The machine's limits are measured in the same run, before the first turn and after the
last, in a further process; the better of the two counts. Two figures of memory are kept: the process' peak, Python and
torch included, and the step's own, its peak less what was resident before the first step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from benchmarks import machine
from benchmarks.limits import add_array, array_bytes, bandwidth, better, conv_rates, conv_seconds
from benchmarks.record import add_repeats, made_on, markdown, own_process, progress, settings, spread
from benchmarks.work import Work
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.device import prepare_cpu

NAIVE = "naive"
"""The side that ratios are taken to; there must be one of this name."""
LIMIT_REPEATS = 5

Step = Callable[[], Tensor]
"""One iteration on a batch that stays the same; returns the loss."""
Build = Callable[[Recipe], Step]
"""Makes the step of a side from a recipe in its precision; a function of a module, since it goes to another process."""
Run = dict[str, float]


def add_sizes(parser: argparse.ArgumentParser, channels: int, timesteps: int) -> None:
    """Repeats, sizes of the network whose step is measured, and of the arrays."""
    add_repeats(parser, 5)
    parser.add_argument("--batch", type=int, default=8, help="samples per batch (default 8)")
    parser.add_argument("--channels", type=int, default=channels, help=f"C (default {channels})")
    parser.add_argument("--timesteps", type=int, default=timesteps, help=f"T (default {timesteps})")
    add_array(parser)


def random_data(recipe: Recipe, count: int) -> Dataset:
    """One batch of ``count`` random samples, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (count, *recipe.input_shape), dtype=torch.uint8, generator=generator)
    split = Split(inputs, torch.randint(recipe.classes, (count,), generator=generator))
    return Dataset.build("random", tuple(str(k) for k in range(recipe.classes)), split, split, split)


def unfused(*optimizers: Optimizer | None) -> None:
    """Optimizers as torch makes them unless told otherwise, for a naive side."""
    for optimizer in optimizers:
        assert optimizer is not None
        for group in optimizer.param_groups:
            group["fused"] = False


_step: Step | None = None  # of a worker process
_resident = 0.0
_built = 0.0


def prepare(build: Build, recipe: Recipe, threads: int) -> None:
    """Runs in the process of one side: builds its step and notes the memory that is resident before the first."""
    global _step, _resident, _built
    prepare_cpu(threads)
    _step = build(recipe)
    _built = machine.peak_memory_mib()
    _resident = machine.begin_peak()


def timed() -> Run:
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


def take_turns(builds: Mapping[str, Build], recipe: Recipe, repeats: int, threads: int) -> dict[str, list[Run]]:
    """Of every side, what ``timed`` says of as many iterations as there are repeats."""
    runs: dict[str, list[Run]] = {name: [] for name in builds}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(own_process()) for name in builds}
        for name, build in builds.items():
            workers[name].submit(prepare, build, replace(recipe, precision=dtype_of(name)), threads).result()
        for repeat in range(repeats + 1):
            for name, worker in workers.items():
                run = worker.submit(timed).result()
                # The first call allocates and chooses kernels.
                progress(f"{f'{repeat}/{repeats}' if repeat else 'warm-up'} {name} {run['seconds']:.2f} s")
                runs[name] += [run] if repeat else []
    return runs


def _limits(work: Work, dtypes: list[str], threads: int, array: int | None) -> dict[str, Any]:
    """Runs in a process of its own: least seconds of every convolution per dtype, and bandwidth."""
    prepare_cpu(threads)
    return {
        **{name: conv_seconds(work, name, LIMIT_REPEATS) for name in dtypes},
        "memory": bandwidth(LIMIT_REPEATS, array),
    }


def _best(work: Work, found: list[dict[str, Any]], dtypes: list[str]) -> dict[str, Any]:
    """The better of several measurements, as rates."""
    least = {name: {key: min(run[name][key] for run in found) for key in found[0][name]} for name in dtypes}
    rates = {name: conv_rates(work, taken) for name, taken in least.items()}
    return {**rates, "bandwidth_gb_s": better([run["memory"] for run in found])}


def dtype_of(side: str) -> Literal["fp32", "bf16"]:
    """The precision of a side's convolutions, which its name tells: which of the machine's rates it is held against."""
    return "bf16" if side.endswith("bf16") else "fp32"


def compare(
    builds: Mapping[str, Build], recipe: Recipe, work: Work, options: argparse.Namespace, **more: Any
) -> dict[str, Any]:
    """Measures all sides, one of them named ``naive``; everything that is kept of them.

    Args:
        builds: what is compared, by name.
        recipe: given to each, in the side's precision.
        work: what a step computes.
        options: those of ``add_sizes``.
        more: settings that are kept besides the sizes.
    """
    dtypes: list[str] = sorted({dtype_of(name) for name in builds}, reverse=True)
    threads = torch.get_num_threads()
    arguments = work, dtypes, threads, array_bytes(options)
    sizes = {name: getattr(options, name) for name in ("batch", "channels", "timesteps")}
    with own_process() as limiter:
        before = limiter.submit(_limits, *arguments).result()
        runs = take_turns(builds, recipe, options.repeats, threads)
        limits = _best(work, [before, limiter.submit(_limits, *arguments).result()], dtypes)
    return {
        "settings": {**sizes, **more, "repeats": options.repeats},
        "work": {"flops": work.flops, "least_bytes": {name: work.least_bytes(name) for name in dtypes}},
        "limits": limits,
        "sides": {name: row(name, runs, work, limits) for name in builds},
    }


def row(side: str, runs: Mapping[str, list[Run]], work: Work, limits: dict[str, Any]) -> dict[str, Any]:
    """One side: its times and memory, both against the naive side, and its share of the machine's limits."""
    own, naive, dtype = runs[side], runs[NAIVE], dtype_of(side)
    seconds = [run["seconds"] for run in own]
    found: dict[str, Any] = {"dtype": dtype, "all_seconds": seconds, "seconds": spread(seconds)}
    for key in ("peak_memory_mib", "step_memory_mib"):
        found[key] = max(run[key] for run in own)
        found[f"{key.removesuffix('_mib')}_of_naive"] = found[key] / max(run[key] for run in naive)
    pairs = [other["seconds"] / run["seconds"] for run, other in zip(own, naive, strict=True)]
    median = found["seconds"]["median"]
    of_medians = spread([run["seconds"] for run in naive])["median"] / median
    rate = work.flops / median / 1e9
    return found | {
        "naive_over_this": {"of_medians": of_medians, "min": min(pairs), "max": max(pairs)},
        "gflop_s": rate,
        "share_of_convolution_rate": rate / limits[dtype]["own_shapes"],
        "share_of_peak_convolution_rate": rate / limits[dtype]["peak"],
        "share_of_bandwidth": work.least_bytes(dtype) / median / 1e9 / limits["bandwidth_gb_s"]["best"],
    }


def report(result: dict[str, Any]) -> str:
    """A row for each side, and what they are held against."""
    header = ["", "median", "min – max", "naive / this", "memory of the step", "of the process", "GFLOP/s"]
    header += ["of the convolution rate", "of its peak", "of bandwidth"]
    shares = ("share_of_convolution_rate", "share_of_peak_convolution_rate", "share_of_bandwidth")
    rows = []
    for name, found in result["sides"].items():
        times, ratio = found["seconds"], found["naive_over_this"]
        rows.append(
            [
                name,
                f"{times['median']:.3f} s",
                f"{times['min']:.3f} – {times['max']:.3f} s",
                f"{ratio['of_medians']:.2f} ({ratio['min']:.2f} – {ratio['max']:.2f})",
                f"{found['step_memory_mib']:.0f} MiB ({found['step_memory_of_naive']:.2f})",
                f"{found['peak_memory_mib']:.0f} MiB ({found['peak_memory_of_naive']:.2f})",
                f"{found['gflop_s']:.0f}",
                *(f"{100 * found[key]:.0f} %" for key in shares),
            ]
        )
    limits, work = result["limits"], result["work"]
    rates = "; ".join(
        f"convolution rate in {dtype} {limits[dtype]['own_shapes']:.0f} GFLOP/s over the step's own shapes, "
        f"peak {limits[dtype]['peak']:.0f} ({limits[dtype]['peak_shape']})"
        for dtype in work["least_bytes"]
    )
    moved = ", ".join(f"{count / 2**20:.0f} MiB in {dtype}" for dtype, count in work["least_bytes"].items())
    return (
        f"{markdown(header, rows)}\n\n{settings(result)}. A step: {work['flops'] / 1e9:.1f} GFLOP in convolutions, at least "
        f"{moved} moved. Limits in the same run: {rates}; memory {limits['bandwidth_gb_s']['best']:.1f} GB/s.\n\n"
        f"{made_on(result)}"
    )
