"""How well scores rank cells: Kendall's tau, and how far cells differ beyond what seeds add."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import f_oneway, kendalltau

from benchmarks.record import markdown


@dataclass(frozen=True)
class Measured:
    """What is known of cells, in the same order in all arrays: scores ``[searches, cells]``, accuracies ``[seeds, cells]``, bits ``[cells]``."""

    alpha: np.ndarray
    inherited: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Measured:
        """From the rows of one space: cells that have been retrained, and seeds that all of them have."""

        def wide(column: str) -> pd.DataFrame:
            return rows.pivot(index=["phase", "seed"], columns="cell", values=column).dropna(how="all")

        sizes = wide("model_size_bits")
        cells = sizes.columns[sizes.notna().any()]

        def whole(column: str) -> np.ndarray:
            return wide(column)[cells].dropna().to_numpy()

        return cls(
            alpha=whole("alpha_score"),
            inherited=whole("inherited_accuracy"),
            validation=whole("val_accuracy"),
            test=whole("test_accuracy"),
            size=sizes[cells].max().to_numpy(),
        )


Pairs = Sequence[Sequence[np.ndarray]]


def tau(pairs: Pairs, size: np.ndarray | None = None) -> str:
    """Kendall's tau-b of pairs of rankings, mean and deviation; given sizes the partial tau, of what size does not explain."""

    def between(first: np.ndarray, second: np.ndarray) -> float:
        return float(kendalltau(first, second).statistic)

    found = [between(*pair) for pair in pairs]
    if size is not None:
        parts = [[between(one, size) for one in pair] for pair in pairs]
        with np.errstate(invalid="ignore"):  # none where size alone gives a ranking
            found = [(t - a * b) / np.sqrt((1 - a * a) * (1 - b * b)) for t, (a, b) in zip(found, parts, strict=True)]
    return f"{np.mean(found):+.2f}" + (f" ± {np.std(found, ddof=1):.2f}" if len(found) > 1 else "")


def taus(found: Measured) -> str:
    """How scores rank cells by their accuracy after retraining, and how well a retraining itself does."""

    def line(name: str, pairs: Callable[[np.ndarray], Pairs]) -> list[str]:
        validation, test = pairs(found.validation), pairs(found.test)
        return [name, tau(validation), tau(test), tau(test, found.size) if name != "size" else ""]

    def with_means(scores: np.ndarray) -> Callable[[np.ndarray], Pairs]:
        return lambda after: [(score, after.mean(axis=0).round(3)) for score in scores]  # so that ties are ties

    def with_others(after: np.ndarray) -> Pairs:
        return [(row, np.delete(after, seed, axis=0).mean(axis=0).round(3)) for seed, row in enumerate(after)]

    def among(rows: np.ndarray) -> Pairs:
        return list(itertools.combinations(rows, 2))

    lines = [
        [*line("alpha's score", with_means(found.alpha)), tau(among(found.alpha))],
        [*line("inherited accuracy", with_means(found.inherited)), tau(among(found.inherited))],
        [*line("size", with_means(found.size[None])), ""],
        [*line("one retraining, with another", among), ""],
        [*line("one retraining, with the mean of the others", with_others), ""],
    ]
    cells = len(found.size)
    chance = np.sqrt(2 * (2 * cells + 5) / (9 * cells * (cells - 1)))
    header = [f"Kendall's tau over {cells} cells", "validation", "test", "test, size held", "with another search"]
    between = tau(list(zip(found.alpha, found.inherited, strict=True)))
    note = f"Alpha's score with inherited accuracy of the same search: {between}. Chance alone gives 0 ± {chance:.2f}."
    return f"{markdown(header, lines)}\n\n{note}"


def variances(accuracies: np.ndarray) -> dict[str, float]:
    """One-way analysis of variance of ``[seeds, cells]``, as standard deviations in points, intraclass correlation, F and its p."""
    seeds = len(accuracies)
    means, within = accuracies.mean(axis=0), accuracies.var(axis=0, ddof=1).mean()
    between = seeds * means.var(ddof=1)
    test = f_oneway(*accuracies.T)
    return {
        "mean": means.mean(),
        "deviation over cells": np.sqrt(between / seeds),
        "over seeds within a cell": np.sqrt(within),
        "over cells, less what seeds add": np.sqrt(max(0.0, between - within) / seeds),
        "intraclass correlation": (between - within) / (between + (seeds - 1) * within),
        "F": test.statistic,
        "p": test.pvalue,
    }


def report(rows: pd.DataFrame) -> str:
    """Two tables: ranks and spread."""
    found = Measured.of(rows)
    spread = [variances(found.validation), variances(found.test)]
    spreads = [[name, *(f"{values[name]:.3g}" for values in spread)] for name in spread[0]]
    after = f"after retraining, {len(found.test)} seeds"
    return "\n\n".join([taus(found), markdown([after, "validation", "test"], spreads)])


def draw(rows: pd.DataFrame, file: Path) -> None:
    """Test accuracy after retraining over both scores: means, with one standard deviation over seeds; sizes as colours."""
    found = Measured.of(rows)
    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    texts = ("inherited validation accuracy, %", "alpha's score")
    for panel, text, scores in zip(panels, texts, (found.inherited, found.alpha), strict=True):
        place, height = scores.mean(axis=0), found.test.mean(axis=0)
        panel.errorbar(place, height, found.test.std(axis=0, ddof=1), fmt="none", ecolor="0.8", zorder=0)
        points = panel.scatter(place, height, c=found.size / 8e3, s=18)
        panel.set_xlabel(f"{text}, mean of {len(scores)} searches")
    panels[0].set_ylabel(f"test accuracy after retraining, %, {len(found.test)} seeds")
    figure.colorbar(points, ax=panels, label="size in kB (Eq. 18)")
    figure.savefig(file, metadata={"Software": None})
