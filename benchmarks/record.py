"""What all benchmarks share: repeated timing, spread, the record that is kept, the table that is printed."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from litesnn.checks import InputError, check_integer
from litesnn.device import prepare_cpu
from litesnn.files import write_text

RESULTS = Path(__file__).parent / "results"
BUSY = 1.5
"""Load average above which other programs are likely to disturb the measurement."""


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes, 90th percentile and number of some measurements."""
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "min": ordered[0],
        "p90": ordered[math.ceil(0.9 * len(ordered)) - 1],
        "max": ordered[-1],
        "count": len(ordered),
    }


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def least_seconds(work: Callable[[], object], repeats: int, at_least: float = 0.02) -> float:
    """Seconds of the fastest call: what the machine can do when nothing disturbs it.

    Args:
        work: called once unmeasured, then measured.
        repeats: measured calls.
        at_least: measure on until the calls add up to this many seconds.
    """
    work()
    taken: list[float] = []
    while len(taken) < repeats or sum(taken) < at_least:
        taken.append(seconds(work))
    return min(taken)


def own_process() -> ProcessPoolExecutor:
    """One fresh process, so that what it measures is not charged with what others have left behind."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def begin(name: str, settings: dict[str, Any], packages: Sequence[str] = ()) -> dict[str, Any]:
    """The head of a record: what is measured, when, on what machine, with which versions of ``packages`` besides torch."""
    load = machine.load_average()
    if load is not None and load > BUSY:
        progress(f"load is {load}: other programs are running, expect disturbed times")
    return {
        "benchmark": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": machine.versions(*packages),
        "settings": settings,
        "load_before": load,
    }


def heading(result: dict[str, Any]) -> list[str]:
    """The first lines of a printed result."""
    versions = "".join(f", {name} {version}" for name, version in result.get("versions", {}).items())
    return [
        machine.one_line(result["machine"]) + versions,
        ", ".join(f"{key} {value}" for key, value in result["settings"].items()),
        f"load before {result['load_before']}, after {result['load_after']}; {result['measured_at']}",
        "",
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns, the first to the left, the others to the right."""
    first, *widths = (max(map(len, column)) for column in zip(header, *rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))])
        for row in (header, *rows)
    ]


def parser(name: str, text: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The options that benchmarks have in common."""
    made = argparse.ArgumentParser(prog=name, description=(text or "").partition("\n")[0])
    made.add_argument("--repeats", type=int, default=repeats, help=f"measurements of each kind (default {repeats})")
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    return made


def command(
    options: argparse.Namespace, run: Callable[[], dict[str, Any]], report: Callable[[dict[str, Any]], str]
) -> int:
    """Runs a measurement, keeps and prints it; returns the exit code."""
    try:
        check_integer("repeats", options.repeats, minimum=1)
        prepare_cpu(options.threads)
        started = time.perf_counter()
        result = run()
        result["load_after"] = machine.load_average()
        result["took_seconds"] = round(time.perf_counter() - started, 1)
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    except InputError as error:
        print(f"{options.out.stem}: {error}", file=sys.stderr)
        return 2
    print(report(result))
    return 0


def progress(text: str) -> None:
    """Says how far a benchmark is, beside its result."""
    print(text, file=sys.stderr, flush=True)
