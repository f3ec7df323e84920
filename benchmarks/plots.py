"""Pictures of results, made from their JSON alone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from litesnn.files import write_bytes

BLUE, RED, GREY = "#0b6e99", "#c8553d", "#999"
COLOURS = (BLUE, "#5f9e6e", RED, "#d9a441", "#8c6d5a", "#7a6fb0")
NAMES = {"timesteps": "T", "channels": "C", "batch": "batch", "cells": "cells", "nodes": "nodes"}


def plot_scaling(result: Mapping[str, Any], path: Path) -> None:
    """Seconds and memory of a search step over each setting, both axes logarithmic, with the fitted lines.

    A dot is the fastest step; the bar above it ends at the median.

    Args:
        result: of ``benchmarks.scaling``.
        path: the PNG file.
    """
    figure = Figure(figsize=(12, 5.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(2, len(result["axes"]), sharey="row", squeeze=False)
    for column, (axis, found) in enumerate(result["axes"].items()):
        values = [row["value"] for row in found["points"]]
        seconds = [row["seconds"]["min"] for row in found["points"]]
        slower = [row["seconds"]["median"] - row["seconds"]["min"] for row in found["points"]]
        above = [0.0] * len(seconds), slower
        rows[0, column].errorbar(values, seconds, yerr=above, fmt="o", color=BLUE, markersize=5, capsize=2)
        memory = [row["step_memory_mib"] for row in found["points"]]
        rows[1, column].plot(values, memory, "o", color=RED, markersize=5)
        for panel, key, colour in ((rows[0, column], "seconds", BLUE), (rows[1, column], "step_memory_mib", RED)):
            fitted = found[key]
            line = [fitted["factor"] * value ** fitted["exponent"] for value in values]
            panel.plot(values, line, color=colour, linewidth=1)
            panel.set_title(f"{NAMES[axis]}^({fitted['exponent']:.2f} ± {fitted['error']:.2f})", fontsize=10)
            _logarithmic(panel, values)
        rows[1, column].set_xlabel(NAMES[axis])
    rows[0, 0].set_ylabel("seconds per step")
    rows[1, 0].set_ylabel("memory of the step, MiB")
    save(figure, path)


def plot_lif(result: Mapping[str, Any], path: Path) -> None:
    """Throughput of LIF neurons forwards and backwards per size, and the bandwidth of memory.

    Args:
        result: of ``benchmarks.lif``.
        path: the PNG file.
    """
    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    ways = list(result["sizes"][0]["ways"])
    width = 0.8 / len(ways)
    for index, (way, colour) in enumerate(zip(ways, COLOURS, strict=False)):
        heights = [size["ways"][way]["gb_s"] for size in result["sizes"]]
        places = [place + (index - len(ways) / 2 + 0.5) * width for place in range(len(heights))]
        panel.bar(places, heights, width, color=colour, label=way)
    copy = result["bandwidth_gb_s"]["copy"]
    panel.axhline(copy, color=GREY, linewidth=1, linestyle=":")
    panel.annotate(
        "memory, copying", (len(result["sizes"]) - 0.5, copy), ha="right", va="bottom", color=GREY, fontsize=9
    )
    labels = [f"T {size['timesteps']}\n{size['neurons']:,} neurons" for size in result["sizes"]]
    panel.set_xticks(range(len(labels)), labels, fontsize=9)
    panel.set_ylabel("GB/s at 16 bytes per neuron and timestep")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9)
    save(figure, path)


def _logarithmic(panel: Axes, values: list[int]) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(values)
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    panel.grid(True, which="major", color="#eee")
    panel.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG that is the same for the same drawing."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
