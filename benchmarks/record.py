"""What all benchmarks share: their command, repeated timing, the record that is kept, the table that is made of it.

A benchmark is a module with its own ``add_options(parser)``, if any, ``measure(options)``, which returns what is kept besides the head of the
record, and ``report(result)``, which makes Markdown of a record: it is printed, and stands in a page of the documentation
where ``benchmarks.pages`` says so. ``PACKAGES`` names those whose versions are kept. What a benchmark has of its own is all
that its module holds.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import machine
from litesnn.checks import check_integer
from litesnn.device import prepare_cpu
from litesnn.files import write_text
from litesnn.options import exit_code

RESULTS = Path(__file__).parent / "results"
BUSY = 1.5
"""Load average above which other programs are likely to disturb the measurement."""


def run(module: ModuleType, arguments: Sequence[str]) -> int:
    """The command of a benchmark: measures, keeps the record, prints its report; returns the exit code."""
    name = module.__name__.rpartition(".")[2]
    parser = argparse.ArgumentParser(prog=name, description=first_line(module))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", metavar="FILE.json", help="the record")
    if hasattr(module, "add_options"):
        module.add_options(parser)
    options = parser.parse_args(arguments)

    def work() -> None:
        for count in {"repeats", "threads"} & vars(options).keys():
            check_integer(count, getattr(options, count), minimum=1)
        prepare_cpu(options.threads)
        head, started = begin(name, getattr(module, "PACKAGES", ())), time.perf_counter()
        result = head | module.measure(options)
        result |= {"load_after": machine.load_average(), "took_seconds": round(time.perf_counter() - started, 1)}
        write_text(options.out, json.dumps(result, indent=2) + "\n")
        if (result["load_before"] or 0) > BUSY:
            progress(f"load was {result['load_before']}: other programs were running, expect disturbed times")
        show(module.report(result))

    return exit_code(work, name)


def first_line(module: ModuleType) -> str:
    """What a benchmark says of itself in one line."""
    return (module.__doc__ or "").partition("\n")[0]


def add_repeats(parser: argparse.ArgumentParser, default: int) -> None:
    """The option of those that measure a number of times."""
    parser.add_argument("--repeats", type=int, default=default, help=f"measurements of each kind (default {default})")


def begin(name: str, packages: Iterable[str] = ()) -> dict[str, Any]:
    """The head of a record: what is measured, when, on what machine, with which versions of ``packages`` besides torch."""
    return {
        "benchmark": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": machine.versions(*packages),
        "load_before": machine.load_average(),
    }


def load(name: str) -> dict[str, Any]:
    """A committed record."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def progress(text: str) -> None:
    """Says how far a benchmark is, beside its result."""
    print(text, file=sys.stderr, flush=True)


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
    """Seconds of the fastest call after the first: what the machine can do when nothing disturbs it.

    There are so many ``repeats``, and more until they add up to ``at_least`` seconds.
    """
    work()
    taken: list[float] = []
    while len(taken) < repeats or sum(taken) < at_least:
        taken.append(seconds(work))
    return min(taken)


def own_process() -> ProcessPoolExecutor:
    """One fresh process, so that what it measures is not charged with what others have left behind."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


def show(text: str) -> None:
    """Prints Markdown: set for the eye on a terminal, as it is elsewhere."""
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text)


def made_on(result: dict[str, Any]) -> str:
    """The paragraph under a table: when, on what, under which load."""
    found = {**result.get("versions", {}), **({"Ray": result["machine"]["ray"]} if "ray" in result["machine"] else {})}
    versions = "".join(f", {name} {version}" for name, version in found.items())
    loads = ", ".join(f"{result[f'load_{when}']} {when}" for when in ("before", "after") if f"load_{when}" in result)
    took = f", {result['took_seconds']:.0f} s in all" if "took_seconds" in result else ""
    return f"{result['measured_at'][:10]}, {machine.one_line(result['machine'])}{versions}; load {loads}{took}."


def settings(result: dict[str, Any]) -> str:
    """What the sizes were."""
    return ", ".join(f"{key} {value}" for key, value in result["settings"].items())
