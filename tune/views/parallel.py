"""Parallel coordinates of an experiment: one line per network from λ1, λ2, p, bits and T to the three objectives.

Drawn with plotly's line charts instead of its own parallel coordinates, which need WebGL, cannot say which network a
line is, and bring colours of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tune.results.amounts import count_unit, error, log_ticks, size_name, size_unit, zero_error
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, SIZE
from tune.storage.store import FINISHED

_NEEDED = ["lambda1", "lambda2", "p", "bits", "timesteps", ACCURACY, SIZE, BIT_SYNOPS]
_CLASSES = 5  # of accuracy, equally many networks in each, from pale to strong


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: its label, where each network lies on it (0 bottom to 1 top), and marked places with their text."""

    label: str
    positions: list[float]
    ticks: list[tuple[float, str]]


def parallel_figure(trials: pd.DataFrame) -> dict[str, Any] | None:
    """Data and layout for plotly.

    Args:
        trials: the table of ``tune.storage.store`` with a column ``row``, the position of each trial.

    Returns:
        None where no finished network has all its figures.
    """
    finished = trials[trials["status"] == FINISHED].dropna(subset=_NEEDED).sort_values(ACCURACY, kind="stable")
    if finished.empty:
        return None
    axes = parallel_axes(finished)
    lines = np.array([axis.positions for axis in axes]).T
    data: list[dict[str, Any]] = []
    for level, members in enumerate(np.array_split(np.arange(len(finished)), _CLASSES)):
        x: list[int | None] = []
        y: list[float | None] = []
        rows: list[int | None] = []
        for i in members:  # a line, then a gap
            x += [*range(len(axes)), None]
            y += [*(round(float(v), 5) for v in lines[i]), None]
            rows += [int(finished["row"].iloc[i])] * len(axes) + [None]
        data.append({"meta": "class", "name": f"{level / (_CLASSES - 1):g}", "x": x, "y": y, "customdata": rows})
    data += [{"meta": role, "x": [], "y": [], "customdata": []} for role in ("kept", "chosen")]
    labels = [
        {"x": i, "y": place, "text": text, "showarrow": False, "xanchor": "right", "xshift": -4, "borderpad": 1}
        for i, axis in enumerate(axes)
        for place, text in axis.ticks
    ]
    layout = {
        "annotations": labels,
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": [axis.label for axis in axes],
            "side": "top",
            "range": [-0.5, len(axes) - 0.6],
            "fixedrange": True,
        },
        "yaxis": {"visible": False, "range": [-0.04, 1.04], "fixedrange": True},
    }
    look = {"type": "scatter", "mode": "lines", "hovertemplate": "%{hovertext}<extra></extra>"}
    return {"data": [look | trace for trace in data], "layout": layout}


def parallel_axes(finished: pd.DataFrame) -> list[Axis]:
    """The eight axes, settings first."""
    bits = pd.Series([float(np.mean([int(b) for b in str(text).split()])) for text in finished["bits"]], dtype=float)
    zero = zero_error(finished)
    size, size_worth = size_unit(finished[SIZE].max())
    count, count_worth = count_unit(finished[BIT_SYNOPS].max())
    return [
        log_axis("λ1", finished["lambda1"]),
        log_axis("λ2", finished["lambda2"]),
        _linear_axis("p (%)", finished["p"]),
        _linear_axis("mean bits", bits),
        _linear_axis("T", finished["timesteps"]),
        _accuracy_axis(error(finished[ACCURACY], zero), zero),
        log_axis(f"{size_name(finished)} ({size})", finished[SIZE] / size_worth),
        log_axis(f"Bit-SynOps ({count})", finished[BIT_SYNOPS] / count_worth),
    ]


def log_axis(label: str, values: pd.Series) -> Axis:
    """Log scale; zero, which has no logarithm, is a tick of its own below the smallest value."""
    numbers = [float(v) for v in values]
    positive = sorted({v for v in numbers if v > 0})
    if not positive:
        return Axis(label=label, positions=[0.5] * len(numbers), ticks=[(0.5, "0")])
    low, high = positive[0], positive[-1]
    zero = math.log10(low) - max(0.3, 0.15 * math.log10(high / low))
    ticks = [(math.log10(v), f"{v:.3g}") for v in (positive if len(positive) <= 5 else log_ticks(low, high))]
    if 0 in numbers:
        ticks.insert(0, (zero, "0"))
    return _scaled(label, [math.log10(v) if v > 0 else zero for v in numbers], ticks)


def _linear_axis(label: str, values: pd.Series) -> Axis:
    """Plain numbers, marked where the values are if they are few."""
    numbers = [float(v) for v in values]
    marks = sorted(set(numbers))
    if len(marks) > 6:
        step = 10.0 ** math.floor(math.log10(marks[-1] - marks[0]))
        step *= next(s for s in (0.2, 0.5, 1, 2, 5) if (marks[-1] - marks[0]) / (s * step) <= 6)
        marks = [step * i for i in range(math.ceil(marks[0] / step), math.floor(marks[-1] / step) + 1)]
    return _scaled(label, numbers, [(v, f"{v:.3g}") for v in marks])


def _accuracy_axis(errors: pd.Series, zero: float | None) -> Axis:
    """Accuracy by its distance from 100 % in log scale, as in the fronts."""
    low, high = float(errors.min()), float(errors.max())
    marks = [v for v in log_ticks(low, high) if zero is None or v >= 1.5 * zero]
    ticks = [(-math.log10(v), f"{100 - v:.5g}") for v in marks or sorted({low, high} - {zero})]
    if zero is not None and low == zero:
        ticks.append((-math.log10(zero), "100"))
    return _scaled("accuracy (%)", [-math.log10(v) for v in errors], ticks)


def _scaled(label: str, values: list[float], ticks: list[tuple[float, str]]) -> Axis:
    """Brings values and ticks to the range from 0 to 1; where all values are equal they lie in the middle."""
    low, high = min(values), max(values)

    def place(value: float) -> float:
        return (value - low) / (high - low) if high > low else 0.5

    inside = [(place(v), text) for v, text in ticks]
    return Axis(label=label, positions=[place(v) for v in values], ticks=[t for t in inside if -0.01 <= t[0] <= 1.01])
