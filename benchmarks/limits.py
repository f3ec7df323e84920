"""What the machine can do: convolutions per dtype, and memory bandwidth; benchmarks are held against it in the same run.

Convolutions are those of a step, as PyTorch's own library runs them, channels last: forwards, to the input and to the
weight. A rate is that of the fastest of some calls, so a limit and no average. Bandwidth is measured on arrays far larger
than the last-level cache, in several ways of which the best counts: PyTorch's own operations, and loops in C that write past
the caches (where there is a compiler). A byte is counted once when it is read and once when it is written; what a cache
fetches only to overwrite it is not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.record import least_seconds
from benchmarks.work import Conv, Work
from litesnn.checks import check_integer

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SMALLEST_ARRAY = 2**28
_LAST = torch.channels_last


def conv_call(conv: Conv, kind: str, dtype: torch.dtype) -> Callable[[], object]:
    """One convolution on spikes in one of ``KINDS``, ready to be timed."""
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
        library = stream_library(Path(scratch))
        if library is not None and all(t.data_ptr() % 64 == 0 for t in (x, y, z)):
            n, threads, half = ctypes.c_long(count), ctypes.c_long(torch.get_num_threads()), ctypes.c_float(0.5)
            px, py, pz = (ctypes.c_void_p(t.data_ptr()) for t in (x, y, z))
            ways["read"]["C"] = size, lambda: library.stream_read(px, n, threads)
            ways["copy"]["C, streaming"] = 2 * size, lambda: library.stream_copy(py, px, n, threads)
            ways["triad"]["C, streaming"] = 3 * size, lambda: library.stream_triad(pz, px, py, half, n, threads)
        found = {
            kind: {way: moved / least_seconds(work, repeats) / 1e9 for way, (moved, work) in of_kind.items()}
            for kind, of_kind in ways.items()
        }
    best = {kind: max(of_kind.values()) for kind, of_kind in found.items()}
    return {"array_mib": size / 2**20, "ways": found, **best, "best": max(best.values())}


def better(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The best of several ``bandwidth``."""
    return {kind: max(run[kind] for run in runs) for kind in ("read", "copy", "triad", "best")}


def add_array(parser: argparse.ArgumentParser) -> None:
    """Adds the option that ``array_bytes`` reads."""
    text = "MiB of the arrays that bandwidth is measured on (default four times the last-level cache, 256 at least)"
    parser.add_argument("--array", type=int, help=text)


def array_bytes(options: argparse.Namespace) -> int | None:
    """What ``bandwidth`` is given; refuses less than 1."""
    return None if options.array is None else check_integer("array", options.array, minimum=1) << 20


def stream_library(folder: Path) -> ctypes.CDLL | None:
    """The loops of ``stream.c``, compiled for this processor; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    target, middle = folder / "stream.so", folder / "stream.o"
    # Linked without -ffast-math, which would change how the whole process treats denormal numbers.
    steps = (
        f"-O3 -march=native -ffast-math -fopenmp -fPIC -c {Path(__file__).parent / 'stream.c'} -o {middle}",
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
