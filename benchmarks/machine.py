"""On what a measurement was made: one dictionary for the record, one line for the reader; and the memory of this process."""

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
    info = _fields(Path("/proc/cpuinfo"))
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        # ``platform`` often knows the architecture only.
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ram_gib": round(ram, 1),
        "cache_mib": round(last_cache_bytes() / 2**20, 1) or None,
        # Whether it multiplies bf16 itself, so that the type can be faster than fp32.
        "bf16": bool(
            {"avx512_bf16", "amx_bf16", "bf16"} & set((info.get("flags") or info.get("Features", "")).split())
        ),
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
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def last_cache_bytes() -> int:
    """Size of the last-level cache; 0 where the system does not tell."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text(encoding="utf-8").strip()
        sizes.append(int(text.rstrip("KMG")) * {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1))
    return max(sizes)


def peak_memory_mib() -> float:
    """Largest resident memory that this process has had since it started or ``begin_peak``, in MiB."""
    found = _fields(Path("/proc/self/status"))  # unlike ``getrusage`` it knows nothing of the parent
    if "VmHWM" in found:
        return int(found["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere


def begin_peak() -> float:
    """Starts to look for a new peak; returns the memory that is resident now, in MiB.

    What has been freed is given back first. Where the system cannot start anew, the peak so far counts as resident.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            return int(_fields(Path("/proc/self/status"))["VmRSS"].split()[0]) / 2**10
    return peak_memory_mib()


def _fields(path: Path) -> dict[str, str]:
    """``name: value`` lines of a file of the kernel; nothing where it is missing. The last of a name counts."""
    if not path.exists():
        return {}
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
