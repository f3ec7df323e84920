"""Times LIF neurons forwards and backwards against memory bandwidth, SpikingJelly 2 and snnTorch.

What must be moved, counted once: the input read, the spikes written, the gradient of the spikes read, that of the input
written; 16 bytes per neuron and timestep in fp32. Throughput is that over the time of both directions. Each way has a
process of its own; they take turns. All have the same constants (tau 0.2, threshold 0.5, reset to 0, gradient through the
reset):

* litesnn: ``litesnn.neuron.lif``, with the kernels in C where there is a compiler;
* litesnn plain: the same without them;
* SpikingJelly: ``LIFNode`` in multi-step mode with a surrogate of its own, for which it has an implementation of forward
  and backward pass by hand; with our surrogate, for which it takes plain autograd; and that under ``torch.compile``,
  anew for every size, which takes tens of seconds and is not counted;
* snnTorch: ``Leaky``, which has no multi-step mode, timestep by timestep with its default surrogate.

    python -m benchmarks lif
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.limits import add_array, array_bytes, bandwidth
from benchmarks.record import begin, command, heading, own_process, parser, progress, seconds, spread, table
from litesnn.checks import InputError, check_choice
from litesnn.device import prepare_cpu
from litesnn.neuron import dspike, lif

TAU, THRESHOLD, B = 0.2, 0.5, 3.0
BYTES = 16
SIZES = ((6, 98_304), (6, 393_216), (6, 4_194_304), (1, 4_194_304))
"""(T, neurons): a node of the paper's supernet at batch 8, its stem, and two beyond any cache."""
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


def _jelly(surrogate: Any) -> Neurons:
    from spikingjelly.activation_based.neuron import LIFNode

    # v - (v - 0) / tau is 0.2 v for tau = 1.25.
    node = LIFNode(
        tau=1 / (1 - TAU),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=0.0,
        surrogate_function=surrogate,
        detach_reset=False,
        step_mode="m",
    )

    def run(current: Tensor) -> Tensor:
        node.reset()
        spikes: Tensor = node(current)
        return spikes

    return run


def jelly_neurons() -> Neurons:
    """SpikingJelly with the surrogate of its own that is cheapest to compute."""
    from spikingjelly.activation_based import surrogate

    return _jelly(surrogate.PiecewiseQuadratic())


def jelly_dspike_neurons() -> Neurons:
    """SpikingJelly with our surrogate."""
    return _jelly(_jelly_dspike())


def _jelly_dspike() -> Any:
    from spikingjelly.activation_based import surrogate

    class Dspike(surrogate.SurrogateFunctionBase):
        @staticmethod
        def spiking_function(x: Tensor) -> Tensor:
            spikes: Tensor = _Dspike.apply(x)
            return spikes

    return Dspike()


def jelly_compiled_neurons() -> Neurons:
    """SpikingJelly's function behind the node, with our surrogate, compiled."""
    from spikingjelly.activation_based.functional import lif_multi_step

    surrogate = _jelly_dspike()

    def run(current: Tensor) -> Tensor:
        rest = torch.zeros_like(current[0])
        spikes: Tensor = lif_multi_step(current, rest, 1 / (1 - TAU), False, THRESHOLD, 0.0, surrogate, False, False)[0]
        return spikes

    compiled: Neurons = torch.compile(run, dynamic=False)
    return compiled


def snntorch_neurons() -> Neurons:
    """snnTorch; ``reset_delay=False`` resets in the step of the spike, as the others do, and keeps that in the graph."""
    import snntorch

    node = snntorch.Leaky(beta=TAU, threshold=THRESHOLD, reset_mechanism="zero", reset_delay=False)

    def run(current: Tensor) -> Tensor:
        membrane, spikes = torch.zeros_like(current[0]), []
        for now in current:
            fired, membrane = node(now, membrane)
            spikes.append(fired)
        return torch.stack(spikes)

    return run


WAYS: dict[str, Callable[[], Neurons]] = {
    "litesnn": litesnn_neurons,
    "litesnn plain": plain_neurons,
    "SpikingJelly": jelly_neurons,
    "SpikingJelly, Dspike": jelly_dspike_neurons,
    "SpikingJelly, compiled": jelly_compiled_neurons,
    "snnTorch": snntorch_neurons,
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
    kept: list[Tensor] = []

    def forward() -> None:
        kept[:] = [run(current)]

    def backward() -> None:
        torch.autograd.grad(kept[0], current, grad)

    for _ in range(3):  # the first calls allocate: of two, one still keeps what the other has made
        both = seconds(forward) + seconds(backward)
    pairs = [(seconds(forward), seconds(backward)) for _ in range(max(3, min(50, round(BLOCK_SECONDS / both))))]
    middle = sorted(pairs, key=sum)[len(pairs) // 2]
    return {"forward": middle[0], "backward": middle[1], "spikes": int(kept[0].detach().sum())}


def measure(sizes: tuple[tuple[int, int], ...], wanted: list[str], repeats: int, array: int | None) -> dict[str, Any]:
    """Everything that is kept of a run, ready for JSON.

    Args:
        sizes: (T, neurons).
        wanted: of ``WAYS``, the first of them ``litesnn``; those whose package is missing are left out.
        repeats: blocks of calls of each way and size.
        array: as for ``bandwidth``.
    """
    ways = [way for way in wanted if _installed(way)]
    settings = {"repeats": repeats, "tau": TAU, "threshold": THRESHOLD, "b": B}
    result = begin("lif", settings, ("spikingjelly", "snntorch"))
    before = bandwidth(3, array)
    runs: dict[tuple[tuple[int, int], str], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        workers = {way: stack.enter_context(own_process()) for way in ways}
        for way in ways:
            workers[way].submit(_prepare, way, torch.get_num_threads()).result()
        for size in sizes:
            for _ in range(repeats):
                for way in ways:
                    runs.setdefault((size, way), []).append(workers[way].submit(timed, *size).result())
            progress(f"T {size[0]}, {size[1]} neurons: {runs[size, ways[0]][-1]['forward'] * 1e3:.2f} ms forwards")
    after = bandwidth(3, array)
    kinds = ("read", "copy", "triad", "best")
    result["bandwidth_gb_s"] = moved = {kind: max(before[kind], after[kind]) for kind in kinds}
    result["sizes"] = [_size(size, {way: runs[size, way] for way in ways}, moved) for size in sizes]
    return result


def _size(size: tuple[int, int], runs: dict[str, list[dict[str, Any]]], moved: dict[str, float]) -> dict[str, Any]:
    """One size: every way's times, throughput and share of the bandwidth."""
    timesteps, neurons = size
    count = BYTES * timesteps * neurons
    rows = {}
    for way, measured in runs.items():
        both = spread([run["forward"] + run["backward"] for run in measured])
        rows[way] = {
            "seconds": both,
            **{side: spread([run[side] for run in measured])["median"] for side in ("forward", "backward")},
            "gb_s": count / both["median"] / 1e9,
            "share_of_copy": count / both["median"] / 1e9 / moved["copy"],
            "share_of_bandwidth": count / both["median"] / 1e9 / moved["best"],
            "spikes": measured[0]["spikes"],
        }
    return {"timesteps": timesteps, "neurons": neurons, "mib": count / 2**20, "ways": rows}


def _installed(way: str) -> bool:
    if way.endswith("compiled") and shutil.which("c++") is None:
        return False
    package = {"S": "spikingjelly", "s": "snntorch"}.get(way[0])
    return package is None or find_spec(package) is not None


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    moved = result["bandwidth_gb_s"]
    lines += ["memory: " + ", ".join(f"{kind} {rate:.1f} GB/s" for kind, rate in moved.items())]
    for size in result["sizes"]:
        title = f"T {size['timesteps']}, {size['neurons']} neurons"
        header = [title, "forward", "backward", "both", "p90", "GB/s", "of copy", "of best", "slower"]
        first = next(iter(size["ways"].values()))["seconds"]["median"]
        rows = [
            [
                way,
                *(f"{1e3 * value:.2f} ms" for value in (row["forward"], row["backward"])),
                *(f"{1e3 * row['seconds'][key]:.2f} ms" for key in ("median", "p90")),
                f"{row['gb_s']:.1f}",
                *(f"{100 * row[key]:.0f} %" for key in ("share_of_copy", "share_of_bandwidth")),
                f"{row['seconds']['median'] / first:.1f} x",
            ]
            for way, row in size["ways"].items()
        ]
        lines += ["", *table(header, rows)]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("lif", __doc__, repeats=5)
    sizes = [f"{timesteps}x{neurons}" for timesteps, neurons in SIZES]
    made.add_argument("--sizes", nargs="+", default=sizes, help="each T x neurons, such as 6x98304")
    made.add_argument("--ways", nargs="+", default=list(WAYS), help="what is measured besides litesnn (default all)")
    add_array(made)
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        array = array_bytes(options)
        for way in options.ways:
            check_choice("ways", way, WAYS)
        ways = list(dict.fromkeys(["litesnn", *options.ways]))
        return measure(tuple(map(_read_size, options.sizes)), ways, options.repeats, array)

    return command(options, run, report)


def _read_size(text: str) -> tuple[int, int]:
    timesteps, _, neurons = text.partition("x")
    if not (timesteps.isdecimal() and neurons.isdecimal() and int(timesteps) * int(neurons)):
        raise InputError(f"sizes: expected T x neurons such as 6x98304, got {text!r}")
    return int(timesteps), int(neurons)


if __name__ == "__main__":
    from benchmarks import lif as benchmark  # the processes find their functions by this name

    sys.exit(benchmark.main())
