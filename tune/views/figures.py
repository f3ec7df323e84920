"""The interactive figures of the report as plotly's JSON: plain data and layout, no colours.

The page paints traces by the role in their ``meta``, so that light and dark are one figure. A point's ``customdata`` is
the position of its trial in the table: hover texts are kept once per trial and looked up by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from tune.results.amounts import (
    count_text,
    count_unit,
    digits,
    error,
    label,
    size_name,
    size_text,
    size_unit,
    sizes_text,
    zero_error,
)
from tune.results.compare import Comparison
from tune.results.front import on_front
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, EQ18, SIZE
from tune.storage.store import FINISHED

Figure = dict[str, Any]

_HOVER = "%{hovertext}<extra></extra>"


def front_figure(trials: pd.DataFrame, column: str, on_all: np.ndarray, comparison: Comparison | None = None) -> Figure:
    """Accuracy over size or Bit-SynOps: dominated networks, the front as steps, its test accuracy; log axes both.

    The accuracy axis is that of the error, 100 - accuracy, upside down, which keeps good networks apart where one bad
    one would squeeze them together. The page marks it with accuracies.

    Args:
        trials: the table of ``tune.storage.store`` with a column ``row``, the position of each trial.
        column: what lies on the x axis, in log scale.
        on_all: booleans ``[len(trials)]``, networks on the front in all three objectives.
        comparison: published networks, drawn as well by their test accuracies.
    """
    drawn = ((trials["status"] == FINISHED) & (trials[column].astype(float) > 0)).to_numpy()
    here = on_front(trials, [column]) & drawn
    others = _published(comparison, column)
    largest = max((float(v) for v in (*trials.loc[drawn, column], *others[column])), default=0.0)
    zero = zero_error(trials[drawn])
    trials = trials.assign(**{name: error(trials[name], zero) for name in (ACCURACY, "test_accuracy")})
    unit, worth = count_unit(largest) if column == BIT_SYNOPS else size_unit(largest)
    what = size_name(trials) if column == SIZE else "Bit-SynOps per sample" if column == BIT_SYNOPS else "model size"
    label = f"{what} ({unit})"

    def points(mask: np.ndarray, accuracy: str, role: str, name: str, **look: Any) -> Figure:
        rows = trials[mask].sort_values(column, kind="stable")
        return {
            "type": "scatter",
            "mode": "markers",
            "meta": role,
            "name": name,
            "x": [float(v) / worth for v in rows[column]],
            "y": [_number(v) for v in rows[accuracy]],
            "customdata": [int(v) for v in rows["row"]],
            "hovertemplate": _HOVER,
            **look,
        }

    front = trials[here].sort_values(column, kind="stable")
    gaps: list[tuple[float | None, float | None]] = []  # from validation to test accuracy, one stroke per network
    for size, val, test in zip(front[column], front[ACCURACY], front["test_accuracy"], strict=True):
        gaps += [(float(size) / worth, _number(val)), (float(size) / worth, _number(test)), (None, None)]
    rest = drawn & ~here
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "meta": "gap",
            "x": [x for x, _ in gaps],
            "y": [y for _, y in gaps],
            "hoverinfo": "skip",
        },
        points(rest & ~on_all, ACCURACY, "dominated", "dominated"),
        points(rest & on_all, ACCURACY, "elsewhere", "front in all three objectives"),
        points(here, "test_accuracy", "test", "test accuracy"),
        points(here, ACCURACY, "front", "front", mode="lines+markers", line={"shape": "hv"}),
        *_published_traces(others, column, worth),
        {"type": "scatter", "mode": "markers", "meta": "selected", "x": [], "y": [], "hoverinfo": "skip"},
    ]
    errors = [*trials.loc[drawn, [ACCURACY, "test_accuracy"]].to_numpy(dtype=float).flat, *(100 - others["accuracy"])]
    sizes = [float(v) / worth for v in (*trials.loc[drawn, column], *others[column])]
    error_range = _log_range(errors) or [0.0, 2.0]
    layout = {
        "xaxis": {"type": "log", "title": {"text": label}, "range": _log_range(sizes)},
        "yaxis": {"type": "log", "title": {"text": "accuracy (%)"}, "range": error_range[::-1]},
        "meta": {"column": column, "worth": worth, "zero": zero},
    }
    return {"data": data, "layout": layout}


def hypervolume_figure(curve: pd.DataFrame) -> Figure:
    """Hypervolume so far over the epochs that all trials have run (``curve`` of ``tune.results.summary``), as steps."""
    data = {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": "curve",
        "x": curve["epochs"].tolist(),
        "y": curve["hypervolume"].tolist(),
        "customdata": curve["row"].tolist(),
        "text": [_duration(seconds) for seconds in curve["seconds"]],
        "line": {"shape": "hv"},
        "hovertemplate": "hypervolume %{y:.4g}<br>after %{x:,} epochs (%{text})<br>%{hovertext}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "epochs run by all trials so far"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "hypervolume"}},
    }
    return {"data": [data], "layout": layout}


def hover_text(row: pd.Series) -> str:
    """What a point says, in plotly's markup; data is escaped. A trial without a network says what became of it."""
    point = f"<b>{escape(label(row))}</b><br>λ1 {row['lambda1']:.4g}   λ2 {row['lambda2']:.4g}   p {row['p']:.4g} %<br>"
    if row["status"] != FINISHED:
        return point + escape(str(row["status"]))
    energy = "" if pd.isna(row["energy_mj"]) else f"<br>energy {digits(1e3 * row['energy_mj'])} µJ"
    test = "" if pd.isna(row["test_accuracy"]) else f"   test {row['test_accuracy']:.2f} %"
    return (
        f"{point}bits {escape(str(row['bits']))}   T {row['timesteps']:.0f}<br>"
        f"validation {row[ACCURACY]:.2f} %{test}<br>"
        f"{sizes_text(row)}   {count_text(row[BIT_SYNOPS])} Bit-SynOps{energy}"
    )


def _published(comparison: Comparison | None, column: str) -> pd.DataFrame:
    """Published networks that have a place in a figure; ``own`` are those of the method's own paper."""
    if comparison is None or comparison.table.empty:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in ("accuracy", column)}).assign(own=False)
    return comparison.table.assign(own=comparison.own).dropna(subset=[column])


def _published_traces(others: pd.DataFrame, column: str, worth: float) -> list[Figure]:
    """One trace of the literature and one of the method's own paper; their texts are their own."""
    traces = []
    for role, rows in (("published", others[~others["own"]]), ("paper", others[others["own"]])):
        if len(rows):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "meta": role,
                    "x": [float(v) / worth for v in rows[column]],
                    "y": [float(v) for v in 100 - rows["accuracy"]],
                    "hovertext": [_published_text(row) for _, row in rows.iterrows()],
                    "hovertemplate": _HOVER,
                }
            )
    return traces


def _published_text(row: pd.Series) -> str:
    count = "not given" if pd.isna(row[BIT_SYNOPS]) else count_text(row[BIT_SYNOPS])
    size = "size not given" if pd.isna(row[EQ18]) else size_text(row[EQ18])
    return (
        f"<b>{escape(row['method'])}</b><br>published: test {row['accuracy']:.2f} %<br>{size}   Bit-SynOps {count}<br>"
        f"{escape(row['source'])}"
    )


def _log_range(values: Sequence[float]) -> list[float] | None:
    """Range of a log axis in powers of ten, with air on both sides."""
    known = np.array(values, dtype=float)
    known = known[known > 0]
    if not len(known):
        return None
    low, high = math.log10(float(known.min())), math.log10(float(known.max()))
    air = max(0.1, 0.06 * (high - low))
    return [low - air, high + air]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _duration(seconds: float) -> str:
    """Time in trials, which may run beside each other."""
    if seconds < 3600:
        return f"{seconds / 60:.1f} min of trials"
    return f"{seconds / 3600:.1f} h of trials"
