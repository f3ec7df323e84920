"""Measures how a search step's time and memory grow over T, C, batch, cells and nodes, with fitted exponents.

One setting changes at a time, the others stay at the paper's supernet with batch 8. Each point has a process of its own, and
memory is the step's own, as in ``benchmarks.sides``. Time is that of the fastest step: a law
of growth is wanted, not of what disturbs it. The exponent e of value = factor * setting^e is a
least-squares fit of the logarithms, with its standard error; the points that all axes share are measured
once. Cells are added and taken away so that each width keeps its share of them. Points are visited in an order drawn by seed, once per repeat, so that a slow
spell of the machine does not bend one curve.

    python -m benchmarks scaling
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.plots import plot_scaling
from benchmarks.record import begin, command, heading, own_process, parser, progress, spread, table
from benchmarks.search_step import POINT, fused_step
from benchmarks.sides import prepare, timed
from benchmarks.work import search_work
from litesnn.checks import InputError, check_integer
from litesnn.config import Recipe, SearchPoint

DEFAULT = {"timesteps": 6, "channels": 48, "batch": 8, "cells": 8, "nodes": 4}
AXES = {
    "timesteps": (1, 2, 4, 6, 8),
    "channels": (12, 24, 48, 96),
    "batch": (2, 4, 8, 16),
    "cells": (4, 6, 8, 12),
    "nodes": (2, 3, 4, 6),
}
WIDTHS = (1, 1, 2, 2, 2, 4, 4, 4)
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scaling.png"


def recipe_of(setting: dict[str, int]) -> Recipe:
    """The search of one point.

    Raises:
        InputError: the network cannot be built, such as C that is no multiple of the nodes.
    """
    cells = setting["cells"]
    return Recipe.preset(
        "cifar10",
        timesteps=setting["timesteps"],
        search_channels=setting["channels"],
        retrain_channels=setting["nodes"],
        search_batch=setting["batch"],
        nodes=setting["nodes"],
        widths=tuple(WIDTHS[index * len(WIDTHS) // cells] for index in range(cells)),
        aux_cell=0,
    )


def fit(settings: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Exponent of value = factor * setting^exponent by least squares of the logarithms.

    Returns:
        ``exponent``, its standard ``error`` (NaN for two points) and ``factor``.
    """
    x, y = [math.log(setting) for setting in settings], [math.log(value) for value in values]
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    across = sum((a - mean_x) ** 2 for a in x)
    exponent = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / across
    left = sum((b - mean_y - exponent * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    error = math.sqrt(left / (len(x) - 2) / across) if len(x) > 2 else math.nan
    return {"exponent": exponent, "error": error, "factor": math.exp(mean_y - exponent * mean_x)}


def run_point(setting: dict[str, int], steps: int, threads: int) -> list[dict[str, float]]:
    """Measures one point in a process of its own: what ``sides.timed`` says of each of some steps."""
    with own_process() as worker:
        worker.submit(prepare, fused_step, recipe_of(setting), threads).result()
        worker.submit(timed).result()  # the first call allocates and chooses kernels
        return [worker.submit(timed).result() for _ in range(steps)]


def measure(axes: dict[str, tuple[int, ...]], default: dict[str, int], repeats: int, steps: int) -> dict[str, Any]:
    """Everything that is kept of a run, ready for JSON."""
    points = {tuple({**default, axis: value}.values()) for axis, values in axes.items() for value in values}
    runs: dict[tuple[int, ...], list[dict[str, float]]] = {point: [] for point in points}
    for point in points:
        recipe_of(dict(zip(default, point, strict=True)))  # refuses what cannot be built before anything is measured
    result = begin("scaling", {**default, "point": POINT, "repeats": repeats, "steps": steps})
    order = random.Random(0)
    for repeat in range(repeats):
        for done, point in enumerate(order.sample(sorted(points), len(points)), start=1):
            setting = dict(zip(default, point, strict=True))
            runs[point] += run_point(setting, steps, torch.get_num_threads())
            said = ", ".join(f"{key} {value}" for key, value in setting.items())
            progress(f"{repeat + 1}/{repeats} {done}/{len(points)} {said}: {runs[point][-1]['seconds']:.3f} s")
    result["axes"] = {
        axis: _axis([(value, tuple({**default, axis: value}.values())) for value in values], runs, default)
        for axis, values in axes.items()
    }
    return result


def _axis(
    points: list[tuple[int, tuple[int, ...]]],
    runs: dict[tuple[int, ...], list[dict[str, float]]],
    default: dict[str, int],
) -> dict[str, Any]:
    """One axis: its points and the exponents of time, memory and counted operations."""
    rows: list[dict[str, Any]] = []
    for value, point in points:
        seconds = spread([run["seconds"] for run in runs[point]])
        memory = max(run["step_memory_mib"] for run in runs[point])
        work = search_work(recipe_of(dict(zip(default, point, strict=True))), SearchPoint.named(POINT).p)
        rows.append({"value": value, "seconds": seconds, "step_memory_mib": memory, "gflop": work.flops / 1e9})
    values = [row["value"] for row in rows]
    return {
        "points": rows,
        "seconds": fit(values, [row["seconds"]["min"] for row in rows]),
        "step_memory_mib": fit(values, [row["step_memory_mib"] for row in rows]),
        "gflop": fit(values, [row["gflop"] for row in rows]),
    }


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    for axis, found in result["axes"].items():
        header = [axis, "median", "min", "memory", "GFLOP"]
        rows = [
            [
                str(row["value"]),
                *(f"{row['seconds'][key]:.3f} s" for key in ("median", "min")),
                f"{row['step_memory_mib']:.0f} MiB",
                f"{row['gflop']:.0f}",
            ]
            for row in found["points"]
        ]
        fits = [found[key] for key in ("seconds", "step_memory_mib", "gflop")]
        said = [f"{fitted['exponent']:.2f} ± {fitted['error']:.2f}" for fitted in fits]
        lines += [*table(header, [*rows, ["exponent", said[0], "", *said[1:]]]), ""]
    return "\n".join(lines[:-1])


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("scaling", __doc__, repeats=1)
    made.add_argument("--steps", type=int, default=3, help="measured steps of a point per repeat (default 3)")
    for axis, values in AXES.items():
        shown = " ".join(map(str, values))
        made.add_argument(f"--{axis}", type=int, nargs="+", default=values, help=f"default {shown}")
    made.add_argument("--default", type=int, nargs=len(DEFAULT), default=list(DEFAULT.values()),
                      help=f"the point around which they vary: {', '.join(DEFAULT)}")  # fmt: skip
    made.add_argument("--plot", type=Path, default=PICTURE, help="where the picture goes")
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        check_integer("steps", options.steps, minimum=1)
        axes = {axis: tuple(getattr(options, axis)) for axis in AXES}
        for axis, values in axes.items():
            if len(set(values)) < 2 or min(values) < 1:
                raise InputError(f"{axis}: expected at least two different integers of at least 1, got {values}")
        default = dict(zip(DEFAULT, options.default, strict=True))
        result = measure(axes, default, options.repeats, options.steps)
        plot_scaling(result, options.plot)
        return result

    return command(options, run, report)


if __name__ == "__main__":
    sys.exit(main())
