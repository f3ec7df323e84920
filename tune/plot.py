"""The picture of an experiment: accuracy over model size and over Bit-SynOps."""

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from litesnn.files import write_atomically
from tune.front import ACCURACY, BIT_SYNOPS, SIZE, on_front
from tune.store import FINISHED

_FRONT, _PALE = "#0b6e99", "#b8c4cc"


def plot_fronts(trials: pd.DataFrame, title: str, path: Path) -> None:
    """Draws both fronts: dominated networks pale, the front connected, its test accuracy hollow.

    Args:
        trials: the table of ``tune.store``; only finished trials are drawn.
        title: heading of the picture.
        path: PNG to write, atomically.
    """
    matplotlib.use("agg")
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, trials, SIZE, 8e6, "model size (MB)")
    _panel(right, trials, BIT_SYNOPS, 1e6, "Bit-SynOps per sample (M)")
    left.set_ylabel("accuracy (%)")
    right.legend(loc="lower right", frameon=False)
    figure.suptitle(title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150, format="png"))


def _panel(axes: Axes, trials: pd.DataFrame, column: str, unit: float, label: str) -> None:
    finished = trials[(trials["status"] == FINISHED) & ~(trials[column] <= 0)]
    chosen = finished[on_front(finished, [column])].sort_values(column)
    others = finished.drop(chosen.index)
    axes.scatter(others[column] / unit, others[ACCURACY], color=_PALE, s=28, label="dominated (validation)")
    axes.plot(chosen[column] / unit, chosen[ACCURACY], "o-", color=_FRONT, markersize=6, label="front (validation)")
    axes.scatter(
        chosen[column] / unit,
        chosen["test_accuracy"],
        facecolors="none",
        edgecolors=_FRONT,
        s=48,
        label="front (test)",
    )
    if (finished[column] > 0).any():  # there is no logarithm of nothing
        axes.set_xscale("log")
    else:
        axes.text(0.5, 0.5, "no finished network yet", ha="center", transform=axes.transAxes)
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.set_xlabel(label)
    axes.grid(True, which="both", alpha=0.25)
