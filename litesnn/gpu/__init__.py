"""Kernels in Triton for GPUs, for what ``litesnn.native`` does in C on CPUs; without Triton everything runs in plain PyTorch.

``usable(…)`` says whether they can work on these tensors: on a GPU they have to agree with plain PyTorch on a few numbers first. Set ``LITESNN_TRITON=0`` to do without. With ``TRITON_INTERPRET=1``
Triton's interpreter runs them on CPU tensors, slowly; that is how they are tested. Modules of this package but this one import
Triton, so they are imported where ``usable`` has said yes.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

_DTYPES = (torch.float32, torch.bfloat16)


@functools.cache
def device_type() -> str | None:
    """The type of device whose tensors the kernels read: ``cuda``, ``cpu`` in the interpreter; None without Triton."""
    if os.environ.get("LITESNN_TRITON") == "0" or importlib.util.find_spec("triton") is None:
        return None
    return "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


def usable(*tensors: Tensor | None) -> bool:
    """Whether there are kernels for these: single precision or bfloat16, on a GPU; None is left out."""
    wanted = device_type()
    if wanted is None or any(t is not None and (t.device.type != wanted or t.dtype not in _DTYPES) for t in tensors):
        return False
    return wanted != "cuda" or all(_proven(t.device) for t in tensors[:1] if t is not None)


@functools.cache
def _proven(device: torch.device) -> bool:
    """Whether the kernels run on this GPU and agree with PyTorch; tried once per process, in a second if they are compiled."""
    from litesnn.gpu.proof import prove  # needs Triton

    try:
        prove(device)
    except Exception as error:  # of Triton's compiler and driver, of any kind
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"plain PyTorch instead of kernels on {device}: {reason}", stacklevel=2)
        return False
    return True


def launch(kernel: Any, programs: tuple[int, ...], like: Tensor, *arguments: Any, **constants: Any) -> None:
    """Starts a kernel; does nothing where there is no program to run.

    Args:
        kernel: made by ``triton.jit``.
        programs: how many in each dimension.
        like: a tensor on the device to use, which need not be the current one.
        *arguments: what the kernel takes: tensors, tuples of tensors and None, numbers.
        **constants: what it is compiled for.
    """
    if all(programs):
        with torch.cuda.device(like.device) if like.device.type == "cuda" else nullcontext():
            _start(kernel, programs, arguments, constants)


def _start(kernel: Any, programs: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, Any]) -> None:
    kernel[programs](*arguments, **constants)


def blocks(count: int, size: int) -> int:
    """How many blocks of ``size`` hold ``count`` entries."""
    return -(-count // size)
