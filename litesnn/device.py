"""Choosing the device and the number of CPU threads, and keeping memory at hand."""

import ctypes
import re
import sys

import torch

from litesnn.checks import check_integer, fail

_MOST_THREADS = 1024


def check_device(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``cuda:1``, … or ``auto`` (a GPU where there is one) as a device that exists here.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", name)
    if match is None:
        raise fail("device", "auto, cpu, cuda or cuda:N", name)
    if name != "cpu" and int(match[1] or 0) >= torch.cuda.device_count():
        raise fail("device", f"one of this machine's {torch.cuda.device_count()} GPUs or cpu", name)
    return torch.device(name)


def prepare_cpu(threads: int) -> None:
    """Lets torch use exactly this many CPU threads in an operation, and keeps freed memory for the next step."""
    torch.set_num_threads(check_integer("threads", threads, minimum=1, maximum=_MOST_THREADS))
    _keep_freed_memory()


def cap_gpu_memory(device: torch.device, share: float) -> None:
    """Keeps this process to its share of the GPU's memory, so that whoever shares the GPU has theirs.

    More than that is out of memory for this process alone. The driver's own part, some hundred MiB per process, comes on top.

    Args:
        device: nothing is done for a CPU.
        share: above 0; from 1 on there is no cap.
    """
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device)


def _keep_freed_memory() -> None:
    """Lets glibc reuse the large blocks that every step frees instead of returning them to the system.

    Otherwise each step's activations are mapped, zeroed and unmapped anew, about a tenth of a search step's time. Does
    nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, mmap_threshold, largest_int = -1, -3, 2**31 - 1
    mallopt(trim_threshold, largest_int)
    mallopt(mmap_threshold, largest_int)
