"""Times steps, evaluation and neurons on this machine's GPU, plain PyTorch against the kernels in Triton, and trials side by side.

Every row of GPUs that is open in the documentation, in one command. Without a GPU it says so and ends with exit code 2. A step is
the paper's: CIFAR-10's shapes, random data, the preset's batch, for the search four times as many too; ``--small`` takes
``cifar10-small``. Steps are timed launch by launch and as CUDA graphs. "Busy" is the time of all kernels over that of the step, "waits"
are calls in which the host waits for the GPU. Trials side by side are processes that take retraining steps of a small preset.

    python -m benchmarks gpu
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.launches import POINT, SMALL, Steps, operations, steps
from benchmarks.record import add_repeats, made_on, markdown, own_process, progress, settings
from benchmarks.retrain_step import drawn_genotype
from benchmarks.search_step import NaiveSearch
from benchmarks.sides import random_data
from benchmarks.stand_in import Watch
from litesnn import gpu
from litesnn.checks import InputError
from litesnn.config import Recipe, SearchPoint
from litesnn.neuron import lif_of_sum
from litesnn.retraining import Retrain
from litesnn.step_graph import CudaGraph

WAYS = ("plain", "kernels")
WARM_UP = 3
PROCESSES = (1, 2, 4, 8)
SECONDS = 10.0
"""How long trials side by side take steps."""
NEURONS = (6, 64, 48, 32, 32)  # T, B, C, H, W of those that are timed alone

Call = Callable[[], object]
Work = tuple[Call, dict[str, float]]
"""A call, and its ``flops`` or its ``bytes`` where they are counted."""


def way(name: str) -> AbstractContextManager[object]:
    """With the kernels where they are usable, or without."""
    return nullcontext() if name == "kernels" else patch.object(gpu, "device_type", lambda: None)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Call, device: torch.device, repeats: int) -> list[float]:
    """Seconds of some calls after a warm-up, the device's work included."""
    for _ in range(WARM_UP):
        work()
    found = []
    for _ in range(repeats):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - started)
    return found


def launches_of(work: Call) -> int:
    """Operators and kernels of ours that a call starts."""
    graphs = patch.object(CudaGraph, "replay", autospec=True, side_effect=CudaGraph.replay)
    with patch.object(gpu, "_start", wraps=gpu._start) as start, graphs as replay, Watch(strict=False) as watch:
        work()
    return watch.launches.total() + start.call_count + replay.call_count


def seen(work: Call, device: torch.device) -> dict[str, Any]:
    """Seconds of all kernels of a call, and how often the host waits in it."""
    with torch.profiler.profile(activities=[getattr(torch.profiler.ProfilerActivity, device.type.upper())]) as profile:
        work()
        wait(device)
    events = [event for event in profile.key_averages() if not event.is_user_annotation]  # which span other events
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        say_waits = torch.cuda.set_sync_debug_mode if device.type == "cuda" else lambda mode: None
        say_waits("warn")
        try:
            work()
        finally:
            say_waits("default")
    kernels = sum(event.self_device_time_total for event in events) / 1e6
    return {"kernel_seconds": kernels, "waits": sum("called a synchronizing" in str(each.message) for each in found)}


def stepping(steps: Steps, graphs: bool) -> Call:
    """A step, or its graph: plain PyTorch and the kernels have one each, of which the one used last stays."""
    run, inputs = steps
    stepper = lru_cache(1)(lambda kind: run.stepper() if graphs else run.step)
    return lambda: stepper(gpu.device_type())(*inputs)


def works(recipe: Recipe, device: torch.device) -> Iterator[tuple[str, Work]]:
    """What is timed in one precision, by name."""
    for batch in (recipe.search_batch, 4 * recipe.search_batch):
        wide = replace(recipe, search_batch=batch)
        data = random_data(wide, max(batch, recipe.retrain_batch)).to(device)
        x, labels = data.normalise(data.train.inputs), data.train.labels
        made, flops = steps(wide, data, x, labels, device), operations(wide)
        for how in ("", " with graphs"):
            yield f"search step{how}, batch {batch}", (stepping(made["search"], bool(how)), {"flops": flops["search"]})
        if recipe.precision == "fp32":
            naive, few = NaiveSearch(SearchPoint.named(POINT), wide, data, device=device), (x[:batch], labels[:batch])
            naive.network.train()
            yield f"naive search step, batch {batch}", (lambda run=naive, few=few: run.step(*few, *few), {})  # type: ignore[misc]
    for how in ("", " with graphs"):
        step: Work = stepping(made["retrain"], bool(how)), {"flops": flops["retrain"]}
        yield f"retraining step{how}, batch {recipe.retrain_batch}", step
    evaluated = Retrain(drawn_genotype(recipe), recipe, data, device=device)
    yield "evaluation", (lambda: evaluated.evaluate(data.val), {})


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
    """Everything in both precisions and both ways; what does not fit into the memory is left out."""
    found: list[dict[str, Any]] = []

    def add(what: str, work: Call, amount: dict[str, float]) -> None:
        both: dict[str, Any] = {}
        try:
            for name in WAYS:
                with way(name):
                    seconds = seconds_of(work, device, repeats)
                    both[name] = {"seconds": seconds, "launches": launches_of(work), **seen(work, device)}
            found.append({"what": what, **amount, **both})
        except torch.OutOfMemoryError:
            what += ": not enough memory"
        progress(what)

    for precision in ("fp32", "bf16"):
        for name, (work, amount) in works(replace(recipe, precision=precision), device):
            add(f"{name}, {precision}", work, amount)
    count = torch.Size(NEURONS).numel()
    add("neurons, fp32", neurons(device), {"bytes": 16 * count})
    add("a copy", torch.empty(4 * count, device=device).clone, {"bytes": 2 * 16 * count})
    return found


_step: Call | None = None  # of a process that stands for a trial


def begin_trial(recipe: Recipe, device: torch.device) -> None:
    """Runs in a trial's process: builds its retraining step and takes the first ones."""
    global _step
    torch.set_num_threads(1)
    data = random_data(recipe, max(recipe.search_batch, recipe.retrain_batch)).to(device)
    made = steps(recipe, data, data.normalise(data.train.inputs), data.train.labels, device)
    _step = stepping(made["retrain"], graphs=False)
    seconds_of(_step, device, 1)


def rate(device: torch.device, seconds: float) -> float:
    """Runs in a trial's process: steps per second over some time."""
    assert _step is not None
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            _step()
        wait(device)
        count += 10
    return count / (time.perf_counter() - started)


def together(recipe: Recipe, device: torch.device, processes: int, seconds: float) -> float:
    """Retraining steps per second of so many processes on one device, all of them together."""
    with ExitStack() as stack:
        workers = [stack.enter_context(own_process()) for _ in range(processes)]
        for ready in [worker.submit(begin_trial, recipe, device) for worker in workers]:
            ready.result()
        return sum(each.result() for each in [worker.submit(rate, device, seconds) for worker in workers])


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
    os.environ["LITESNN_GRAPHS"] = "1"  # for the rows of graphs; the others take their steps without asking
    device = torch.device("cuda", torch.cuda.current_device())
    preset, name = "cifar10-small" if options.small else "cifar10", torch.cuda.get_device_name(device)
    found, beside = rows(Recipe.preset(preset), device, options.repeats), {}
    for small in SMALL:
        progress(f"trials of {small} side by side")
        beside[small] = {str(count): together(Recipe.preset(small), device, count, SECONDS) for count in PROCESSES}
    sizes = {"preset": preset, "repeats": options.repeats}
    return {"settings": sizes, "device": name, "rows": found, "side_by_side": beside}


def report(result: dict[str, Any]) -> str:
    """A row for everything that is timed, and one for each preset whose trials ran side by side."""
    header = ["", *(f"{name}, {what}" for what in ("median", "launches", "rate", "busy", "waits") for name in WAYS)]
    body = []
    for row in result["rows"]:
        medians = [statistics.median(row[name]["seconds"]) for name in WAYS]
        amount, unit = (row["flops"] / 1e12, "TFLOP/s") if "flops" in row else (row.get("bytes", 0) / 1e9, "GB/s")
        cells = [
            row["what"],
            *(f"{1e3 * median:.2f} ms" for median in medians),
            *(str(row[name]["launches"]) for name in WAYS),
            *(f"{amount / median:.1f} {unit}" if amount else "–" for median in medians),
            *(f"{100 * row[name]['kernel_seconds'] / m:.0f} %" for name, m in zip(WAYS, medians, strict=True)),
            *(str(row[name]["waits"]) for name in WAYS),
            f"{medians[0] / medians[1]:.2f}",
        ]
        body.append(cells)
    counts = [str(count) for count in PROCESSES]
    rates = [[name, *(f"{found[n]:.0f}" for n in counts)] for name, found in result["side_by_side"].items()]
    beside = markdown(["retraining steps per second of so many processes together", *counts], rates)
    table = markdown([*header, "plain / kernels"], body)
    return f"{table}\n\n{beside}\n\n{result['device']}: {settings(result)}.\n\n{made_on(result)}"
