"""Measures what the machine can do: convolutions and matrix products per dtype, and memory bandwidth.

Convolutions are those of the paper's supernet on CIFAR, as PyTorch's own library runs them, channels last: forwards, to the
input and to the weight. A rate is that of the fastest of some calls, so a limit and no average. Bandwidth is measured on
arrays far larger than the last-level cache, in several ways of which the best counts: PyTorch's own operations, and loops
in C that write past the caches (where there is a compiler). A byte is counted once when it is read and once when it
is written; what a cache fetches only to overwrite it is not counted.

    python -m benchmarks limits
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.record import begin, command, heading, least_seconds, parser, table
from benchmarks.work import KINDS, Conv, Work, convolutions, search_work
from litesnn.checks import check_integer, check_integers
from litesnn.config import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
MATRICES = (512, 1024, 2048)
SMALLEST_ARRAY = 2**28
_LAST = torch.channels_last


def conv_call(conv: Conv, kind: str, dtype: torch.dtype) -> Callable[[], object]:
    """One convolution on spikes, ready to be timed.

    Args:
        conv: its shape.
        kind: one of ``KINDS``.
        dtype: of all tensors.
    """
    generator = torch.Generator().manual_seed(0)
    shape = conv.images, conv.inputs, conv.in_height, conv.in_width
    x = torch.randint(2, shape, generator=generator).to(dtype).contiguous(memory_format=_LAST)
    weight = torch.randn(conv.outputs, conv.inputs, conv.kernel, conv.kernel, generator=generator)
    weight = weight.to(dtype).contiguous(memory_format=_LAST)
    stride, padding = [conv.stride] * 2, [conv.kernel // 2] * 2
    if kind == "forward":
        return lambda: torch.conv2d(x, weight, None, stride, padding)
    grad = torch.randn(conv.images, conv.outputs, conv.height, conv.width, generator=generator)
    grad = grad.to(dtype).contiguous(memory_format=_LAST)
    wanted = [kind == "input_grad", kind == "weight_grad", False]
    return lambda: torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, wanted
    )


def conv_seconds(work: Work, dtype: str, repeats: int) -> dict[tuple[Conv, str], float]:
    """Least seconds of every convolution of a step, each direction by itself."""
    return {
        (conv, kind): least_seconds(conv_call(conv, kind, DTYPES[dtype]), repeats)
        for conv, kind in sorted(work.times, key=str)
    }


def conv_rates(work: Work, taken: dict[tuple[Conv, str], float]) -> dict[str, Any]:
    """Rates in GFLOP/s, out of ``conv_seconds``.

    Returns:
        ``own_shapes``: all operations of the step over the time that its convolutions take one after the other, so each
        shape and direction weighs as it does in the step; ``peak``: the fastest of them, which ``peak_shape`` names.
    """
    total = sum(taken[key] * count for key, count in work.times.items())
    rates = {key: key[0].flops / seconds / 1e9 for key, seconds in taken.items()}
    conv, kind = best = max(rates, key=lambda key: rates[key])
    return {"own_shapes": work.flops / total / 1e9, "peak": rates[best], "peak_shape": f"{conv}, {kind}"}


def matrix_rate(size: int, dtype: str, repeats: int) -> float:
    """GFLOP/s of a product of two square matrices."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(DTYPES[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * size**3 / least_seconds(lambda: torch.mm(a, b, out=out), repeats) / 1e9


def bandwidth(repeats: int, array: int | None = None) -> dict[str, Any]:
    """Memory bandwidth in GB/s: of every way, and the best of each kind.

    Args:
        repeats: measured calls of each way.
        array: bytes of an array; if None, four times the last-level cache, 256 MiB at least.
    """
    count = (array or max(SMALLEST_ARRAY, min(4 * machine.last_cache_bytes(), 2**31))) // 4 // 16 * 16
    x, y, z = (torch.full((count,), 0.5) for _ in range(3))
    size = 4 * count
    ways: dict[str, dict[str, tuple[int, Callable[[], object]]]] = {
        "read": {"torch sum": (size, x.sum), "torch max": (size, x.max)},
        "copy": {"torch copy_": (2 * size, lambda: y.copy_(x))},
        "triad": {"torch add": (3 * size, lambda: torch.add(x, y, alpha=0.5, out=z))},
    }
    with tempfile.TemporaryDirectory(prefix="limits-") as scratch:
        if (library := stream_library(Path(scratch))) is not None:
            n, threads = ctypes.c_long(count), ctypes.c_long(torch.get_num_threads())
            px, py, pz = (ctypes.c_void_p(t.data_ptr()) for t in (x, y, z))
            half = ctypes.c_float(0.5)
            if all(t.data_ptr() % 64 == 0 for t in (x, y, z)):
                ways["read"]["C"] = size, lambda: library.stream_read(px, n, threads)
                ways["copy"]["C, streaming"] = 2 * size, lambda: library.stream_copy(py, px, n, threads)
                ways["triad"]["C, streaming"] = 3 * size, lambda: library.stream_triad(pz, px, py, half, n, threads)
        found = {
            kind: {way: moved / least_seconds(work, repeats) / 1e9 for way, (moved, work) in of_kind.items()}
            for kind, of_kind in ways.items()
        }
    best = {kind: max(of_kind.values()) for kind, of_kind in found.items()}
    return {"array_mib": size / 2**20, "ways": found, **best, "best": max(best.values())}


def add_array(made: argparse.ArgumentParser) -> None:
    """Adds the option that ``array_bytes`` reads."""
    text = "MiB of the arrays that bandwidth is measured on (default four times the last-level cache, 256 at least)"
    made.add_argument("--array", type=int, help=text)


def array_bytes(options: argparse.Namespace) -> int | None:
    """What ``bandwidth`` is given.

    Raises:
        InputError: less than 1.
    """
    if options.array is None:
        return None
    check_integer("array", options.array, minimum=1)
    return int(options.array) << 20


def stream_library(folder: Path) -> ctypes.CDLL | None:
    """The loops of ``stream.c``, compiled for this processor; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    target = folder / "stream.so"
    source, middle = str(Path(__file__).parent / "stream.c"), str(folder / "stream.o")
    # Linked without -ffast-math, which would change how the whole process treats denormal numbers.
    steps = (
        f"-O3 -march=native -ffast-math -fopenmp -fPIC -c {source} -o {middle}",
        f"-fopenmp -shared {middle} -o {target}",
    )
    if any(subprocess.run([compiler, *step.split()], capture_output=True).returncode for step in steps):
        return None
    try:
        library = ctypes.CDLL(str(target))
    except OSError:
        return None
    library.stream_read.restype = ctypes.c_float
    return library


def measure(recipe: Recipe, repeats: int, matrices: tuple[int, ...], array: int | None) -> dict[str, Any]:
    """All limits, ready for JSON.

    Args:
        recipe: whose supernet's convolutions are measured, with ``search_batch`` samples.
        repeats: measured calls of each kind.
        matrices: sides of the matrices.
        array: as for ``bandwidth``.
    """
    settings = {"batch": recipe.search_batch, "channels": recipe.search_channels, "timesteps": recipe.timesteps}
    result = begin("limits", {**settings, "repeats": repeats})
    result["bandwidth_gb_s"] = bandwidth(repeats, array)
    work = search_work(recipe, p=50)
    roles = dict(convolutions(recipe, recipe.search_channels, None, recipe.search_batch, recipe.timesteps))
    for name in DTYPES:
        taken = conv_seconds(work, name, repeats)
        rows: dict[str, dict[str, float]] = defaultdict(dict)
        for (conv, kind), seconds in taken.items():
            if roles[conv] != "classifier":
                rows[str(conv)][kind] = conv.flops / seconds / 1e9
        result[name] = {
            "convolution_gflop_s": {**conv_rates(work, taken), "shapes": rows},
            "matrix_gflop_s": {str(size): matrix_rate(size, name, repeats) for size in matrices},
        }
    return result


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    moved = result["bandwidth_gb_s"]
    rows = [
        [f"{kind}: {way}", f"{rate:.1f} GB/s"] for kind, ways in moved["ways"].items() for way, rate in ways.items()
    ]
    lines += table([f"memory, arrays of {moved['array_mib']:.0f} MiB", ""], rows)
    for name in DTYPES:
        convs = result[name]["convolution_gflop_s"]
        rows = [
            [shape, *(f"{rates[kind]:.0f}" if kind in rates else "-" for kind in KINDS)]
            for shape, rates in convs["shapes"].items()
        ]
        lines += ["", *table([f"convolutions, {name}, GFLOP/s", *KINDS], rows)]
        lines.append(f"the step's own mix {convs['own_shapes']:.0f}, peak {convs['peak']:.0f} ({convs['peak_shape']})")
        sizes = result[name]["matrix_gflop_s"].items()
        lines.append(
            f"matrix products, {name}: " + ", ".join(f"{size}: {rate:.0f}" for size, rate in sizes) + " GFLOP/s"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("limits", __doc__, repeats=5)
    made.add_argument("--batch", type=int, default=8, help="samples per batch (default 8)")
    made.add_argument("--channels", type=int, default=48, help="C of the supernet (default 48)")
    made.add_argument("--timesteps", type=int, default=6, help="T (default 6)")
    add_array(made)
    made.add_argument("--matrices", type=int, nargs="+", default=list(MATRICES), help="sides of the matrices")
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        array = array_bytes(options)
        check_integers("matrices", options.matrices, minimum=1)
        recipe = Recipe.preset(
            "cifar10", search_batch=options.batch, search_channels=options.channels, timesteps=options.timesteps
        )
        return measure(recipe, options.repeats, tuple(options.matrices), array)

    return command(options, run, report)


if __name__ == "__main__":
    sys.exit(main())
