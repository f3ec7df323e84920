"""Pictures of the comparisons, made from their records alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.comparisons.repeats import Row, of_variant
from benchmarks.plots import BLUE, GREY, RED, save

LEAST = 15
"""Fewest weights of a bin whose pruning rate is drawn."""


def draw_ablation(runs: Sequence[Row], variants: Sequence[str], preset: str, path: Path) -> None:
    """Every run as a dot and the mean as a bar or line: size, Bit-SynOps and accuracy of each variant.

    Args:
        runs: kept rows.
        variants: in the order of the bars.
        preset: for the title.
        path: the PNG file.
    """
    figure = Figure(figsize=(11, 3.9), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{preset}: bars and lines are means, dots single seeds", fontsize=10)
    panels = figure.subplots(1, 3)
    columns = (
        ("model_size_bits", 8e3, "model size (kB)"),
        ("bit_synops", 1e6, "Bit-SynOps per sample (M)"),
        ("test_accuracy", 1, "test accuracy (%)"),
    )
    for panel, (key, unit, name) in zip(panels, columns, strict=True):
        values = [[row[key] / unit for row in of_variant(runs, variant)] for variant in variants]
        means = [statistics.mean(v) for v in values]
        if key != "test_accuracy":
            panel.bar(range(len(variants)), means, 0.6, color="#c9dfe8")
        for place, of_one in enumerate(values):
            shifts = np.linspace(-0.12, 0.12, len(of_one)) if len(of_one) > 1 else [0]
            panel.plot([place + shift for shift in shifts], of_one, "o", color=BLUE, markersize=5)
        if key == "test_accuracy":  # its axis does not begin at 0, so bars would mislead
            panel.hlines(
                means, [x - 0.3 for x in range(len(means))], [x + 0.3 for x in range(len(means))], color="#9cc6d8"
            )
            everything = [value for of_one in values for value in of_one]
            air = max(0.5, 0.25 * (max(everything) - min(everything)))
            panel.set_ylim(min(everything) - air, min(100, max(everything) + air))
        panel.set_xticks(range(len(variants)), [variant.replace(" and ", "\nand ") for variant in variants])
        panel.set_ylabel(name)
        panel.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_distributions(found: Mapping[str, Any], title: str, path: Path) -> None:
    """W with the share pruned of each bin, the mixed weight ē(W) and what is left of it, as in the paper's Fig. 2(c).

    Args:
        found: of ``benchmarks.comparisons.distributions``: ``layer`` and its histograms.
        title: heading.
        path: the PNG file.
    """
    figure = Figure(figsize=(12, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    left, middle, right = figure.subplots(1, 3)
    edges = np.array(found["edges"])
    counts, pruned = np.array(found["weights"]), np.array(found["pruned"])
    centres = (edges[1:] + edges[:-1]) / 2
    left.bar(centres, counts, np.diff(edges), color="#9cc6d8", label="weights")
    enough = counts >= LEAST
    rate = left.twinx()
    rate.plot(centres[enough], 100 * pruned[enough] / counts[enough], color=RED, linewidth=1.6)
    rate.set_ylim(0, 105)
    rate.set_ylabel("pruned (%)", color=RED)
    rate.spines["top"].set_visible(False)
    _panel(left, "W", "W / std(W)")
    left.set_ylabel("number of weights")
    for panel, key, name in (
        (middle, "mixed", "ē(W), mixed over bit-widths"),
        (right, "output", "W_output, after the mask"),
    ):
        values, heights = np.array(found[key]["values"]), np.array(found[key]["counts"])
        kept = values != 0
        panel.vlines(values[kept], 0, heights[kept], color=BLUE, linewidth=1.3)
        panel.plot(values[kept], heights[kept], "o", color=BLUE, markersize=3.5)
        panel.set_ylim(0)
        _panel(panel, name, "value / std(W)")
    zeros = sum(c for v, c in zip(found["output"]["values"], found["output"]["counts"], strict=True) if v == 0)
    right.text(
        0.02, 0.97, f"{zeros:,} pruned weights\nare 0 (not drawn)", transform=right.transAxes, va="top", fontsize=9
    )
    highest = max(middle.get_ylim()[1], right.get_ylim()[1])
    for panel in (middle, right):
        panel.set_ylim(0, highest)
        panel.set_xlim(left.get_xlim())
    save(figure, path)


def _panel(panel: Axes, title: str, label: str) -> None:
    panel.set_title(title, fontsize=10)
    panel.set_xlabel(label)
    panel.axvline(0, color=GREY, linewidth=0.5, zorder=0)
    panel.spines[["top", "right"]].set_visible(False)


def draw_ingredients(runs: Sequence[Row], variants: Sequence[str], title: str, path: Path) -> None:
    """Test accuracy of every variant of a recipe, one line each, in rising order; the recipe itself as a band.

    Args:
        runs: kept rows.
        variants: the first is the recipe itself.
        title: heading.
        path: the PNG file.
    """
    values = {v: [row["test_accuracy"] for row in of_variant(runs, v)] for v in variants if of_variant(runs, v)}
    order = sorted(values, key=lambda variant: statistics.mean(values[variant]))
    figure = Figure(figsize=(8, 0.8 + 0.32 * len(order)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    whole = values[variants[0]]
    panel.axvspan(min(whole), max(whole), color="#dcecf2", linewidth=0)
    for place, variant in enumerate(order):
        colour = BLUE if variant == variants[0] else GREY
        panel.plot(values[variant], [place] * len(values[variant]), "o", color=colour, markersize=4)
        panel.plot(statistics.mean(values[variant]), place, "|", color=colour, markersize=14)
    panel.set_yticks(range(len(order)), order)
    panel.set_xlabel("test accuracy (%): dots single seeds, strokes means, band the recipe's range")
    panel.set_title(title, fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
    save(figure, path)
