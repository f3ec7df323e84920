"""Two executions of the same training step against each other: fused as ``litesnn`` does it, and naive.

Each side has a process of its own, so that neither works in a heap that the other has cut up; they take turns, so that
a slow spell of the machine hits both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, Split
from litesnn.device import prepare_cpu
from litesnn.files import write_text

SIDES = ("fused", "naive")
BUSY = 1.5
"""Load average above which other programs are likely to disturb the measurement."""

Step = Callable[[], Tensor]
"""One iteration on a batch that stays the same; returns the loss."""

MakeStep = Callable[[str, Recipe], Step]
"""Builds the step of a side, ``fused`` or ``naive``; a function of a module, since it goes to another process."""


def random_data(recipe: Recipe, count: int) -> Dataset:
    """One batch of ``count`` random samples, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (count, *recipe.input_shape), dtype=torch.uint8, generator=generator)
    split = Split(inputs, torch.randint(recipe.classes, (count,), generator=generator))
    return Dataset.build("random", tuple(str(k) for k in range(recipe.classes)), split, split, split)


_step: Step | None = None  # of a worker process


def _prepare(make_step: MakeStep, side: str, recipe: Recipe, threads: int) -> None:
    """Runs in the worker process of one side."""
    global _step
    prepare_cpu(threads)
    _step = make_step(side, recipe)


def _timed() -> tuple[float, float]:
    """Runs in a worker: seconds of one iteration and the process' peak memory in MiB, Python and torch included.

    As in training, the iteration that is timed comes right after another one.
    """
    assert _step is not None
    _step()
    started = time.perf_counter()
    loss = _step()
    elapsed = time.perf_counter() - started
    assert torch.isfinite(loss)
    return elapsed, machine.peak_memory_mib()


def measure(name: str, make_step: MakeStep, recipe: Recipe, repeats: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Measures both sides; everything that is kept of the run, ready for JSON.

    Args:
        name: of the benchmark.
        make_step: builds a side's step.
        recipe: given to it.
        repeats: measured iterations of each side.
        settings: what to say of the sizes.
    """
    load_before = machine.load_average()
    if load_before is not None and load_before > BUSY:
        _progress(f"load is {load_before}: other programs are running, expect disturbed times")
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    peaks = dict.fromkeys(SIDES, 0.0)
    with ExitStack() as stack:
        workers = {}
        for side in SIDES:
            pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            workers[side] = stack.enter_context(pool)
            workers[side].submit(_prepare, make_step, side, recipe, torch.get_num_threads()).result()
        for repeat in range(repeats + 1):
            for side in SIDES:
                elapsed, peaks[side] = workers[side].submit(_timed).result()
                label = f"{repeat}/{repeats}" if repeat else "warm-up"  # the first call allocates and chooses kernels
                _progress(f"{label} {side} {elapsed:.2f} s")
                if repeat:
                    seconds[side].append(elapsed)
    pairs = [naive / fused for fused, naive in zip(seconds["fused"], seconds["naive"], strict=True)]
    medians = {side: statistics.median(seconds[side]) for side in SIDES}
    return {
        "benchmark": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "settings": {**settings, "repeats": repeats},
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
        "memory_share": peaks["fused"] / peaks["naive"],
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = [
        machine.one_line(result["machine"]),
        ", ".join(f"{key} {value}" for key, value in result["settings"].items()),
        f"load before {result['load_before']}, after {result['load_after']}; {result['measured_at']}",
        "",
        f"{'':8}{'median':>10}{'min':>10}{'max':>10}{'peak memory':>16}",
    ]
    for side in SIDES:
        row = result[side]
        times = "".join(f"{row[k]:8.2f} s" for k in ("median", "min", "max"))
        lines.append(f"{side:8}{times}{row['peak_memory_mib']:12.0f} MiB")
    ratio = result["ratio"]
    lines += [
        "",
        f"naive / fused: {ratio['of_medians']:.2f} (pairs {ratio['min']:.2f} to {ratio['max']:.2f}); "
        f"peak memory {result['memory_share']:.2f} of naive",
    ]
    return "\n".join(lines)


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The options that both benchmarks have."""
    made = argparse.ArgumentParser(prog=name, description=(text or "").partition("\n")[0])
    made.add_argument("--repeats", type=int, default=5, help="measured iterations per side (default 5)")
    made.add_argument("--batch", type=int, default=8, help="samples per batch (default 8)")
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    made.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / f"{name}.json")
    return made


def command(options: argparse.Namespace, run: Callable[[], dict[str, Any]]) -> int:
    """Runs a measurement, keeps and prints it; returns the exit code."""
    try:
        check_integer("repeats", options.repeats, minimum=1)
        prepare_cpu(options.threads)
        result = run()
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"{options.out.stem}: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
