"""The picture of an experiment: accuracy over size and over Bit-SynOps."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from tune.results.amounts import count_unit, error, log_ticks, size_name, size_unit, zero_error
from tune.results.compare import Comparison
from tune.results.front import on_front
from tune.results.intervals import INTERVAL
from tune.results.seeds import SURE
from tune.storage.objectives import ACCURACY, BIT_SYNOPS, EQ18, SIZE
from tune.storage.store import FINISHED
from tune.views.look import COLOURS, LABELS, MARKS, mark_colour

_SYMBOLS = {"circle": "o", "circle-open": "o", "diamond": "D"}
_NEVER = 1e-6  # percent of error, beyond any axis
_POINTS_PER_PIXEL = 0.75  # sizes of marks are in those of the page


def draw_fronts(trials: pd.DataFrame, title: str, comparison: Comparison | None = None) -> bytes:
    """Draws both fronts: dominated networks pale, the front as steps, its test accuracy hollow.

    Of points over seeds, those of the front have their intervals, and those that are not on it for sure are hollow.

    Both axes are log scales; that of accuracy is the error's, 100 - accuracy, upside down, which keeps good networks
    apart where one bad one would squeeze them together.

    Args:
        trials: the table of ``tune.storage.store``, of which only finished trials are drawn, or ``tune.results.seeds.points``.
        title: heading of the picture.
        comparison: published networks, drawn as well by their test accuracies.

    Returns:
        The PNG.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    finished = trials[trials["status"] == FINISHED]
    on_all = finished.index[on_front(finished, [SIZE, BIT_SYNOPS])]
    others = None if comparison is None or comparison.table.empty else comparison.table.assign(own=comparison.own)
    column = SIZE if others is None else EQ18  # which is what others published
    name, unit = size_unit(_largest(finished, others, column))
    what = size_name(finished) if others is None else LABELS[EQ18]
    _panel(left, finished, on_all, column, unit, f"{what} ({name})", others)
    name, unit = count_unit(_largest(finished, others, BIT_SYNOPS))
    _panel(right, finished, on_all, BIT_SYNOPS, unit, f"{LABELS[BIT_SYNOPS]} ({name})", others)
    left.set_ylabel(LABELS["accuracy"])
    if len(finished):
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(title.replace("$", r"\$"), parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, format="png")
    return buffer.getvalue()


def _largest(finished: pd.DataFrame, others: pd.DataFrame | None, column: str) -> float:
    """Largest value that a figure shows; 0 where there is none."""
    values = [*finished[column].dropna(), *(() if others is None else others[column].dropna())]
    return max(map(float, values), default=0.0)


def _panel(
    axes: Axes,
    finished: pd.DataFrame,
    on_all: pd.Index,
    column: str,
    unit: float,
    label: str,
    others: pd.DataFrame | None,
) -> None:
    finished = finished[finished[column].astype(float) > 0]  # there is no logarithm of nothing
    zero = zero_error(finished)
    front = finished[on_front(finished, [column])].sort_values(column)
    rest = finished.drop(front.index)
    elsewhere = rest[rest.index.isin(on_all)]
    dominated = rest.drop(elsewhere.index)

    def dots(rows: pd.DataFrame, accuracy: str, mark: str, zorder: int) -> None:
        small = zorder == 1 and len(rows) >= 300
        _marks(axes, rows[column] / unit, error(rows[accuracy], zero), mark, 0.4 if small else 1, zorder)

    x, val = front[column] / unit, error(front[ACCURACY], zero)
    of_points = "seeds" in finished
    line = mark_colour("elsewhere" if of_points else "front")
    axes.plot(x, val, color=line, linewidth=1.4, drawstyle="steps-post", zorder=2)
    sizes, errors = [finished[column] / unit], [error(finished[ACCURACY], zero)]
    if of_points:
        dots(front[front["front"] == SURE], ACCURACY, "sure", 4)
        dots(front[front["front"] != SURE], ACCURACY, "unsure", 4)
        errors += _draw_intervals(axes, x, val, front[INTERVAL])
    else:
        test = error(front["test_accuracy"], zero)
        axes.vlines(x, test, val, color=mark_colour("elsewhere"), linewidth=1)
        dots(front, ACCURACY, "front", 4)
        dots(front, "test_accuracy", "test", 3)
        errors.append(error(finished["test_accuracy"], zero))
    dots(elsewhere, ACCURACY, "elsewhere", 2)
    dots(dominated, ACCURACY, "dominated", 1)
    if others is not None and len(finished):
        errors.append(100 - others["accuracy"])  # of all: both panels have one axis of accuracy
        others = others.dropna(subset=[column])
        sizes.append(others[column] / unit)
        _draw_published(axes, others, column, unit)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, alpha=0.25)
    if finished.empty:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no finished network yet", ha="center", transform=axes.transAxes)
        return
    axes.set(xscale="log", yscale="log")
    low, high = _with_air(pd.concat(sizes))
    axes.set_xlim(low, high)
    _mark(axes.xaxis, {tick: f"{tick:g}" for tick in log_ticks(low, high)})
    low, high = _with_air(pd.concat(errors).dropna())
    axes.set_ylim(high, low)
    ticks = {tick: f"{100 - tick:g}" for tick in log_ticks(low, min(high, 99)) if zero is None or tick >= 1.5 * zero}
    _mark(axes.yaxis, ticks if zero is None else ticks | {zero: "100"})


def _draw_intervals(axes: Axes, x: pd.Series, errors: pd.Series, widths: pd.Series) -> list[pd.Series]:
    """Bars around the errors, as far as there are accuracies from 0 to 100 %.

    Gives where they end; at the upper end no less than half of the smallest error, so that they do not widen the axis much.
    """
    low = (errors + widths).clip(upper=100)
    up = np.minimum(widths, errors - _NEVER)
    label, colour = MARKS["interval"]["label"], mark_colour("interval")
    axes.errorbar(
        x, errors, [up, low - errors], fmt="none", label=label, zorder=3, color=colour, linewidth=1.4, capsize=3
    )
    return [low, (errors - up).clip(lower=errors.min() / 2)]


def _marks(axes: Axes, x: pd.Series, y: pd.Series, mark: str, scale: float, zorder: int) -> None:
    """Points as the page draws them."""
    look, colour = MARKS[mark], mark_colour(mark)
    fill = "none" if look["symbol"].endswith("-open") else colour
    fill = COLOURS["light"]["paper"] if mark == "unsure" else fill  # over its interval
    area = (_POINTS_PER_PIXEL * scale * look["size"]) ** 2
    marker = _SYMBOLS[look["symbol"]]
    axes.scatter(x, y, s=area, marker=marker, facecolors=fill, edgecolors=colour, label=look["label"], zorder=zorder)


def _draw_published(axes: Axes, others: pd.DataFrame, column: str, unit: float) -> None:
    """Published networks by test accuracy; the method's own paper's are named."""
    for rows, mark in ((others[~others["own"]], "published"), (others[others["own"]], "paper")):
        _marks(axes, rows[column] / unit, 100 - rows["accuracy"], mark, 0.8, 2)
    for _, row in others[others["own"]].iterrows():
        text = row["method"].removeprefix("LitE-SNN").strip() or "LitE-SNN"
        place = row[column] / unit, 100 - row["accuracy"]
        axes.annotate(text, place, (6, -3), textcoords="offset points", fontsize=8, color=COLOURS["light"]["paper-own"])


def _with_air(values: pd.Series) -> tuple[float, float]:
    """Limits of a log axis that leave room around the values."""
    low, high = np.log10(values.min()), np.log10(values.max())
    air = max(0.08, 0.06 * (high - low))
    return float(10 ** (low - air)), float(10 ** (high + air))


def _mark(axis: Axis, ticks: dict[float, str]) -> None:
    """Just these ticks, no minor ones."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FixedFormatter(list(ticks.values())))
