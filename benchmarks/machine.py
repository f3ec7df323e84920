"""On what a measurement was made: one dictionary for the record, one line for the reader."""

from __future__ import annotations

import os
import platform
import resource
import sys
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


def peak_memory_mib() -> float:
    """Largest resident memory that this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere


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
