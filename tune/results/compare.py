"""An experiment's front beside the published networks of its data set: which of ours dominates each, or comes nearest.

The published networks are those of ``published.csv``. Their accuracies are of the test split, so ours count by test accuracy
here, though they were chosen by validation. Where a paper does not give Bit-SynOps, accuracy and size decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from litesnn.config import Recipe
from tune.results.amounts import BITS_PER_MB
from tune.results.published import published
from tune.storage.objectives import BIT_SYNOPS, EQ18

DOMINATED, DOMINATES, NEITHER = "dominated", "dominates", "neither"

_PUBLIC: dict[str, tuple[str, tuple[int, ...], int]] = {  # our name -> published name, input shape, classes
    "cifar10": ("cifar10", (3, 32, 32), 10),
    "cifar100": ("cifar100", (3, 32, 32), 100),
    "speech_commands": ("gsc12", (1, 40, 98), 12),
}
_LEAST_ERROR = 0.05  # percent; distances are in decades, and a network without error has no logarithm


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Published networks and what of ours they are held against.

    Args:
        table: one row per published network: ``method``, ``accuracy`` in percent, size in bits, Bit-SynOps per sample (NaN
            where it is not given) and ``source``; ``relation``, what the published one is: dominated by ours, dominating
            it or neither; ``dominated_by``, how many of ours dominate it; and ours: ``trial``, in merged tables
            ``experiment``, ``row`` in the table of trials and its three figures beginning with ``our_``.
        note: one sentence on the data.
    """

    table: pd.DataFrame
    note: str

    @property
    def own(self) -> np.ndarray:
        """Booleans: which rows are of the paper that the method is from."""
        return self.table["method"].str.startswith("LitE-SNN").to_numpy(dtype=bool)

    def sentence(self) -> str:
        """The outcome in one line."""
        if self.table.empty:
            return self.note
        count = self.table["relation"].value_counts()
        return (
            f"{self.note}; on the test split ours dominate {count.get(DOMINATED, 0)} of {len(self.table)} published networks, "
            f"and {count.get(DOMINATES, 0)} dominate the nearest of ours"
        )

    def to_csv(self) -> str:
        """The table with sizes in MB and Bit-SynOps in millions."""
        shown = self.table.drop(columns="row")
        for prefix in ("", "our_"):
            for column, name, unit in ((EQ18, "model_size_mb", BITS_PER_MB), (BIT_SYNOPS, "bit_synops_m", 1e6)):
                shown[f"{prefix}{column}"] = shown[f"{prefix}{column}"] / unit
                shown = shown.rename(columns={f"{prefix}{column}": f"{prefix}{name}"})
        return shown.to_csv(index=False)


def compare(chosen: pd.DataFrame, recipe: Recipe) -> Comparison:
    """Holds the published networks of a recipe's data set against the front.

    Args:
        chosen: the front, with the column ``row`` that says at which position of the trials' table a network stands.
        recipe: names the data; a folder of images or clips is taken for a public data set by its shape and classes.
    """
    name, note = _published_name(recipe)
    rows = [network for network in published() if network["dataset"] == name]
    ours = chosen.dropna(subset=["test_accuracy", EQ18, BIT_SYNOPS])
    costs = ours[["test_accuracy", EQ18, BIT_SYNOPS]].to_numpy(dtype=float) * [-1, 1, 1] + [100, 0, 0]
    return Comparison(table=pd.DataFrame([_row(network, ours, costs) for network in rows]), note=note)


def _published_name(recipe: Recipe) -> tuple[str | None, str]:
    """Under which name the data set's networks are published, if any, and the sentence that says so."""
    shape = recipe.input_shape, recipe.classes
    known = _PUBLIC.get(recipe.dataset)
    if known is not None and shape == known[1:]:
        return known[0], f"published networks for {recipe.dataset}"
    if recipe.dataset.startswith("folder:"):
        for ours, (name, *of_it) in _PUBLIC.items():
            if shape == tuple(of_it):
                return (
                    name,
                    f"{recipe.dataset} is taken for {ours} by its shape and classes, published networks had the original data",
                )
    return None, f"no published networks for {recipe.dataset}, nothing is overlaid"


def _row(network: dict[str, Any], ours: pd.DataFrame, costs: np.ndarray) -> dict[str, Any]:
    """One published network against all of ours.

    Args:
        network: of ``published``.
        ours: networks of the front.
        costs: ``[N, 3]``, error in percent, size and Bit-SynOps of each.
    """
    size, count = network["model_size_mb"], network["bit_synops_m"]
    row = {
        "method": network["method"],
        "accuracy": network["accuracy"],
        EQ18: np.nan if size is None else size * BITS_PER_MB,
        BIT_SYNOPS: np.nan if count is None else count * 1e6,
        "source": network["source"],
    }
    theirs = np.array([100 - network["accuracy"], row[EQ18], row[BIT_SYNOPS]])
    given = ~np.isnan(theirs)
    mine, theirs = costs[:, given], theirs[given]
    better = (mine <= theirs).all(axis=1) & (mine < theirs).any(axis=1)
    row |= {"relation": "", "dominated_by": int(better.sum()), "trial": "", "row": -1}
    row |= {f"our_{column}": np.nan for column in ("accuracy", EQ18, BIT_SYNOPS)}
    if len(ours):
        if better.any():
            place, relation = int(np.where(better, mine[:, 0], np.inf).argmin()), DOMINATED
        else:
            decades = np.log10(_floored(mine)) - np.log10(_floored(theirs))
            place = int((decades**2).sum(axis=1).argmin())
            worse = (theirs <= mine[place]).all() and (theirs < mine[place]).any()
            relation = DOMINATES if worse else NEITHER
        found = ours.iloc[place]
        row |= {"relation": relation, "trial": found["trial"], "row": int(found["row"])}
        row |= {
            "our_accuracy": found["test_accuracy"],
            f"our_{EQ18}": found[EQ18],
            f"our_{BIT_SYNOPS}": found[BIT_SYNOPS],
        }
        if "experiment" in ours:
            row["experiment"] = found["experiment"]
    return row


def _floored(costs: np.ndarray) -> np.ndarray:
    """Costs ``[…, 2 or 3]`` that have a logarithm."""
    least = np.array([_LEAST_ERROR, 1.0, 1.0])[: costs.shape[-1]]
    return np.maximum(costs, least)
