"""Choosing the device and the number of CPU threads."""

import torch

from litesnn.checks import check_integer, fail


def check_device(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``cuda:1``, … or ``auto`` (a GPU where there is one) as a device that exists here.

    Raises:
        InputError: an unknown name, or a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise fail("device", "auto, cpu, cuda or cuda:N", name) from None
    if device.type not in ("cpu", "cuda"):
        raise fail("device", "auto, cpu, cuda or cuda:N", name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise fail("device", f"one of this machine's {torch.cuda.device_count()} GPUs or cpu", name)
    return device


def use_threads(threads: int) -> None:
    """Lets torch use exactly this many CPU threads in an operation."""
    torch.set_num_threads(check_integer("threads", threads, minimum=1))
