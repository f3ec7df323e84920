"""Kernels in C for the CPU, compiled once per machine on first use; without a compiler everything runs in plain PyTorch.

``kernels()`` gives the loaded library or None, ``usable(…)`` says whether it can work on these tensors. Set
``LITESNN_NATIVE=0`` to do without. The library lies in ``~/.cache/litesnn/native`` (or ``$XDG_CACHE_HOME``), named
after everything that it depends on: source, flags, compiler and processor. Its own checksum stands at its end, and one that
is not whole is built anew: the system kills whoever loads half a library.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litesnn.checks import InputError
from litesnn.files import write_atomically

_SOURCES = sorted(Path(__file__).parent.glob("*.[ch]"))
# No -ffast-math: linked into a library it would change how the whole process treats denormal numbers.
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
_SECONDS = 300  # a compiler needs a dozen for these few files, and as often that as programs share a core


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The kernels; None where they are switched off, not to be built, or not to be loaded."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if os.environ.get("LITESNN_NATIVE") == "0" or not compiler or shutil.which(compiler[0]) is None:
        return None
    try:
        library = _library(compiler)
        if not _is_whole(library):
            write_atomically(library, lambda temporary: _build(compiler, temporary))
        # torch has loaded its OpenMP by now; the kernels find that one by name and share its threads.
        return ctypes.CDLL(str(library))
    except (OSError, InputError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: a user without a home
        return None


def usable(*tensors: Tensor | None) -> bool:
    """Whether the kernels exist and can read these: single precision, on the CPU; None is left out."""
    if any(t is not None and (t.device.type != "cpu" or t.dtype != torch.float32) for t in tensors):
        return False
    return kernels() is not None


Argument = int | float | Tensor | Sequence[Tensor | None] | None


def call(kernel: str, *arguments: Argument) -> None:
    """Runs a kernel on as many threads as torch uses.

    Args:
        kernel: its name; every call gives it arguments of the same types.
        arguments: integers (C ``long``), floats (``float``), tensors (the address of their data, which must be dense;
            None: NULL) and sequences of tensors (an array of addresses).
    """
    function = _functions.get(kernel)
    if function is None:
        function = getattr(kernels(), kernel)
        function.argtypes = [*map(_type_of, arguments), ctypes.c_long]
        _functions[kernel] = function
    function(*map(_converted, arguments), torch.get_num_threads())


_functions: dict[str, Any] = {}


def _type_of(argument: Argument) -> type[Any]:
    if isinstance(argument, int):
        return ctypes.c_long
    return ctypes.c_float if isinstance(argument, float) else ctypes.c_void_p


def _converted(argument: Argument) -> object:
    """What ctypes takes at once: this runs some thousand times per training step."""
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    if argument is None or isinstance(argument, int | float):
        return argument
    return (ctypes.c_void_p * len(argument))(*[None if tensor is None else tensor.data_ptr() for tensor in argument])


def workspace(sizer: str, *sizes: int) -> Tensor:
    """Memory for a kernel to work in, single precision and uninitialised; the next call in this thread gets it again.

    Args:
        sizer: the function of the library that says how many numbers the kernel needs.
        sizes: its arguments but the last, the number of threads.
    """
    return kept_memory(sizer, _count(sizer, *sizes, torch.get_num_threads()))


@functools.cache
def _count(sizer: str, *sizes: int) -> int:
    function = getattr(kernels(), sizer)
    function.restype = ctypes.c_long
    return int(function(*map(ctypes.c_long, sizes)))


_memory = threading.local()


def kept_memory(name: str, count: int) -> Tensor:
    """``count`` uninitialised numbers; the next call with this name in this thread gets the same memory."""
    found: Tensor | None = getattr(_memory, name, None)
    if found is None or len(found) < count:
        found = torch.empty(count)
        setattr(_memory, name, found)
    return found


def _library(compiler: list[str]) -> Path:
    version = subprocess.run([*compiler, "--version"], capture_output=True, timeout=_SECONDS, check=True).stdout
    parts = [
        *(source.read_bytes() for source in _SOURCES),
        " ".join((*compiler, *_FLAGS)).encode(),
        version,
        _processor().encode(),
    ]
    name = hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "litesnn" / "native" / f"{name}.so"


def _processor() -> str:
    """What ``-march=native`` looks at: a home folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _build(compiler: list[str], target: Path) -> None:
    """Compiles, and appends the checksum, which the loader does not look at."""
    _compile(compiler, target)
    content = target.read_bytes()
    target.write_bytes(content + hashlib.sha256(content).digest())


def _is_whole(library: Path) -> bool:
    """Whether the file is there as it was written: not cut off, emptied or altered."""
    try:
        content = library.read_bytes()
    except FileNotFoundError:
        return False
    size = hashlib.sha256().digest_size
    return len(content) > size and hashlib.sha256(content[:-size]).digest() == content[-size:]


def _compile(compiler: list[str], target: Path) -> None:
    """Every file by a compiler of its own, as many at once as there are processors; then all are linked."""

    def run(*arguments: str) -> None:
        subprocess.run([*compiler, *_FLAGS, *arguments], capture_output=True, timeout=_SECONDS, check=True)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = {str(source): str(Path(folder, f"{source.stem}.o")) for source in _SOURCES if source.suffix == ".c"}
        list(pool.map(lambda source: run("-c", source, "-o", objects[source]), objects))
        run("-shared", *objects.values(), "-o", str(target), "-lm")
