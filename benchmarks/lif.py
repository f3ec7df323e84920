"""Times LIF neurons forwards and backwards against memory bandwidth and SpikingJelly 2.

What must be moved, counted once: the input read, the spikes written, the gradient of the spikes read, that of the input
written; 16 bytes per neuron and timestep in fp32. Throughput is that over the time of both directions. Each way has a
process of its own; they take turns. All have the same constants (tau 0.2, threshold 0.5, reset to 0, gradient through the
reset):

* litesnn: ``litesnn.neuron.lif``, with the kernels in C where there is a compiler;
* litesnn plain: the same without them;
* SpikingJelly: ``LIFNode`` in multi-step mode with a surrogate of its own, for which it has an implementation of forward
  and backward pass by hand; and its function with our surrogate under ``torch.compile``, anew for every size, which takes
  tens of seconds and is not counted.

    python -m benchmarks lif
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.limits import add_array, array_bytes, bandwidth, better
from benchmarks.record import add_repeats, made_on, markdown, own_process, progress, seconds, spread
from litesnn.checks import InputError, check_choice
from litesnn.device import prepare_cpu
from litesnn.neuron import dspike, lif

PACKAGES = ("spikingjelly",)
TAU, THRESHOLD, B = 0.2, 0.5, 3.0
BYTES = 16
SIZES = ("6x98304", "6x393216", "6x4194304", "1x4194304")
"""T x neurons: a node of the paper's supernet at batch 8, its stem, and two beyond any cache."""
BLOCK_SECONDS = 0.2

Neurons = Callable[[Tensor], Tensor]
"""Spikes of ``[T, neurons]`` input currents."""


def litesnn_neurons() -> Neurons:
    """Our neurons, as they run on this machine."""
    return lambda current: lif(current, TAU, THRESHOLD, B)


def plain_neurons() -> Neurons:
    """Our neurons in plain PyTorch; in a process that has not yet run others."""
    os.environ["LITESNN_NATIVE"] = "0"
    return litesnn_neurons()


class _Dspike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shifted: Tensor) -> Tensor:
        ctx.save_for_backward(shifted)
        return (shifted > 0).to(shifted.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (shifted,) = ctx.saved_tensors
        return grads[0] * dspike(shifted, 0.0, B)


def jelly_neurons(compiled: bool) -> Neurons:
    """SpikingJelly with the surrogate of its own that is cheapest to compute; or with ours, the function behind it compiled."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    if not compiled:
        # v - (v - 0) / tau is 0.2 v for tau = 1.25.
        constants = {"tau": 1 / (1 - TAU), "v_threshold": THRESHOLD, "v_reset": 0.0, "decay_input": False}
        cheapest = {"surrogate_function": surrogate.PiecewiseQuadratic(), "detach_reset": False}
        node = neuron.LIFNode(**constants, **cheapest, step_mode="m")

        def run(current: Tensor) -> Tensor:
            node.reset()
            spikes: Tensor = node(current)
            return spikes

        return run

    def multi_step(current: Tensor) -> Tensor:
        rest, constants = torch.zeros_like(current[0]), (1 / (1 - TAU), False, THRESHOLD, 0.0)
        spikes: Tensor = functional.lif_multi_step(current, rest, *constants, _Dspike.apply, False, False)[0]
        return spikes

    found: Neurons = torch.compile(multi_step, dynamic=False)
    return found


WAYS: dict[str, Callable[[], Neurons]] = {
    "litesnn": litesnn_neurons,
    "litesnn plain": plain_neurons,
    "SpikingJelly": partial(jelly_neurons, compiled=False),
    "SpikingJelly, compiled": partial(jelly_neurons, compiled=True),
}

_run: Neurons | None = None  # of a worker process


def _prepare(way: str, threads: int) -> None:
    global _run
    prepare_cpu(threads)
    _run = WAYS[way]()


def timed(timesteps: int, neurons: int) -> dict[str, Any]:
    """Runs in a way's process: median seconds forwards and backwards over a block of calls, and how many spikes."""
    assert _run is not None
    run = _run
    generator = torch.Generator().manual_seed(0)
    current = torch.randn(timesteps, neurons, generator=generator).requires_grad_()
    grad = torch.randn(timesteps, neurons, generator=generator)

    def both() -> Tensor:
        spikes = run(current)
        torch.autograd.grad(spikes, current, grad)
        return spikes

    for _ in range(3):  # the first calls allocate: of two, one still keeps what the other has made
        once = seconds(both)
    taken = [seconds(both) for _ in range(max(3, min(50, round(BLOCK_SECONDS / once))))]
    return {"seconds": statistics.median(taken), "spikes": int(both().detach().sum())}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes, ways and repeats."""
    add_repeats(parser, 5)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="each T x neurons, such as 6x98304")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help="what is measured besides litesnn (default all)")
    add_array(parser)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All ways whose package is there, at every size."""
    array, sizes = array_bytes(options), [read_size(text) for text in options.sizes]
    for way in options.ways:
        check_choice("ways", way, WAYS)
    ways = [way for way in dict.fromkeys(["litesnn", *options.ways]) if installed(way)]
    before = bandwidth(3, array)
    runs: dict[tuple[tuple[int, int], str], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        workers = {way: stack.enter_context(own_process()) for way in ways}
        for way in ways:
            workers[way].submit(_prepare, way, torch.get_num_threads()).result()
        for size in sizes:
            for _ in range(options.repeats):
                for way in ways:
                    runs.setdefault((size, way), []).append(workers[way].submit(timed, *size).result())
            progress(f"T {size[0]}, {size[1]} neurons: {1e3 * runs[size, ways[0]][-1]['seconds']:.2f} ms")
    moved = better([before, bandwidth(3, array)])
    return {
        "settings": {"repeats": options.repeats, "tau": TAU, "threshold": THRESHOLD, "b": B},
        "bandwidth_gb_s": moved,
        "sizes": [_size(size, {way: runs[size, way] for way in ways}, moved) for size in sizes],
    }


def _size(size: tuple[int, int], runs: dict[str, list[dict[str, Any]]], moved: dict[str, float]) -> dict[str, Any]:
    """One size: every way's times, throughput and share of the bandwidth."""
    timesteps, neurons = size
    count = BYTES * timesteps * neurons
    rows = {}
    for way, measured in runs.items():
        both = spread([run["seconds"] for run in measured])
        rate = count / both["median"] / 1e9
        rows[way] = {
            "seconds": both,
            "gb_s": rate,
            "share_of_copy": rate / moved["copy"],
            "share_of_bandwidth": rate / moved["best"],
            "spikes": measured[0]["spikes"],
        }
    return {"timesteps": timesteps, "neurons": neurons, "ways": rows}


def installed(way: str) -> bool:
    """Whether a way's package, and the compiler that it may need, are there."""
    package, _, how = way.partition(", ")
    if how == "compiled" and shutil.which("c++") is None:
        return False
    return package.startswith("litesnn") or find_spec(package.lower()) is not None


def read_size(text: str) -> tuple[int, int]:
    """T and neurons."""
    timesteps, _, neurons = text.partition("x")
    if not (timesteps.isdecimal() and neurons.isdecimal() and int(timesteps) * int(neurons)):
        raise InputError(f"sizes: expected T x neurons such as 6x98304, got {text!r}")
    return int(timesteps), int(neurons)


def report(result: dict[str, Any]) -> str:
    """A row for each size."""
    ways = list(result["sizes"][0]["ways"])
    rows = [
        [
            f"{size['timesteps']} × {size['neurons']:,}",
            *(f"{1e3 * size['ways'][way]['seconds']['median']:.2f} ms" for way in ways),
            f"{size['ways'][ways[0]]['gb_s']:.1f} GB/s",
            *(f"{100 * size['ways'][ways[0]][key]:.0f} %" for key in ("share_of_copy", "share_of_bandwidth")),
        ]
        for size in result["sizes"]
    ]
    header = ["T × neurons", *ways, f"{ways[0]}: throughput", "of copying", "of the best"]
    return f"{markdown(header, rows)}\n\n{made_on(result)}"
