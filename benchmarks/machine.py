"""On what a measurement was made: one dictionary for the record, one line for the reader."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def describe() -> dict[str, Any]:
    """CPU model, cores, threads in use, RAM in GiB and versions; None where the system does not tell."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ram_gib": _ram_gib(),
        "cache_mib": round(last_cache_bytes() / 2**20, 1) or None,
        "bf16": has_bf16(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def one_line(machine: dict[str, Any]) -> str:
    """``describe``'s answer in one line."""
    return (
        f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores, {machine['ram_gib']} GiB RAM, "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}"
    )


def load_average() -> float | None:
    """Load of the last minute, other programs included."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of packages, by name; those that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def has_bf16() -> bool:
    """Whether the CPU says that it multiplies bf16 itself, so that the type can be faster than fp32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & _cpu_flags())


def last_cache_bytes() -> int:
    """Size of the last-level cache; 0 where the system does not tell."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text(encoding="utf-8").strip()
        sizes.append(int(text.rstrip("KMG")) * {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1))
    return max(sizes)


def peak_memory_mib() -> float:
    """Largest resident memory that this process has had since it started or ``begin_peak``, in MiB."""
    found = _status_mib("VmHWM")
    if found is not None:
        return found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere


def begin_peak() -> float:
    """Starts to look for a new peak; returns the memory that is resident now, in MiB.

    What has been freed is given back first. Where the system cannot start anew, the peak so far counts as resident.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return peak_memory_mib()
    resident = _status_mib("VmRSS")
    return peak_memory_mib() if resident is None else resident


def _status_mib(field: str) -> float | None:
    """A line of the kernel's account of this process; unlike ``getrusage``'s it knows nothing of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 2**10
    return None


def _cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}


def _cpu_model() -> str:
    """The model name, from the kernel where it has one: ``platform`` often knows the architecture only."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _ram_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None
